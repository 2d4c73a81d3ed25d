"""What a network is asked to do with its outputs: where loss and accuracy are taken in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError

LAST, EVERY, MEAN = "last", "every", "mean"
WHERE = (LAST, EVERY, MEAN)


@dataclass(frozen=True)
class Task:
    """Classification from a sequence of outputs [T, B, O].

    Attributes:
        loss_on: ``last`` step; ``every`` step (mean of the losses); ``mean`` output over time.
        accuracy_from: the same choices; ``every`` counts every step, ``mean`` compares the mean output over time.
        skip_steps: outputs of the first steps that are not looked at.
    """

    loss_on: str = EVERY
    accuracy_from: str = EVERY
    skip_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("loss_on", "accuracy_from"):
            if getattr(self, name) not in WHERE:
                raise BrfkitError(f"{name} must be one of {', '.join(WHERE)}, not {getattr(self, name)!r}")
        if self.skip_steps < 0:
            raise BrfkitError(f"skip_steps must not be negative, but is {self.skip_steps}")

    def check(self, steps: int, labels_per_step: bool) -> None:
        """Refuse a task that the data cannot answer."""
        if self.skip_steps >= steps:
            raise BrfkitError(f"skip_steps is {self.skip_steps}, but the sequences have only {steps} steps")
        if labels_per_step and (self.loss_on == MEAN or self.accuracy_from == MEAN):
            raise BrfkitError("labels per step do not go with a mean over time; use loss_on and accuracy_from = every")

    def predictions(self, outputs: NDArray) -> NDArray[np.int64]:
        """Predicted classes: [B], or [T - skip, B] where every step counts."""
        kept = outputs[self.skip_steps :]
        if self.accuracy_from == LAST:
            return kept[-1].argmax(-1)
        if self.accuracy_from == MEAN:
            return kept.mean(0).argmax(-1)
        return kept.argmax(-1)

    def correct(self, outputs: NDArray, labels: NDArray[np.int64]) -> tuple[int, int]:
        """Number of right predictions and of predictions; labels are [B] or [T, B]."""
        predicted = self.predictions(outputs)
        wanted = self._labels(labels, self.accuracy_from)
        return int((predicted == wanted).sum()), int(predicted.size)

    def loss_sum(self, outputs: NDArray, labels: NDArray[np.int64]) -> tuple[float, int]:
        """Negative log-likelihood of log-softmax, summed, and the number of terms."""
        kept = outputs[self.skip_steps :]
        if self.loss_on == LAST:
            kept = kept[-1:]
        elif self.loss_on == MEAN:
            kept = kept.mean(0, keepdims=True)
        wanted = np.broadcast_to(self._labels(labels, self.loss_on), kept.shape[:2])
        shifted = kept - kept.max(-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(-1))
        chosen = np.take_along_axis(shifted, wanted[..., None], -1)[..., 0]
        return float((log_sum - chosen).sum(dtype=np.float64)), chosen.size

    def _labels(self, labels: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        if labels.ndim == 1:
            return labels
        return labels[-1] if where == LAST else labels[self.skip_steps :]
