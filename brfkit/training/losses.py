"""The task's loss on torch tensors."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from brfkit.task import EVERY, LAST, MEAN, Task


def task_loss(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of log-softmax.

    Args:
        task: which outputs count.
        outputs: [T, B, O].
        labels: int64 [B] or [T, B].
    """
    kept = outputs[task.skip_steps :]
    per_step = labels[task.skip_steps :] if labels.ndim == 2 else None
    if task.loss_on == LAST:
        return cross_entropy(kept[-1], labels if per_step is None else per_step[-1])
    if task.loss_on == MEAN:
        return cross_entropy(kept.mean(0), labels)
    assert task.loss_on == EVERY
    wanted = labels.expand(kept.shape[:2]) if per_step is None else per_step
    return cross_entropy(kept.reshape(-1, kept.shape[-1]), wanted.reshape(-1))
