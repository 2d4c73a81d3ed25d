"""The scans as operators of torch, ``brfkit::scan`` and ``brfkit::scan_vjp``: opaque to compilers, with their shapes.

``torch.compile``, ``torch.export``, ``torch.jit.trace`` and meta tensors meet these. An operator takes the network as
text (:class:`brfkit.nn.plan.Plan`), so that an exported program runs in a process that has imported ``brfkit.nn``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brfkit.backends.base import check_input
from brfkit.errors import BrfkitError
from brfkit.nn.function import SECOND, Call, token_of
from brfkit.nn.plan import Plan, choose, run_plan


@dataclass
class EagerTrace:
    """The graph of a scan: leaves and results."""

    x: Tensor
    tensors: list[Tensor]
    results: list[Tensor]


class EagerCall:
    """As :class:`brfkit.nn.function.Call`, on any device."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def forward(self, x: Tensor, tensors: Sequence[Tensor], differentiate: bool) -> tuple[list[Tensor], EagerTrace]:
        # Operators are called with autograd switched off, below what enable_grad reaches.
        recording = torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, not differentiate)
        with torch.set_grad_enabled(differentiate), recording:
            leaves = [t.detach().requires_grad_(differentiate) for t in (x, *tensors)]
            results = run_plan(self.plan, leaves[0], leaves[1:])
        return [r.detach() for r in results], EagerTrace(leaves[0], leaves[1:], results)

    def backward(
        self, trace: EagerTrace, grads: Sequence[Tensor | None], input_grad: bool, state_grad: bool
    ) -> list[Tensor | None]:
        pairs = [(r, g) for r, g in zip(trace.results, grads, strict=True) if g is not None and r.requires_grad]
        weights = trace.tensors if state_grad else trace.tensors[: len(self.plan.weights)]
        leaves = [trace.x, *weights] if input_grad else weights
        results, bars = [r for r, _ in pairs], [g for _, g in pairs]
        found = torch.autograd.grad(results, leaves, bars, retain_graph=True, materialize_grads=True)
        return [*(() if input_grad else (None,)), *found, *(None for _ in trace.tensors[len(weights) :])]

    def trace_of(self, token: Tensor, x: Tensor, tensors: Sequence[Tensor]) -> EagerTrace:
        kept: EagerTrace | None = getattr(token, "brfkit_trace", None)
        return kept if kept is not None else self.forward(x, tensors, True)[1]


def _call(plan: Plan, x: Tensor) -> Any:
    backend = choose(plan.backend, x.device)
    return EagerCall(plan) if backend is None else Call(plan, backend, x.device)


@torch.library.custom_op(
    "brfkit::scan", mutates_args=(), schema="(Tensor x, Tensor[] tensors, str plan, bool keep) -> Tensor[]"
)
def scan(x: Tensor, tensors: Sequence[Tensor], plan: str, keep: bool) -> list[Tensor]:
    """The results of a scan and, last, a token that carries the trace if it is to be kept."""
    call = _call(Plan.parse(plan), x)
    results, trace = call.forward(x, tensors, keep)
    return [*(r.contiguous() for r in results), token_of(trace if keep else None)]


@scan.register_fake
def _(x: Tensor, tensors: Sequence[Tensor], plan: str, keep: bool) -> list[Tensor]:
    p = Plan.parse(plan)
    steps, batch = check_input(p.network, x)  # type: ignore[arg-type]  # only its shape is read
    like = tensors[0]
    results = [like.new_empty((steps, batch, p.network.outputs))]
    results += [like.new_empty((batch, p.units[name])) for name in p.final]
    results += [like.new_empty((steps, batch, p.units[name])) for name in p.record]
    return [*results, torch.empty(0, device="cpu")]


@torch.library.custom_op(
    "brfkit::scan_vjp",
    mutates_args=(),
    schema="(Tensor x, Tensor[] tensors, Tensor token, Tensor?[] grads, str plan, bool input_grad) -> Tensor[]",
)
def scan_vjp(
    x: Tensor, tensors: Sequence[Tensor], token: Tensor, grads: Sequence[Tensor | None], plan: str, input_grad: bool
) -> list[Tensor]:
    """Gradients of x, if asked for, and of the tensors."""
    call = _call(Plan.parse(plan), x)
    found = call.backward(call.trace_of(token, x, tensors), grads, input_grad, True)
    return [value.contiguous() for value in found if value is not None]


@scan_vjp.register_fake
def _(
    x: Tensor, tensors: Sequence[Tensor], token: Tensor, grads: Sequence[Tensor | None], plan: str, input_grad: bool
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t in ([x, *tensors] if input_grad else tensors)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    x, tensors, ctx.plan, _ = inputs
    ctx.save_for_backward(x, *tensors, output[-1])


def _backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    x, *tensors, token = ctx.saved_tensors
    found = list(torch.ops.brfkit.scan_vjp(x, tensors, token, grads[:-1], ctx.plan, ctx.needs_input_grad[0]))
    x_grad = found.pop(0) if ctx.needs_input_grad[0] else None
    return x_grad, found, None, None


def _refuse(ctx: Any, *_: Any) -> Any:
    raise BrfkitError(SECOND)


scan.register_autograd(_backward, setup_context=_setup)
scan_vjp.register_autograd(_refuse)
