"""The bridge between torch's autograd and the fused scans.

:func:`scan` takes tensors. In plain use it is one ``torch.autograd.Function``; under ``torch.compile``,
``torch.export``, ``torch.jit.trace`` and on meta tensors it is an operator (:mod:`brfkit.nn.operator`), under
``torch.func`` a function with rules for its transforms (:mod:`brfkit.nn.transforms`). All stand on :class:`Call`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brfkit.backends.base import Backend, Input, Trace, check_spike_mask
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network
from brfkit.nn import cuda
from brfkit.nn.plan import Plan, choose, plan_of, run_plan

SECOND = (
    'the fused scans have first derivatives in reverse mode only; backend="torch" has second derivatives '
    "(create_graph=True), torch.func.hessian and forward mode"
)
RECORDS = 'no gradient flows back from the states of every step in the fused scans; backend="torch" has it'
_PLAIN = (Tensor, torch.nn.Parameter)


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


class Call:
    """One use of a network: what its scans need besides tensors.

    ``tensors`` are everywhere the weights in the order of ``plan.weights``, then the initial states in that of
    ``plan.given``; results are the outputs [T, B, O], the final states [B, H] in the order of ``plan.final``, and the
    states of every step [T, B, H] in that of ``plan.record``.
    """

    __slots__ = ("backend", "device", "events", "mask", "plan", "trace")

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        device: torch.device,
        events: Events | None = None,
        mask: SpikeMask | None = None,
    ) -> None:
        self.plan, self.backend, self.device, self.events, self.mask = plan, backend, device, events, mask
        self.trace: Trace | None = None

    def forward(self, x: Tensor | None, tensors: Sequence[Tensor], differentiate: bool) -> tuple[list[Tensor], Trace]:
        """The results as tensors, and the trace that they came from."""
        plan = self.plan
        count = len(plan.weights)
        with _stream_of(self.device):
            values = [_array(t) for t in tensors]
            weights = dict(zip(plan.weights, values, strict=False))
            state = dict(zip(plan.given, values[count:], strict=True))
            signal: Input = self.events if self.events is not None else _array(x)  # type: ignore[arg-type]
            trace = self.backend.scan(
                plan.network, weights, signal,
                initial_state=state, record=plan.record, differentiate=differentiate, spike_mask=self.mask,
            )  # fmt: skip
            if self.device.type == "cuda":  # further sums belong on torch's stream, too
                trace.spike_counts = {name: _tensor(v) for name, v in trace.spike_counts.items()}  # type: ignore[misc]
            results = [_tensor(trace.outputs)]
            results += [_tensor(trace.final_state[name]) for name in plan.final]
            results += [_tensor(trace.records[name]) for name in plan.record]
        return results, trace

    def backward(
        self, trace: Trace, grads: Sequence[Tensor | None], input_grad: bool, state_grad: bool
    ) -> list[Tensor | None]:
        """Gradients of x (None unless it is asked for) and of the tensors (None for states unless asked for), from
        those of the results."""
        plan = self.plan
        last = 1 + len(plan.final)
        for grad in grads[last:]:
            if grad is not None and bool(grad.any()):
                raise BrfkitError(RECORDS)
        with _stream_of(self.device):
            final = {n: _array(g) for n, g in zip(plan.final, grads[1:last], strict=True) if g is not None}
            result = self.backend.scan_vjp(
                trace,
                None if grads[0] is None else _array(grads[0]),
                final_state_grad=final,
                input_grad=input_grad,
                initial_state_grad=state_grad,
            )
            found = [None if result.input is None else _tensor(result.input)]
            found += [_tensor(result.weights[name]) for name in plan.weights]
            start = result.initial_state
            found += [None if start is None else _tensor(start[name]) for name in plan.given]
        return found

    def trace_of(self, token: Tensor, x: Tensor | None, tensors: Sequence[Tensor]) -> Trace:
        """The trace that a token carries; made again where a copy was saved in its place."""
        kept: Trace | None = getattr(token, "brfkit_trace", None)
        return kept if kept is not None else self.forward(x, tensors, True)[1]


def token_of(trace: object | None) -> Tensor:
    """A tensor of no elements that carries a trace: torch frees what lies on it when it frees what was saved."""
    token = torch.empty(0, device="cpu")
    if trace is not None:
        token.brfkit_trace = trace  # type: ignore[attr-defined]
    return token


class _Scan(torch.autograd.Function):
    """The scan in plain use; the backward pass is ``scan_vjp``."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        results, trace = call.forward(x, tensors, True)
        # Weights and input are saved for torch to notice if they change before the backward pass.
        ctx.save_for_backward(x, *tensors, token_of(trace))
        ctx.call, call.trace = call, trace
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        call: Call = ctx.call
        x, *tensors, token = ctx.saved_tensors
        needs = ctx.needs_input_grad
        count = len(call.plan.weights)
        wanted = needs[1], any(needs[2 + count :])
        if torch._C._are_functorch_transforms_active():  # a batch of gradients
            from brfkit.nn.transforms import vjp

            return None, *vjp(call, x, tensors, token, grads, *wanted)
        if _old_vmap():
            raise BrfkitError("vectorize=True and is_grads_batched=True are not supported; use torch.func.jacrev")
        found = call.backward(call.trace_of(token, x, tensors), grads, *wanted)
        if torch.is_grad_enabled():  # create_graph=True: the result must not pass for a constant
            found = list(_Last.apply(len(found), *found, x, *tensors))
        return None, *(value if need else None for value, need in zip(found, needs[1:], strict=True))

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise BrfkitError(SECOND)


