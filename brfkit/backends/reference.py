"""The definition: NumPy, float64, one operation after the other, easy to read and slow.

Every other backend is tested against this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Gradients, ScanCall, State, Trace, VjpCall, get_initial_state
from brfkit.backends.capabilities import CAPABILITIES
from brfkit.codegen.model import Model, build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.events import Events
from brfkit.network import Layer, Network
from brfkit.neurons import get_surrogate


def derive_values(
    model: Model, layer: Layer, weights: Mapping[str, NDArray], dt: float
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """The derived values [H] of a layer by name, and the arguments that they were made from.

    They are made in float64 whatever the dtype of the weights: an error in a decay such as exp(-1/τ) acts at every
    step in the same direction.
    """
    arguments: dict[str, Any] = dict(model.neuron.resolve_constants(dt, layer.constants))
    arguments |= {p: weights[f"{layer.name}.{p}"].astype(np.float64) for p in model.parameters}
    values = model.derive_numpy(*(arguments[name] for name in model.derive.inputs))
    return dict(zip(model.derived, values, strict=True)), arguments


def derive_gradients(
    model: Model, layer: Layer, arguments: Mapping[str, Any], bars: Mapping[str, NDArray]
) -> dict[str, NDArray]:
    """Gradients of the neuron's own parameters from those of its derived values, in the dtype of the latter."""
    program = model.derive_vjp
    inputs = {**arguments, **{f"{name}_bar": bar.astype(np.float64) for name, bar in bars.items()}}
    values = model.derive_vjp_numpy(*(inputs[name] for name in program.inputs))
    dtype = next(iter(bars.values())).dtype
    return {
        f"{layer.name}.{name}": np.broadcast_to(value, (layer.units,)).astype(dtype)
        for name, value in zip(model.parameters, values, strict=True)
    }


@dataclass
class _LayerTrace:
    """States before every step and currents of one layer, all [T, B, H]."""

    layer: Layer
    model: Model
    arguments: dict[str, Any]
    constants: dict[str, Any]
    current: NDArray
    z_before: NDArray
    states: dict[str, NDArray] = field(default_factory=dict)


class _Saved(NamedTuple):
    network: Network
    weights: Mapping[str, NDArray]
    layers: list[tuple[_LayerTrace, NDArray]]
    from_events: bool


