"""The gradient of a loss with respect to the state at many moments, with and without the paths through W_rec.

The sequence is cut into segments; each is one scan, and its adjoint hands the gradient of the state at its beginning to
the segment before. So any backend and any neuron will do, and there is no equation in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Input, Trace, get_initial_state
from brfkit.events import Events
from brfkit.network import Layer, Network, Weights


@dataclass(frozen=True)
class StateGradients:
    """Gradients of the sum over samples of a loss.

    Attributes:
        steps: (K,) the state before these steps is meant; 0 is the initial state.
        states: ``<layer>.<state>`` [K, B, H], and ``<layer>.z`` of the spikes that come back through W_rec.
        weights: of every weight by name.
    """

    steps: NDArray[np.int64]
    states: dict[str, NDArray]
    weights: Weights


@dataclass
class _Segment:
    """Some steps of one layer, scanned."""

    network: Network
    trace: Trace
    cut: bool


class Scanned:
    """A network over a batch, layer by layer and segment by segment, ready to be differentiated.

    Args:
        network: what is run.
        weights: by name; their dtype is that of the computation.
        x: dense [T, B, I] or events.
        backend: compute backend.
        segment: steps per segment; the gradient is known where one begins.
        cut: leave out every path through W_rec: the spikes of the step before are input, not state. The states are
            those of the whole network all the same.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, NDArray],
        x: Input,
        backend: Backend,
        segment: int,
        cut: bool = False,
    ) -> None:
        self.network, self.backend, self.segment, self.cut = network, backend, segment, cut
        dtype = next(iter(weights.values())).dtype
        dense = x.dense(dtype) if isinstance(x, Events) else np.ascontiguousarray(x, dtype)
        self.steps, batch = dense.shape[:2]
        state = get_initial_state(network, batch, dtype, None)
        self._segments: list[list[_Segment]] = []
        outputs: list[NDArray] = []
        for first in range(0, self.steps, segment):
            signal = dense[first : first + segment]
            row: list[_Segment] = []
            for index, layer in enumerate(network.layers):
                part, signal = self._layer(index, layer, weights, signal, state)
                row.append(part)
            self._segments.append(row)
            outputs.append(signal)
        self.outputs = np.concatenate(outputs)

    def _layer(
        self, index: int, layer: Layer, weights: Mapping[str, NDArray], signal: NDArray, state: dict[str, NDArray]
    ) -> tuple[_Segment, NDArray]:
        own = {name: value for name, value in weights.items() if name.startswith(f"{layer.name}.")}
        before = {name: value for name, value in state.items() if name.startswith(f"{layer.name}.")}
        cut = self.cut and layer.recurrent
        whole = Network(self.network.fan_in(index), (layer,), self.network.dt)
        trace = self.backend.scan(whole, own, signal, initial_state=before, differentiate=not cut)
        state |= trace.final_state
        if not cut:
            return _Segment(whole, trace, False), trace.outputs
        name = f"{layer.name}.w_in"
        w_rec = own.pop(f"{layer.name}.w_rec")
        joint = np.concatenate([own[name], w_rec], axis=1)
        z_before = np.concatenate([before[f"{layer.name}.z"][None], trace.outputs[:-1]])  # [T, B, H]
        alone = Network(joint.shape[1], (replace(layer, recurrent=False),), self.network.dt)
        x = np.concatenate([signal, z_before.astype(signal.dtype)], axis=2)
        inner = self.backend.scan(alone, {**own, name: joint}, x, initial_state=before, differentiate=True)
        return _Segment(alone, inner, True), trace.outputs

    def gradients(self, output_grad: NDArray) -> StateGradients:
        """Take a gradient with respect to the outputs [T, B, O] back through all segments."""
        starts = np.arange(0, self.steps, self.segment)
        found: dict[str, list[NDArray]] = {}
        weights: Weights = {}
        carried: list[dict[str, NDArray]] = [{} for _ in self.network.layers]
        for number in reversed(range(len(starts))):
            first = int(starts[number])
            signal_bar = output_grad[first : first + self.segment]
            for index in reversed(range(len(self.network.layers))):
                part = self._segments[number][index]
                grads = self.backend.scan_vjp(
                    part.trace,
                    np.ascontiguousarray(signal_bar),
                    final_state_grad=carried[index],
                    input_grad=index > 0,
                    initial_state_grad=True,
                )
                carried[index] = dict(grads.initial_state or {})
                for name, value in self._by_weight(index, part, grads.weights).items():
                    weights[name] = weights[name] + value if name in weights else value
                for name, value in carried[index].items():
                    found.setdefault(name, []).append(value)
                if grads.input is not None:
                    signal_bar = grads.input[..., : self.network.fan_in(index)]
        states = {name: np.stack(values[::-1]) for name, values in found.items()}
        ordered = {name: weights[name] for name in self.network.shapes()}
        return StateGradients(starts, states, ordered)

    def _by_weight(self, index: int, part: _Segment, gradients: Weights) -> Weights:
        """The gradients under the names of the whole network: W_in and W_rec are one matrix where paths are cut."""
        if not part.cut:
            return gradients
        layer = part.network.layers[0].name
        joint = gradients.pop(f"{layer}.w_in")
        inputs = self.network.fan_in(index)
        return gradients | {f"{layer}.w_in": joint[:, :inputs], f"{layer}.w_rec": joint[:, inputs:]}


def norms(gradients: StateGradients, layer: Layer) -> NDArray[np.float64]:
    """The gradient of a layer's states as the neuron names them, per neuron: [K, B, H], over all of its states."""
    squares = [gradients.states[f"{layer.name}.{s}"].astype(np.float64) ** 2 for s in layer.spec.states]
    return np.sqrt(np.sum(squares, axis=0))
