"""The task's loss on torch tensors, and the sums of loss and accuracy over an epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from brfkit.evaluation import Sums
from brfkit.task import EVERY, LAST, MAX, MEAN, Task, any_ignored, sample_count


def _rows(task: Task, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs [R, O] that the loss is taken on, and their labels [R]."""
    kept = outputs[task.skip_steps :]
    if not task.plain(labels.numpy(), task.loss_on):
        return _counted_rows(task, kept, labels.numpy(), len(outputs))
    per_step = labels[task.skip_steps :] if labels.ndim == 2 else None
    if task.loss_on == LAST:
        return kept[-1], labels if per_step is None else per_step[-1]
    if task.loss_on == MEAN:
        return kept.mean(0), labels
    if task.loss_on == MAX:
        return kept.max(0).values, labels
    wanted = labels.expand(kept.shape[:2]) if per_step is None else per_step
    return kept.reshape(-1, kept.shape[-1]), wanted.reshape(-1)


def _counted_rows(task: Task, kept: Tensor, labels: NDArray[np.int64], steps: int) -> tuple[Tensor, Tensor]:
    """The rows of `kept` [T', B, O] that count where some labels are left out, and their labels."""
    found = task.counted(labels, task.loss_on, steps)
    columns, wanted = torch.from_numpy(found.columns), torch.from_numpy(np.ascontiguousarray(found.labels))
    if found.steps is not None:
        return kept[torch.from_numpy(found.steps), columns], wanted
    chosen = kept[:, columns]
    if task.loss_on == MEAN:
        return (chosen * torch.from_numpy(found.shares)[..., None].to(kept.dtype)).sum(0), wanted
    left_out = torch.from_numpy(~found.present)[..., None]  # type: ignore[operator]
    return chosen.masked_fill(left_out, -torch.inf).max(0).values, wanted


def task_loss(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of log-softmax over the labelled outputs; 0 where there is none.

    Args:
        task: which outputs count.
        outputs: [T, B, O].
        labels: int64 [B] or [T, B]; -1 is left out.
    """
    rows, wanted = _rows(task, outputs, labels)
    return cross_entropy(rows, wanted) if len(rows) else outputs.sum() * 0.0


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
    """:func:`task_loss` for CPU tensors in one fused pass, and the number of correctly classified rows."""
    rows, wanted = _rows(task, outputs, labels)
    if not len(rows):
        return outputs.sum() * 0.0, 0
    loss, correct = _MeanLikelihood.apply(rows, wanted, threads)
    return loss, int(correct)


class Totals(Sums):
    """Sums over the batches of an epoch, whose losses come with the gradient."""

    def count(self, task: Task, outputs: list[NDArray], labels: NDArray[np.int64], right: int) -> None:
        """Add the answers of a batch.

        Args:
            task: which answers count.
            outputs: [T, B, O] of every window.
            labels: [B] or [T, B].
            right: correctly classified rows of the loss, which are the answers where both are taken alike.
        """
        samples = sample_count(labels)
        if len(outputs) == 1 and task.loss_on == task.accuracy_from and not any_ignored(labels):
            kept = outputs[0].shape[0] - task.skip_steps
            correct, answers = right, samples * (kept if task.loss_on == EVERY else 1)
        else:
            correct, answers = task.correct(np.concatenate(outputs), labels)
        self.correct, self.answers = self.correct + correct, self.answers + answers
        self.samples += samples


def balanced_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Weights [C] in float64 that make all classes weigh alike: n / (C' n_c) for n labels, n_c of them of class c, and
    C' classes that have one. A class without a label has weight 0; labels of -1 do not count."""
    counts = np.bincount(labels[labels >= 0].reshape(-1), minlength=classes)
    weights = np.zeros(len(counts))
    present = counts > 0
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return torch.from_numpy(weights)


def weighted_task_loss(
    task: Task, outputs: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float
) -> tuple[Tensor, int]:
    """:func:`task_loss` with a weight [C] for each class and label smoothing, both as torch's ``cross_entropy`` defines
    them, and the number of rows that are classified rightly. The mean is over the weights of the rows."""
    rows, wanted = _rows(task, outputs, labels)
    if not len(rows):
        return outputs.sum() * 0.0, 0
    cast = None if weights is None else weights.to(rows.dtype)
    loss = cross_entropy(rows, wanted, weight=cast, label_smoothing=smoothing)
    return loss, int((rows.detach().argmax(-1) == wanted).sum())
