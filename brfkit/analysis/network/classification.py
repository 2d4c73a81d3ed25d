"""What a classifier confuses with what, and how certain its accuracy is. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 95.0
MOST_CLASSES = 1000
"""Above it, no confusion matrix is kept."""


@dataclass(frozen=True, eq=False)
class Classification:
    """Answers of a classifier, class by class.

    Attributes:
        class_names: C names, of the outputs of the network.
        confusion: int64 [C, C], rows the true class, columns the predicted one; None for more than
            :data:`MOST_CLASSES` classes.
        right, true, predicted: int64 [C], right answers, labels and predictions of each class.
        interval: 95 % interval of the accuracy in percent, bootstrapped over samples.
    """

    class_names: tuple[str, ...]
    confusion: NDArray[np.int64] | None
    right: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    interval: tuple[float, float]

    @property
    def recall(self) -> NDArray[np.float64]:
        """Percent of the labels of each class [C] that are answered rightly; NaN for a class without a label."""
        return 100.0 * _ratio(self.right, self.true)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall in percent over the classes that have a label."""
        return _mean(self.recall)

    @property
    def macro_f1(self) -> float:
        """Mean over classes of the harmonic mean of precision and recall, in percent; classes that are neither labels
        nor predictions are left out."""
        return _mean(100.0 * _ratio(2 * self.right, self.true + self.predicted))

    def to_dict(self) -> dict[str, object]:
        """Plain values; None where there is no number."""
        return {
            "accuracy_interval": [_plain(end) for end in self.interval],
            "balanced_accuracy": _plain(self.balanced_accuracy),
            "macro_f1": _plain(self.macro_f1),
            "recall": [_plain(value) for value in self.recall.tolist()],
            "class_names": list(self.class_names),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
        }


@dataclass
class Answers:
    """Adds up the answers of batch after batch.

    Args:
        classes: number of outputs of the network.
    """

    classes: int
    _counts: NDArray[np.int64] = field(init=False)
    _confusion: NDArray[np.int64] | None = field(init=False)
    _samples: list[NDArray[np.int64]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._counts = np.zeros((3, self.classes), np.int64)
        size = (self.classes, self.classes)
        self._confusion = np.zeros(size, np.int64) if self.classes <= MOST_CLASSES else None

    def add(self, true: NDArray[np.int64], predicted: NDArray[np.int64], sample: NDArray[np.intp], count: int) -> None:
        """Add the answers [R] of a batch of `count` samples; `sample` says to which sample each belongs."""
        right = true == predicted
        for row, labels in enumerate((true[right], true, predicted)):
            self._counts[row] += np.bincount(labels, minlength=self.classes)
        if self._confusion is not None:
            pairs = np.bincount(true * self.classes + predicted, minlength=self._confusion.size)
            self._confusion += pairs.reshape(self._confusion.shape)
        answers = np.bincount(sample, minlength=count)
        self._samples.append(np.stack([np.bincount(sample[right], minlength=count), answers]))

    def result(self, class_names: tuple[str, ...], seed: int = 0) -> Classification:
        """What all of them come to; `class_names` may be fewer than the outputs. `seed` draws the bootstrap."""
        names = (*class_names, *(str(number) for number in range(len(class_names), self.classes)))
        correct, answers = np.concatenate(self._samples, 1)
        right, true, predicted = self._counts
        ends = interval(correct, answers, seed)
        return Classification(names, self._confusion, right, true, predicted, ends)


def interval(
    correct: NDArray[np.int64], answers: NDArray[np.int64], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % percentile interval of the accuracy in percent, from bootstrapped samples.

    Whole samples are drawn with replacement: steps of one sample depend on each other.

    Args:
        correct, answers: int64 [N], right and all answers of each sample.
        seed: of the draws.
        resamples: their number.

    Returns:
        Lower and upper end; NaN where nothing is answered.
    """
    counted = answers > 0
    correct, answers = correct[counted], answers[counted]
    samples = len(answers)
    if not samples:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    if (answers == answers[0]).all() and correct.max() <= 1 == answers[0]:  # the sum of such draws is binomial
        accuracy = rng.binomial(samples, correct.mean(), resamples) / samples
    else:
        accuracy = np.empty(resamples)
        for number in range(resamples):
            drawn = rng.integers(0, samples, samples)
            accuracy[number] = correct[drawn].sum() / answers[drawn].sum()
    outside = (100.0 - LEVEL) / 2
    low, high = np.percentile(100.0 * accuracy, (outside, 100.0 - outside))
    return float(low), float(high)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
