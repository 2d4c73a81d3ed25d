"""Eager PyTorch: the generated step in a Python loop, differentiated by autograd.

Slow, but it runs on every device that torch knows, also where there are no kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.backends.base import (
    Backend,
    Gradients,
    ScanCall,
    Trace,
    VjpCall,
    check_input,
    check_names,
    check_spikes,
    get_initial_state,
)
from brfkit.backends.capabilities import CAPABILITIES
from brfkit.backends.spike_mask import SpikeMask
from brfkit.backends.threads import processors
from brfkit.codegen.model import Model, build_model
from brfkit.codegen.python_printer import build
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network

Tensors = dict[str, Tensor]


class _Spike(torch.autograd.Function):
    """Θ(x) going forward, the surrogate's derivative going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Callable[[Tensor], tuple[Tensor]]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope(x)[0], None


class _FunctionalSpike(torch.autograd.Function):
    """The same for the transforms of ``torch.func``, in a form that costs more per call."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: Callable[[Tensor], tuple[Tensor]]) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.slope = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope(x)[0], None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return tangents[0] * ctx.slope(x)[0]


def _spike(x: Tensor, slope: Callable[[Tensor], tuple[Tensor]]) -> Tensor:
    functional = torch._C._are_functorch_transforms_active()
    spiked: Tensor = (_FunctionalSpike if functional else _Spike).apply(x, slope)
    return spiked


def torch_namespace(model: Model) -> dict[str, Any]:
    """What generated torch code of this model refers to."""
    scope: dict[str, Any] = {
        "torch": torch,
        "greater": lambda a, b: (a > b).to(torch.result_type(a, b)),
        # As the adjoint rules have it: on a tie the gradient goes to one side, where torch.minimum halves it.
        "minimum": lambda a, b: torch.where(a > b, b, a),
        "maximum": lambda a, b: torch.where(a > b, a, b),
    }
    if model.surrogate is not None:
        slope = build(model.surrogate, "torch", dict(scope))
        scope["spike"] = lambda x: _spike(x, slope)
    return scope


@lru_cache(maxsize=128)
def _functions(model: Model) -> tuple[Callable[..., tuple[Any, ...]], Callable[..., tuple[Any, ...]]]:
    scope = torch_namespace(model)
    return build(model.derive, "torch", scope), build(model.step, "torch", scope)


def run_layer(
    layer: Layer,
    dt: float,
    weights: Mapping[str, Tensor],
    signal: Tensor,
    state: Mapping[str, Tensor] | None = None,
    record: Sequence[str] = (),
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensors, Tensors]:
    """One layer over all steps, differentiable in every tensor.

    Args:
        layer: description.
        dt: time step δ in the time unit of ω.
        weights: without the layer's prefix, as :meth:`Layer.shapes` lists them; one dtype, one device.
        signal: input [T, B, I].
        state: initial state by symbol, [B, H], ``z`` for the last spikes; what is missing is 0.
        record: symbols of states, or ``z``, to return for every step.
        mask: [T, B, H], 0 where a spike is dropped before anything but the neuron itself uses it; None drops none.

    Returns:
        Output [T, B, H], the state after the last step by symbol [B, H], the records [T, B, H].
    """
    model = build_model(layer.neuron, layer.options, layer.surrogate)
    step = _functions(model)[1]
    # Without dimensions, so that they take the dtype and device of what they meet.
    constants = layer.spec.resolve_constants(dt, layer.constants)
    values: dict[str, Any] = {n: torch.tensor(v, dtype=torch.float64) for n, v in constants.items()}
    values |= _derive(model, values, weights, signal.dtype)
    names = (*model.states, *(("z",) if layer.spec.spiking and "z" not in model.states else ()))
    shape = (signal.shape[1], layer.units)
    given = state or {}
    now: Tensors = {s: given[s] if s in given else signal.new_zeros(shape) for s in names}
    kept: dict[str, list[Tensor]] = {name: [] for name in {*record, "out"}}
    current = signal @ weights["w_in"].T + weights.get("bias", 0.0)  # [T, B, H]
    spikes = now["z"] if layer.spec.spiking else signal.new_zeros(0)
    for t, x in enumerate(current):
        values |= now
        values["x"] = x + spikes @ weights["w_rec"].T if layer.recurrent else x
        out, *after = (_full(v, x) for v in step(*(values[i] for i in model.step.inputs)))
        now = dict(zip(model.states, after, strict=True))
        if layer.spec.spiking:
            spikes = out = out if mask is None else out * mask[t]
            now.setdefault("z", out)
        for name, steps in kept.items():
            steps.append(out if name == "out" else now[name])
    if layer.spec.spiking:
        now["z"] = spikes
    stacked = {name: torch.stack(steps) if steps else current for name, steps in kept.items()}
    return stacked["out"], now, {name: stacked[name] for name in record}


def _derive(
    model: Model, constants: Mapping[str, Tensor], weights: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """Derived values by name, made in float64 as everywhere, where the device has it."""
    values = dict(constants)
    for name in model.parameters:
        given = weights[name]
        values[name] = given if given.device.type == "mps" else given.double()
    derived = _functions(model)[0](*(values[i] for i in model.derive.inputs))
    return {n: v.to(dtype) if isinstance(v, Tensor) else v for n, v in zip(model.derived, derived, strict=True)}


def _full(value: Tensor | float, like: Tensor) -> Tensor:
    """``value`` in the shape of ``like``; a step may return a number or one value per unit."""
    if isinstance(value, Tensor):
        return value.expand_as(like)
    return torch.full_like(like, value)


def run_network(
    network: Network,
    weights: Mapping[str, Tensor],
    x: Tensor | Events,
    state: Mapping[str, Tensor] | None = None,
    spike_mask: SpikeMask | None = None,
) -> tuple[Tensor, Tensors]:
    """A network over all steps, differentiable in every tensor.

    Args:
        network: description.
        weights: by name, as :meth:`Network.shapes` lists them; one dtype, one device.
        x: [T, B, I] or events.
        state: initial state ``<layer>.<state>`` [B, H]; what is missing is 0.
        spike_mask: which hidden spikes are dropped; None drops none.

    Returns:
        Output [T, B, O] and the final state by name.

    Raises:
        BrfkitError: names or shapes that do not fit the network.
    """
    output, final, _ = run_recorded(network, weights, x, state, (), spike_mask)
    return output, final


def run_recorded(
    network: Network,
    weights: Mapping[str, Tensor],
    x: Tensor | Events,
    state: Mapping[str, Tensor] | None = None,
    record: Sequence[str] = (),
    spike_mask: SpikeMask | None = None,
) -> tuple[Tensor, Tensors, Tensors]:
    """As :func:`run_network`, with the states ``<layer>.<state>`` of every step [T, B, H] that ``record`` names."""
    _, batch = check_input(network, x)  # type: ignore[arg-type]  # only its shape is read
    _check_tensors(network, weights, state or {}, batch)
    check_spikes({name: value for name, value in (state or {}).items() if _readable(value)})
    like = next(iter(weights.values()))
    signal = _dense(x, like.dtype, like.device) if isinstance(x, Events) else x
    output, final, records, _ = _run(network, weights, signal, state or {}, record, spike_mask)
    return output, final, records


def _readable(value: Tensor) -> bool:
    """Whether values can be read without synchronising a device or in a transform of ``torch.func``."""
    plain = type(value) is Tensor or type(value) is torch.nn.Parameter
    return plain and value.device.type == "cpu" and not torch._C._are_functorch_transforms_active()


def _check_tensors(network: Network, weights: Mapping[str, Tensor], state: Mapping[str, Tensor], batch: int) -> None:
    shapes = network.shapes()
    if missing := [name for name in shapes if name not in weights]:
        raise BrfkitError(f"weight {missing[0]} is missing")
    check_names(network, list(state), "initial state")
    units = {layer.name: layer.units for layer in network.layers}
    wanted = shapes | {name: (batch, units[name.rpartition(".")[0]]) for name in state}
    for name, value in (*weights.items(), *state.items()):
        if name not in wanted:
            raise BrfkitError(f"weight {name} does not belong to this network")
        if tuple(value.shape) != wanted[name]:
            raise BrfkitError(f"{name} has shape {tuple(value.shape)}, this network needs {wanted[name]}")


def _run(
    network: Network,
    weights: Mapping[str, Tensor],
    signal: Tensor,
    state: Mapping[str, Tensor],
    record: Sequence[str],
    spike_mask: SpikeMask | None = None,
) -> tuple[Tensor, Tensors, Tensors, dict[str, Tensor]]:
    """Output, final state, records and spike counts [B] of a whole network."""
    final: Tensors = {}
    records: Tensors = {}
    counts: Tensors = {}
    for index, layer in enumerate(network.layers):
        prefix = f"{layer.name}."
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        start = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        wanted = [n.removeprefix(prefix) for n in record if n.startswith(prefix)]
        mask = None
        if spike_mask is not None and layer.spec.spiking:
            mask = torch.from_numpy(spike_mask.kept(index, len(signal), layer.units)).to(signal)
        signal, after, kept = run_layer(layer, network.dt, own, signal, start, wanted, mask)
        final |= {prefix + n: v for n, v in after.items()}
        records |= {prefix + n: v for n, v in kept.items()}
        if layer.spec.spiking:
            counts[layer.name] = torch.count_nonzero(signal.detach(), dim=(0, 2))
    return signal, final, records, counts


def _dense(events: Events, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Events as an array [T, B, I], filled on the device."""
    counts = np.diff(events.indptr, axis=1).reshape(-1)
    start = np.cumsum(counts) - counts
    at = np.repeat(events.indptr[:, :-1].reshape(-1) - start, counts) + np.arange(counts.sum())
    cell = np.repeat(np.arange(counts.size), counts)
    places = (cell % max(events.steps, 1), cell // max(events.steps, 1), events.indices[at].astype(np.int64))
    x = torch.zeros((events.steps, events.batch, events.channels), dtype=dtype, device=device)
    one = torch.ones((), dtype=dtype, device=device)
    return x.index_put_(tuple(torch.from_numpy(p).to(device) for p in places), one, accumulate=True)


@dataclass
class _Saved:
    """The graph of a scan: leaves and results."""

    network: Network
    weights: Tensors
    x: Tensor
    from_events: bool
    state: Tensors
    output: Tensor
    final: Tensors


class TorchBackend(Backend):
    """Eager PyTorch in float32 or float64 (the dtype of the weights).

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, …
        threads: CPU threads during a scan; None leaves torch's setting as it is.

    Raises:
        BrfkitError: the device does not exist or does not work here.
    """

    name = "torch"
    capabilities = CAPABILITIES["torch"]

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device).item()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).strip().split("\n")[0]
            raise BrfkitError(f"device {device!r} cannot be used by torch {torch.__version__}: {reason}") from None
        self.threads = threads

    @contextmanager
    def _threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(min(self.threads, processors()))  # more gain nothing, and OpenMP starts them all
        try:
            yield
        finally:
            if self.threads is not None:
                torch.set_num_threads(before)

    def _leaf(self, value: NDArray, dtype: torch.dtype, differentiate: bool) -> Tensor:
        tensor = torch.tensor(np.ascontiguousarray(value), dtype=dtype, device=self.device)
        return tensor.requires_grad_(differentiate)

    def _scan(self, call: ScanCall) -> Trace:
        network, x, differentiate = call.network, call.x, call.differentiate
        dtype = torch.float32 if call.dtype == np.float32 else torch.float64
        state = get_initial_state(network, call.batch, np.float64, call.initial_state)
        with self._threads(), torch.set_grad_enabled(differentiate):
            leaves = {name: self._leaf(value, dtype, differentiate) for name, value in call.weights.items()}
            start = {name: self._leaf(value, dtype, differentiate) for name, value in state.items()}
            signal = _dense(x, dtype, self.device) if isinstance(x, Events) else self._leaf(x, dtype, differentiate)
            output, final, records, counts = _run(network, leaves, signal, start, call.record, call.spike_mask)
        saved = _Saved(network, leaves, signal, isinstance(x, Events), start, output, final)
        return Trace(
            _array(output),
            {name: _array(value) for name, value in counts.items()},
            {name: _array(value) for name, value in final.items()},
            {name: _array(value) for name, value in records.items()},
            saved if differentiate else None,
        )

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        saved: _Saved = call.trace.saved
        pairs = [(saved.output, call.output_grad)] if call.output_grad is not None else []
        pairs += [(saved.final[name], bar) for name, bar in call.final_state_grad.items()]
        wanted = dict(saved.weights)
        wanted |= saved.state if call.initial_state_grad else {}
        leaves = [*wanted.values(), *([saved.x] if call.input_grad else [])]
        found = self._pull_back(pairs, leaves)
        grads = dict(zip(wanted, found, strict=False))
        state = {name: grads[name] for name in saved.state} if call.initial_state_grad else None
        return Gradients({n: grads[n] for n in saved.network.shapes()}, found[-1] if call.input_grad else None, state)

    def _pull_back(self, pairs: list[tuple[Tensor, NDArray]], leaves: list[Tensor]) -> list[NDArray]:
        """The gradient of every leaf; 0 where nothing reaches it. The graph is kept for another call."""
        pairs = [(tensor, bar) for tensor, bar in pairs if tensor.requires_grad]
        tensors = [tensor for tensor, _ in pairs]
        bars = [self._leaf(bar, tensor.dtype, False) for tensor, bar in pairs]
        if not pairs:
            return [_array(torch.zeros_like(leaf)) for leaf in leaves]
        with self._threads():
            grads = torch.autograd.grad(tensors, leaves, bars, retain_graph=True, allow_unused=True)
        return [_array(torch.zeros_like(leaf) if g is None else g) for leaf, g in zip(leaves, grads, strict=True)]


def _array(tensor: Tensor) -> NDArray:
    return tensor.detach().cpu().contiguous().numpy()
