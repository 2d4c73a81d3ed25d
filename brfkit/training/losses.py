"""The task's loss on torch tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from brfkit.task import LAST, MEAN, Task


def _rows(task: Task, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs [R, O] that the loss is taken on, and their labels [R]."""
    kept = outputs[task.skip_steps :]
    per_step = labels[task.skip_steps :] if labels.ndim == 2 else None
    if task.loss_on == LAST:
        return kept[-1], labels if per_step is None else per_step[-1]
    if task.loss_on == MEAN:
        return kept.mean(0), labels
    wanted = labels.expand(kept.shape[:2]) if per_step is None else per_step
    return kept.reshape(-1, kept.shape[-1]), wanted.reshape(-1)


def task_loss(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of log-softmax.

    Args:
        task: which outputs count.
        outputs: [T, B, O].
        labels: int64 [B] or [T, B].
    """
    return cross_entropy(*_rows(task, outputs, labels))


class _MeanLikelihood(torch.autograd.Function):
    """Mean of the losses of rows [R, O]; loss and gradient come from one fused pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, labels: Tensor, threads: int) -> tuple[Tensor, Tensor]:
        from brfkit.backends.numba_cpu.loss import nll

        total, grad, correct = nll(np.ascontiguousarray(rows.numpy()), np.ascontiguousarray(labels.numpy()), threads)
        ctx.grad = torch.from_numpy(grad)
        right = torch.tensor(correct)
        ctx.mark_non_differentiable(right)
        return torch.tensor(total / len(grad), dtype=rows.dtype), right

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        scale = float(grads[0])
        return (ctx.grad if scale == 1.0 else ctx.grad * scale), None, None


def fused_task_loss(task: Task, outputs: Tensor, labels: Tensor, threads: int = 1) -> tuple[Tensor, int]:
    """:func:`task_loss` for CPU tensors in one fused pass, and the number of rows that are classified rightly."""
    loss, correct = _MeanLikelihood.apply(*_rows(task, outputs, labels), threads)
    return loss, int(correct)
