"""The scans under ``torch.func``: gradients, Jacobians, vmap over inputs, states and weights.

A batch of inputs is folded into the batch of samples. A batch of weights is scanned one set after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brfkit.errors import BrfkitError
from brfkit.nn.function import SECOND, Call, token_of


def transformed(call: Call, x: Tensor | None, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The results of a scan, in a form that the transforms of ``torch.func`` take."""
    results: tuple[Tensor, ...] = _Scan.apply(call, x, *tensors)
    return results[:-1]


def vjp(
    call: Call,
    x: Tensor | None,
    tensors: Sequence[Tensor],
    token: Tensor,
    grads: Sequence[Tensor | None],
    input_grad: bool,
    state_grad: bool,
) -> list[Tensor | None]:
    """Gradients of x and of the tensors from those of the results, in a form that the transforms take."""
    wanted = (input_grad, *(True for _ in call.plan.weights), *(state_grad for _ in call.plan.given))
    found = iter(_ScanVjp.apply(call, (input_grad, state_grad), x, token, len(tensors), *tensors, *grads))
    return [next(found) if want else None for want in wanted]


class _Scan(torch.autograd.Function):
    """The scan; its last result is the token that carries the trace."""

    @staticmethod
    def forward(call: Call, x: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        results, trace = call.forward(x, tensors, True)
        return *results, token_of(trace)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call = inputs[0]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[-1])
        ctx.save_for_backward(*inputs[1:], output[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        x, *tensors, token = ctx.saved_tensors
        needs = ctx.needs_input_grad
        count = len(ctx.call.plan.weights)
        return None, *vjp(ctx.call, x, tensors, token, grads[:-1], needs[1], any(needs[2 + count :]))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], call: Call, x: Tensor | None, *tensors: Tensor) -> Any:
        count = len(call.plan.weights)
        dims = in_dims[2:]
        if x is None or any(d is not None for d in dims[:count]):
            each = [_Scan.apply(call, *_pick(i, in_dims[1:], (x, *tensors)))[:-1] for i in range(info.batch_size)]
            results = [torch.stack(column) for column in zip(*each, strict=True)]
            return (*results, token_of(None)), (*(0 for _ in results), None)
        size = info.batch_size
        folded = _fold(x, in_dims[1], size, 1)
        states = [_fold(s, d, size, 0) for s, d in zip(tensors[count:], dims[count:], strict=True)]
        *results, _ = _Scan.apply(call, folded, *tensors[:count], *states)
        # [T, V B, ...] of outputs and records, [V B, ...] of final states
        places = [1, *(0 for _ in call.plan.final), *(1 for _ in call.plan.record)]
        split = [r.unflatten(p, (size, r.shape[p] // size)) for r, p in zip(results, places, strict=True)]
        return (*split, token_of(None)), (*places, None)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise BrfkitError(SECOND)


class _ScanVjp(torch.autograd.Function):
    """Gradients of x, weights and initial states; those that are not asked for are left out."""

    @staticmethod
    def forward(
        call: Call, wanted: tuple[bool, bool], x: Tensor | None, token: Tensor, count: int, *values: Any
    ) -> tuple[Tensor, ...]:
        tensors, grads = values[:count], values[count:]
        found = call.backward(call.trace_of(token, x, tensors), grads, *wanted)
        return tuple(value for value in found if value is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        return None

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise BrfkitError(SECOND)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], call: Call, wanted: tuple[bool, bool], x: Any, token: Any, count: int,
        *values: Any,
    ) -> Any:  # fmt: skip
        each = []
        for i in range(info.batch_size):
            one, *rest = _pick(i, (in_dims[2], *in_dims[5:]), (x, *values))
            each.append(_ScanVjp.apply(call, wanted, one, token, count, *rest))
        results = tuple(torch.stack(column) for column in zip(*each, strict=True))
        return results, tuple(0 for _ in results)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise BrfkitError(SECOND)


def _pick(index: int, dims: Sequence[int | None], values: Sequence[Any]) -> list[Any]:
    """Element ``index`` of what is batched; the rest as it is."""
    return [v if d is None else v.select(d, index) for v, d in zip(values, dims, strict=True)]


def _fold(value: Tensor, dim: int | None, size: int, place: int) -> Tensor:
    """A batched tensor with its samples, at ``place``, as those of one batch [V B]."""
    whole = value.unsqueeze(place).expand(*value.shape[:place], size, *value.shape[place:])
    if dim is not None:
        whole = value.movedim(dim, place)
    return whole.flatten(place, place + 1)
