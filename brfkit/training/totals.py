"""Sums over the batches of an epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brfkit.evaluation import Sums
from brfkit.task import EVERY, Task, any_ignored, sample_count


class Totals(Sums):
    """Sums over the batches of an epoch, whose losses come with the gradient."""

    def count(self, task: Task, outputs: list[NDArray], labels: NDArray[np.int64], right: int) -> None:
        """Add the answers of a batch.

        Args:
            task: which answers count.
            outputs: [T, B, O] of every window.
            labels: [B] or [T, B].
            right: rightly classified rows of the loss, which are the answers where both are taken alike.
        """
        samples = sample_count(labels)
        if len(outputs) == 1 and task.loss_on == task.accuracy_from and not any_ignored(labels):
            kept = outputs[0].shape[0] - task.skip_steps
            correct, answers = right, samples * (kept if task.loss_on == EVERY else 1)
        else:
            correct, answers = task.correct(np.concatenate(outputs), labels)
        self.correct, self.answers = self.correct + correct, self.answers + answers
        self.samples += samples