class ReferenceBackend(Backend):
    """NumPy in float64.

    Args:
        smooth: replace the spike by the primitive of its surrogate. The gradient of such a network is exact, which
            lets finite differences prove it.
    """

    name = "reference"
    capabilities = CAPABILITIES["reference"]

    def __init__(self, smooth: bool = False) -> None:
        self.smooth = smooth

    def _dtype(self, network: Network, weights: Mapping[str, NDArray]) -> np.dtype:
        network.check({name: np.asarray(value, np.float64) for name, value in weights.items()})
        return np.dtype(np.float64)

    def _check_spikes(self, given: Mapping[str, NDArray]) -> None:
        if not self.smooth:  # smooth spikes are numbers between 0 and 1
            super()._check_spikes(given)

    def _scan(self, call: ScanCall) -> Trace:
        network, x = call.network, call.x
        weights = {name: np.asarray(value, np.float64) for name, value in call.weights.items()}
        signal = x.dense(np.float64) if isinstance(x, Events) else np.asarray(x, np.float64)
        state = get_initial_state(network, call.batch, np.float64, call.initial_state)
        counts: dict[str, NDArray[np.int64]] = {}
        records: dict[str, NDArray] = {}
        traces: list[tuple[_LayerTrace, NDArray]] = []
        for layer in network.layers:
            trace, output, after = self._scan_layer(layer, network.dt, weights, signal, state)
            traces.append((trace, signal))
            if layer.spec.spiking:
                counts[layer.name] = np.rint(output.sum((0, 2))).astype(np.int64)
            records |= {k: after[k] for k in call.record if k in after}
            signal = output
        saved = _Saved(network, weights, traces, isinstance(x, Events)) if call.differentiate else None
        return Trace(signal, counts, state, records, saved)

    def _namespace(self, layer: Layer) -> dict[str, Any]:
        """What the generated code of a layer refers to; the adjoint recomputes the spike, so it takes the same."""
        if not self.smooth or layer.surrogate_name is None:
            return NUMPY
        return NUMPY | {"spike": get_surrogate(layer.surrogate_name).primitive}

    def _scan_layer(
        self, layer: Layer, dt: float, weights: Mapping[str, NDArray], signal: NDArray, state: State
    ) -> tuple[_LayerTrace, NDArray, dict[str, NDArray]]:
        """One layer over all steps. ``state`` is brought to the state after the last step."""
        model = build_model(layer.neuron, layer.options, layer.surrogate)
        derived, arguments = derive_values(model, layer, weights, dt)
        values = {**layer.spec.resolve_constants(dt, layer.constants), **derived}
        step = build(model.step, "numpy", self._namespace(layer))

        name = layer.name
        w_in, w_rec = weights[f"{name}.w_in"], weights.get(f"{name}.w_rec")
        bias = weights.get(f"{name}.bias", 0.0)
        steps, batch = signal.shape[:2]
        shape = (steps, batch, layer.units)
        trace = _LayerTrace(layer, model, arguments, values, np.zeros(shape), np.zeros(shape))
        trace.states = {s: np.zeros(shape) for s in model.states}
        after = {f"{name}.{s}": np.zeros(shape) for s in model.states}
        output = np.zeros(shape)
        spiking = layer.spec.spiking
        z = state[f"{name}.z"] if spiking else np.zeros(0)

        for t in range(steps):
            current = signal[t] @ w_in.T + bias  # [B, H]
            if w_rec is not None:
                current = current + z @ w_rec.T
            values |= {s: state[f"{name}.{s}"] for s in model.states} | {"x": current}
            trace.current[t] = current
            if spiking:
                trace.z_before[t] = z
            for s in model.states:
                trace.states[s][t] = state[f"{name}.{s}"]
            output[t], *next_states = step(*(values[i] for i in model.step.inputs))
            for s, value in zip(model.states, next_states, strict=True):
                state[f"{name}.{s}"] = np.broadcast_to(value, (batch, layer.units))
                after[f"{name}.{s}"][t] = value
            z = output[t]
        if spiking:
            state[f"{name}.z"] = z
            after[f"{name}.z"] = output
        return trace, output, after

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        network, weights, traces, _ = call.trace.saved
        final, output_grad = call.final_state_grad, call.output_grad
        signal_bar = np.zeros_like(call.trace.outputs) if output_grad is None else np.asarray(output_grad, np.float64)
        result = Gradients({}, None, {} if call.initial_state_grad else None)
        for layer_trace, signal in reversed(traces):
            signal_bar = self._layer_vjp(layer_trace, weights, signal, signal_bar, final, result)
        result.weights = {name: result.weights[name] for name in network.shapes()}
        result.input = signal_bar if call.input_grad else None
        return result

    def _layer_vjp(
        self,
        trace: _LayerTrace,
        weights: Mapping[str, NDArray],
        signal: NDArray,
        out_bar: NDArray,
        final: Mapping[str, NDArray],
        result: Gradients,
    ) -> NDArray:
        """One layer back through time; returns the gradient of its input signal [T, B, I]."""
        layer, model, name = trace.layer, trace.model, trace.layer.name
        step_vjp = build(model.step_vjp, "numpy", self._namespace(layer))
        w_rec = weights.get(f"{name}.w_rec")
        steps, batch, units = trace.current.shape
        states_bar = {s: np.array(final.get(f"{name}.{s}", np.zeros((batch, units)))) for s in model.states}
        z_bar = np.zeros((batch, units))
        if "z" not in model.states and f"{name}.z" in final:
            z_bar = z_bar + final[f"{name}.z"]
        x_bar = np.zeros_like(trace.current)
        derived_bar = {d: np.zeros(units) for d in model.derived}

        for t in reversed(range(steps)):
            values = {**trace.constants, **{s: trace.states[s][t] for s in model.states}, "x": trace.current[t]}
            values["out_bar"] = out_bar[t] + z_bar
            values |= {f"{s}_next_bar": bar for s, bar in states_bar.items()}
            x_bar[t], *rest = step_vjp(*(values[i] for i in model.step_vjp.inputs))
            for i, s in enumerate(model.states):
                states_bar[s] = np.broadcast_to(rest[i], (batch, units))
            for d, bar in zip(model.derived, rest[len(model.states) :], strict=True):
                derived_bar[d] += np.broadcast_to(bar, (batch, units)).sum(0)
            z_bar = x_bar[t] @ w_rec if w_rec is not None else np.zeros((batch, units))

        gradients = result.weights
        gradients[f"{name}.w_in"] = np.einsum("tbh,tbi->hi", x_bar, signal, optimize=True)
        if w_rec is not None:
            gradients[f"{name}.w_rec"] = np.einsum("tbh,tbg->hg", x_bar, trace.z_before, optimize=True)
        if layer.bias:
            gradients[f"{name}.bias"] = x_bar.sum((0, 1))
        gradients |= derive_gradients(model, layer, trace.arguments, derived_bar)
        if result.initial_state is not None:
            result.initial_state |= {f"{name}.{s}": bar for s, bar in states_bar.items()}
            if layer.spec.spiking:
                result.initial_state[f"{name}.z"] = result.initial_state.get(f"{name}.z", 0) + z_bar
        return x_bar @ weights[f"{name}.w_in"]
