"""The bridge between torch's autograd and the fused scans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brfkit.backends.base import Backend, Input, Trace, check_spike_mask
from brfkit.backends.spike_loss import SpikeLoss
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network
from brfkit.nn import cuda


def _array(tensor: Tensor) -> Any:
    """The tensor's memory as an array of NumPy or CuPy, copied only where it is not contiguous."""
    if tensor.device.type == "cuda":
        return cuda.to_cupy(tensor)
    return tensor.detach().contiguous().numpy()


def _tensor(array: Any) -> Tensor:
    """The inverse of :func:`_array`."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else cuda.to_torch(array)


@contextmanager
def _stream_of(device: torch.device) -> Iterator[None]:
    """What is computed inside goes to torch's current stream of the device."""
    if device.type != "cuda":
        yield
        return
    with cuda.on_torch_stream(device):
        yield


class _Scan(torch.autograd.Function):
    """Outputs and final states of a network; the backward pass is ``scan_vjp``."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        needed = any(ctx.needs_input_grad)
        with _stream_of(call.device):
            values = [_array(t) for t in tensors]
            weights = dict(zip(call.weight_names, values, strict=False))
            state = dict(zip(call.state_names, values[len(call.weight_names) :], strict=True))
            signal: Input = call.events if call.events is not None else _array(x)  # type: ignore[arg-type]
            trace = call.backend.scan(
                call.network, weights, signal, initial_state=state, differentiate=needed, spike_mask=call.spike_loss
            )
            if call.device.type == "cuda":
                # The way back reads weights and input where they lie, so torch must notice if they change before it.
                ctx.save_for_backward(x, *tensors)
                # Further sums belong on torch's stream, too.
                trace.spike_counts = {name: _tensor(v) for name, v in trace.spike_counts.items()}  # type: ignore[misc]
            results = [_tensor(trace.outputs), *(_tensor(v) for v in trace.final_state.values())]
        ctx.call, ctx.trace = call, trace
        call.trace, call.final_names = trace, tuple(trace.final_state)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        call: Call = ctx.call
        if call.device.type == "cuda":
            _ = ctx.saved_tensors  # raises where one of them was changed in place
        needs = ctx.needs_input_grad
        n_weights = len(call.weight_names)
        with _stream_of(call.device):
            final = {name: _array(g) for name, g in zip(call.final_names, grads[1:], strict=True) if g is not None}
            result = call.backend.scan_vjp(
                ctx.trace,
                None if grads[0] is None else _array(grads[0]),
                final_state_grad=final,
                input_grad=needs[1],
                initial_state_grad=any(needs[2 + n_weights :]),
            )
            out: list[Any] = [None, _tensor(result.input) if result.input is not None else None]
            out += [_tensor(result.weights[name]) for name in call.weight_names]
            for name in call.state_names:
                out.append(_tensor(result.initial_state[name]) if result.initial_state is not None else None)
        return tuple(out)


class Call:
    """One use of a network: what the autograd function needs besides tensors, and the trace that it made."""

    def __init__(
        self,
        backend: Backend,
        network: Network,
        state_names: tuple[str, ...],
        events: Events | None,
        device: torch.device,
        spike_loss: SpikeLoss | None = None,
    ) -> None:
        self.backend = backend
        self.spike_loss = spike_loss
        self.network = network
        self.device = device
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
    spike_loss: SpikeLoss | None = None,
) -> tuple[Tensor, dict[str, Tensor], Trace]:
    """Run a network on tensors with a fused backend; gradients flow to weights, input and initial state.

    Args:
        backend: numba, or any other backend that takes arrays; cupy for tensors on a CUDA device, which are not copied
            and whose current stream it works on. (It takes CPU tensors as well, and copies them there and back.)
        network: description.
        weights: by name; all of one dtype.
        x: [T, B, I] or events.
        state: initial state ``<layer>.<state>`` [B, H]; what is missing is 0.
        spike_loss: which spikes are lost on their way to other neurons; None loses none.

    Returns:
        Outputs [T, B, O], the final state by name, and the trace (spike counts).

    Raises:
        BrfkitError: tensors on a device that the backend does not compute on, or a backend that cannot lose spikes.
    """
    if spike_loss is not None:
        check_spike_mask(backend)
    state = dict(state or {})
    events = x if isinstance(x, Events) else None
    tensor = None if isinstance(x, Events) else x
    named = {"the input": tensor, **weights, **{f"initial state {n}": v for n, v in state.items()}}
    device = _common_device(backend, {name: value for name, value in named.items() if value is not None})
    call = Call(backend, network, tuple(state), events, device, spike_loss)
    outputs, *final = _Scan.apply(call, tensor, *(weights[n] for n in call.weight_names), *state.values())
    assert call.trace is not None
    return outputs, dict(zip(call.final_names, final, strict=True)), call.trace


def _common_device(backend: Backend, tensors: Mapping[str, Tensor]) -> torch.device:
    """The device that all tensors are on; refuse one that the backend does not compute on."""
    device = next(iter(tensors.values())).device
    for name, value in tensors.items():
        if value.device.type not in ("cpu", backend.capabilities.device):
            where = "CUDA devices" if backend.capabilities.device == "cuda" else "the CPU"
            raise BrfkitError(f"{name} is on {value.device}; backend {backend.name} computes on {where}")
    for name, value in tensors.items():
        if value.device != device:
            first = next(iter(tensors))
            raise BrfkitError(f"{name} is on {value.device}, {first} on {device}; put them on one device")
    return device
