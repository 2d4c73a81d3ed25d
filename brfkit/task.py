"""What a network is asked to do with its outputs: where loss and accuracy are taken in time, and which loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError

LAST, EVERY, MEAN, MAX = "last", "every", "mean", "max"
WHERE = (LAST, EVERY, MEAN, MAX)
OVER_TIME = (MEAN, MAX)


def sample_count(labels: Any) -> int:
    """Number of samples B of labels [B] or [T, B]."""
    return int(labels.shape[-1])


def any_ignored(labels: NDArray) -> bool:
    """Whether some of the labels are left out of loss and accuracy."""
    return bool(labels.size and labels.min() < 0)


@dataclass(frozen=True, eq=False)
class Counted:
    """Which outputs count, of those behind the skipped steps [T', B, O].

    Attributes:
        labels: [R], of the rows that count.
        columns: int64 [R], the samples that they belong to.
        steps: int64 [R], their steps; None where a row is taken over time.
        present: bool [T', R], the steps that a row is taken over; None where it is a single one.
    """

    labels: NDArray
    columns: NDArray[np.intp]
    steps: NDArray[np.intp] | None
    present: NDArray[np.bool_] | None

    @property
    def shares(self) -> NDArray[np.float64]:
        """Weights [T', R] of the mean over the steps that count."""
        assert self.present is not None
        return self.present / self.present.sum(0)


@dataclass(frozen=True)
class Task:
    """Classification from a sequence of outputs [T, B, O].

    Labels are [B], or [T, B] where every step has its own. A label of -1 leaves the sample or the step out of loss and
    accuracy: ``every`` takes the labelled steps, ``last`` the last labelled step of each sample, ``mean`` and ``max``
    go over the labelled steps of each sample, which must then have one label.

    Attributes:
        loss_on: ``last`` step; ``every`` step (mean of the losses); ``mean`` output over time; ``max`` over time of
            every output.
        accuracy_from: the same choices; ``every`` counts every step, ``mean`` compares the mean output over time.
        skip_steps: outputs of the first steps that are ignored.
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
        if labels_per_step and (self.loss_on in OVER_TIME or self.accuracy_from in OVER_TIME):
            over = self.loss_on if self.loss_on in OVER_TIME else self.accuracy_from
            raise BrfkitError(
                f"labels per step do not go with a {over} over time; use loss_on and accuracy_from = every"
            )

    def check_labels(self, steps: int, labels: NDArray) -> None:
        """:meth:`check` for the labels [B] or [T, B] of a batch; those of a padded sample may be the same at every
        step."""
        changing = labels.ndim == 2 and (self.loss_on in OVER_TIME or self.accuracy_from in OVER_TIME)
        if changing:
            least = np.where(labels < 0, np.iinfo(labels.dtype).max, labels).min(0)
            changing = bool(((labels >= 0) & (labels != least)).any())
        self.check(steps, changing)

    def plain(self, labels: NDArray, where: str) -> bool:
        """Whether all outputs of the steps at `where` count, so that nothing has to be picked out."""
        return not any_ignored(labels) and not (labels.ndim == 2 and where in OVER_TIME)

    def counted(self, labels: NDArray[np.int64], where: str, steps: int) -> Counted:
        """Which outputs of sequences of `steps` steps count at `where`; labels are [B] or [T, B]."""
        wanted = np.broadcast_to(labels, (steps, sample_count(labels)))[self.skip_steps :]
        present = wanted >= 0
        if where == EVERY:
            step, column = np.nonzero(present)
            return Counted(wanted[step, column], column, step, None)
        column = np.flatnonzero(present.any(0))
        last = len(present) - 1 - present[::-1, column].argmax(0)
        answer = wanted[last, column]
        if where == LAST:
            return Counted(answer, column, last, None)
        return Counted(answer, column, None, present[:, column])

    def terms(self, labels: NDArray[np.int64], steps: int) -> int:
        """Number of terms of the loss."""
        return len(self.counted(labels, self.loss_on, steps).labels)

    def predictions(self, outputs: NDArray) -> NDArray[np.int64]:
        """Predicted classes: [B], or [T - skip, B] where every step counts."""
        return _plain_rows(outputs[self.skip_steps :], self.accuracy_from).argmax(-1)

    def answers(
        self, outputs: NDArray, labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
        """True and predicted classes [R] of everything that counts in the accuracy, and the samples [R] they are of."""
        rows, wanted = self.rows(outputs, labels, self.accuracy_from)
        if self.plain(labels, self.accuracy_from):
            sample = np.broadcast_to(np.arange(rows.shape[-2]), rows.shape[:-1]).reshape(-1)
        else:
            sample = self.counted(labels, self.accuracy_from, len(outputs)).columns
        return np.broadcast_to(wanted, rows.shape[:-1]).reshape(-1), rows.argmax(-1).reshape(-1), sample

    def correct(self, outputs: NDArray, labels: NDArray[np.int64]) -> tuple[int, int]:
        """Number of right predictions and of predictions; labels are [B] or [T, B]."""
        rows, wanted = self.rows(outputs, labels, self.accuracy_from)
        predicted = rows.argmax(-1)
        return int((predicted == wanted).sum()), int(predicted.size)

    def loss_sum(self, outputs: NDArray, labels: NDArray[np.int64]) -> tuple[float, int]:
        """Negative log-likelihood of log-softmax, summed, and the number of terms."""
        rows, wanted = self.rows(outputs, labels, self.loss_on)
        wanted = np.broadcast_to(wanted, rows.shape[:-1])
        shifted = rows - rows.max(-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(-1))
        chosen = np.take_along_axis(shifted, wanted[..., None], -1)[..., 0]
        return float((log_sum - chosen).sum(dtype=np.float64)), chosen.size

    def rows(self, outputs: NDArray, labels: NDArray[np.int64], where: str) -> tuple[NDArray, NDArray[np.int64]]:
        """Outputs [..., O] that count at `where`, and labels that broadcast to them."""
        kept = outputs[self.skip_steps :]
        if self.plain(labels, where):
            return _plain_rows(kept, where), self._labels(labels, where)
        found = self.counted(labels, where, len(outputs))
        if found.steps is not None:
            return kept[found.steps, found.columns], found.labels
        chosen = kept[:, found.columns]
        if where == MEAN:
            return (chosen * found.shares.astype(kept.dtype)[..., None]).sum(0), found.labels
        assert found.present is not None
        return np.where(found.present[..., None], chosen, -np.inf).max(0, initial=-np.inf), found.labels

    def _labels(self, labels: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        if labels.ndim == 1:
            return labels
        return labels[-1] if where == LAST else labels[self.skip_steps :]


def _plain_rows(kept: NDArray, where: str) -> NDArray:
    """Of outputs [T, B, O] what is looked at: [T, B, O] for ``every``, else [B, O]."""
    if where == LAST:
        return kept[-1]
    if where == MEAN:
        return kept.mean(0)
    return kept.max(0) if where == MAX else kept
