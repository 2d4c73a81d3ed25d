"""Runs that differ only in the seed, as one group with mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.runs.reading import RunRecord


@dataclass(frozen=True)
class Figure:
    """A figure over the runs of a group: mean, standard deviation (n - 1; nan for one run), n; nan where none tells."""

    mean: float
    std: float
    count: int

    @staticmethod
    def of(values: Sequence[float | None]) -> Figure:
        known = np.array([v for v in values if v is not None], np.float64)
        if not known.size:
            return Figure(math.nan, math.nan, 0)
        with np.errstate(invalid="ignore"):  # a run may have diverged
            return Figure(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else math.nan, known.size)


def epoch_of_share(epochs: NDArray[np.int64], accuracy: NDArray[np.float64], percent: float) -> int | None:
    """The first epoch whose accuracy is at least ``percent`` of that of the last epoch; None where that is so before
    training already, or the last accuracy is 0 or not finite."""
    reached = np.flatnonzero(accuracy >= percent / 100.0 * accuracy[-1])
    if not reached.size or not accuracy[-1] > 0.0 or epochs[reached[0]] == 0:
        return None
    return int(epochs[reached[0]])


@dataclass(frozen=True)
class Group:
    """Runs whose settings differ only in the seed.

    Attributes:
        label: name of the group.
        runs: its members.
        settings: the settings in which it differs from other groups of the same neuron.
    """

    label: str
    runs: tuple[RunRecord, ...]
    settings: str = ""

    @property
    def hides_settings(self) -> bool:
        """Whether the label leaves the settings out."""
        return self.settings not in self.label

    def figure(self, of: Callable[[RunRecord], float | None]) -> Figure:
        return Figure.of([of(run) for run in self.runs])

    @property
    def dataset(self) -> str:
        return self.runs[0].config.data.dataset

    @property
    def best_accuracy(self) -> float:
        return max(run.at_best("accuracy") for run in self.runs)

    def common_epochs(self) -> NDArray[np.int64]:
        """The epochs that all runs of the group have figures of."""
        common = self.runs[0].epochs
        for run in self.runs[1:]:
            common = np.intersect1d(common, run.epochs)
        return common

    def curve(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Epochs that all runs have (E,), mean and standard deviation (n - 1; nan for one run) over them (E,)."""
        common = self.common_epochs()
        values = np.array([run.curves[name][np.isin(run.epochs, common)] for run in self.runs])  # [runs, E]
        spread = values.std(0, ddof=1) if len(self.runs) > 1 else np.full(values.shape[1], np.nan)
        return common, values.mean(0), spread

    def epoch_of_share(self, percent: float) -> Figure:
        """Over the runs that have learned, each against its own last epoch."""
        return self.figure(
            lambda run: epoch_of_share(run.epochs, run.curves["accuracy"], percent) if run.learned else None
        )

    def mean_curve_epoch(self, percent: float) -> int | None:
        """The same of the mean over all runs; None where no run has learned."""
        epochs, mean, _ = self.curve("accuracy")
        return epoch_of_share(epochs, mean, percent) if any(run.learned for run in self.runs) else None

    @property
    def state(self) -> str:
        """How the runs ended, ``finished`` or ``2 finished, 1 silent``."""
        states = [run.state for run in self.runs]
        counts = {state: states.count(state) for state in states}
        return states[0] if len(counts) == 1 else ", ".join(f"{n} {state}" for state, n in counts.items())