def _old_vmap() -> bool:
    """Whether the vmap of ``torch.autograd`` (not that of ``torch.func``) is at work, which has no rule for this."""
    level = torch._C._vmapmode_increment_nesting()
    torch._C._vmapmode_decrement_nesting()
    return level > 1


class _Last(torch.autograd.Function):
    """Hands gradients on as results of the tensors that they depend on, and refuses to be differentiated itself."""

    @staticmethod
    def forward(ctx: Any, count: int, *values: Any) -> tuple[Any, ...]:
        return values[:count]

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise BrfkitError(SECOND)


def is_plain(x: Tensor | None, tensors: Sequence[Tensor]) -> bool:
    """Whether these are ordinary tensors in ordinary use: nothing compiles or traces, and memory is there to read."""
    if torch._C._get_tracing_state() is not None:
        return False
    plain = all(type(t) in _PLAIN for t in tensors) and (x is None or type(x) in _PLAIN)
    return plain and (x if x is not None else tensors[0]).device.type != "meta"


def run(
    plan: Plan,
    x: Tensor | Events,
    tensors: Sequence[Tensor],
    *,
    backend: Backend | None = None,
    mask: SpikeMask | None = None,
    device: torch.device | None = None,
) -> tuple[Sequence[Tensor], Trace | None]:
    """The results of a scan (see :class:`Call`), and the trace where a fused backend is in plain use.

    A trace holds what the backward pass needs: keep no reference to it beyond the call.

    Args:
        plan: description.
        x: [T, B, I] or events.
        tensors: see :class:`Call`.
        backend: None takes the plan's for the device of the tensors.
        mask: which spikes are dropped; None drops none.
        device: where the tensors are; None reads it from them.
    """
    if torch.compiler.is_compiling():
        return run_operator(plan, x, tensors), None
    events, signal = (x, None) if isinstance(x, Events) else (None, x)
    functional = torch._C._are_functorch_transforms_active()
    if not functional and not is_plain(signal, tensors):
        return run_operator(plan, x, tensors), None
    chosen = choose(plan.backend, tensors[0].device) if backend is None else backend
    if chosen is None:
        return run_plan(plan, x, tensors), None
    call = Call(plan, chosen, device or tensors[0].device, events, mask)
    if functional:
        from brfkit.nn.transforms import transformed

        return transformed(call, signal, tensors), None
    wanted = (signal is not None and signal.requires_grad) or any(t.requires_grad for t in tensors)
    if wanted and torch.is_grad_enabled():
        results: Sequence[Tensor] = _Scan.apply(call, signal, *tensors)
        trace, call.trace = call.trace, None
        return results, trace
    return call.forward(signal, tensors, False)


def run_operator(plan: Plan, x: Tensor | Events, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The results of a scan as an operator of torch, which compilers take as it is."""
    if isinstance(x, Events):
        raise BrfkitError("events cannot be compiled or exported; give the input as a tensor")
    keep = torch.is_grad_enabled() and (x.requires_grad or any(t.requires_grad for t in tensors))
    keep = keep and (torch.compiler.is_compiling() or not torch.jit.is_tracing())  # a trace's graph is for both uses
    results: Sequence[Tensor] = torch.ops.brfkit.scan(x, tensors, plan.text, keep)
    return results[:-1]


def scan(
    backend: Backend,
    network: Network,
    weights: Mapping[str, Tensor],
    x: Tensor | Events,
    state: Mapping[str, Tensor] | None = None,
    spike_mask: SpikeMask | None = None,
) -> tuple[Tensor, dict[str, Tensor], Trace]:
    """Run a network on tensors with a fused backend; gradients flow to weights, input and initial state.

    Args:
        backend: numba, or any other backend that takes arrays; cupy for tensors on a CUDA device, which are not copied
            and whose current stream it works on. (It takes CPU tensors as well, and copies them there and back.)
        network: description.
        weights: by name; all of one dtype.
        x: [T, B, I] or events.
        state: initial state ``<layer>.<state>`` [B, H]; what is missing is 0.
        spike_mask: which hidden spikes are dropped; None drops none.

    Returns:
        Outputs [T, B, O], the final state by name, and the trace (spike counts). The trace holds what the backward
        pass needs, so keep it no longer than its numbers are read.

    Raises:
        BrfkitError: tensors on a device that the backend does not compute on, a backend that cannot lose spikes, or a
            use under ``torch.compile``, ``torch.func`` and the like, where only :class:`brfkit.nn.NetworkModule` works.
    """
    if spike_mask is not None:
        check_spike_mask(backend)
    state = dict(state or {})
    tensor = None if isinstance(x, Events) else x
    named = {"the input": tensor, **weights, **{f"initial state {n}": v for n, v in state.items()}}
    device = _common_device(backend, {name: value for name, value in named.items() if value is not None})
    plan = plan_of(network, backend, tuple(state), ())
    tensors = [*(weights[n] for n in plan.weights), *state.values()]
    (outputs, *final), trace = run(plan, x, tensors, backend=backend, mask=spike_mask, device=device)
    if trace is None:
        raise BrfkitError("scan gives no trace under torch.compile, torch.func and the like; use NetworkModule")
    return outputs, dict(zip(plan.final, final, strict=True)), trace


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
