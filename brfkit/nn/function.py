"""The bridge between torch's autograd and the fused scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brfkit.backends.base import Backend, Input, Trace
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network


def _array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory as an array; CPU only, copied only where it is not contiguous."""
    return tensor.detach().contiguous().numpy()


class _Scan(torch.autograd.Function):
    """Outputs and final states of a network; the backward pass is ``scan_vjp``."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        values = [_array(t) for t in tensors]
        weights = dict(zip(call.weight_names, values, strict=False))
        state = dict(zip(call.state_names, values[len(call.weight_names) :], strict=True))
        signal: Input = call.events if call.events is not None else _array(x)  # type: ignore[arg-type]
        ctx.set_materialize_grads(False)
        needed = any(ctx.needs_input_grad)
        trace = call.backend.scan(call.network, weights, signal, initial_state=state, differentiate=needed)
        call.trace = trace
        ctx.call, ctx.trace = call, trace
        call.final_names = tuple(trace.final_state)
        return (torch.from_numpy(trace.outputs), *(torch.from_numpy(v) for v in trace.final_state.values()))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        call: Call = ctx.call
        final = {name: _array(g) for name, g in zip(call.final_names, grads[1:], strict=True) if g is not None}
        needs = ctx.needs_input_grad
        n_weights = len(call.weight_names)
        result = call.backend.scan_vjp(
            ctx.trace,
            None if grads[0] is None else _array(grads[0]),
            final_state_grad=final,
            input_grad=needs[1],
            initial_state_grad=any(needs[2 + n_weights :]),
        )
        out: list[Any] = [None, torch.from_numpy(result.input) if result.input is not None else None]
        out += [torch.from_numpy(result.weights[name]) for name in call.weight_names]
        for name in call.state_names:
            out.append(torch.from_numpy(result.initial_state[name]) if result.initial_state is not None else None)
        return tuple(out)


class Call:
    """One use of a network: what the autograd function needs besides tensors, and the trace that it made."""

    def __init__(self, backend: Backend, network: Network, state_names: tuple[str, ...], events: Events | None) -> None:
        self.backend = backend
        self.network = network
        self.weight_names = tuple(network.shapes())
        self.state_names = state_names
        self.events = events
        self.final_names: tuple[str, ...] = ()
        self.trace: Trace | None = None


def scan(
    backend: Backend,
    network: Network,
    weights: Mapping[str, Tensor],
    x: Tensor | Events,
    state: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor], Trace]:
    """Run a network on CPU tensors with a fused backend; gradients flow to weights, input and initial state.

    Args:
        backend: numba, or any other backend that takes arrays.
        network: description.
        weights: by name; all of one dtype.
        x: [T, B, I] or events.
        state: initial state ``<layer>.<state>`` [B, H]; what is missing is 0.

    Returns:
        Outputs [T, B, O], the final state by name, and the trace (spike counts).
    """
    state = dict(state or {})
    events = x if isinstance(x, Events) else None
    tensor = None if isinstance(x, Events) else x
    for name, value in (("the input", tensor), *weights.items()):
        if value is not None and value.device.type != "cpu":
            raise BrfkitError(f"{name} is on {value.device}; backend {backend.name} computes on the CPU")
    call = Call(backend, network, tuple(state), events)
    outputs, *final = _Scan.apply(call, tensor, *(weights[n] for n in call.weight_names), *state.values())
    assert call.trace is not None
    return outputs, dict(zip(call.final_names, final, strict=True)), call.trace
