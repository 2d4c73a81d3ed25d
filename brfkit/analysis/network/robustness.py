"""Accuracy of a trained network under increasing perturbations."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from brfkit.analysis.network.perturbations.registry import Perturbation, Streams, Trial, get_perturbation
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.runs.config import LSTM
from brfkit.setups import DataLike, Setup, SetupOptions, set_up
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What disturbs the input alone, and so any network.
OF_INPUT = ("input-noise", "missing-channels", "missing-span", "time-warping")
COLUMNS = ("level", "repeat", "samples", "accuracy", "loss", "spikes_per_sample", "seconds")


@dataclass(frozen=True)
class Point:
    """One evaluation at one level.

    Attributes:
        level: of the perturbation.
        repeat: from 0.
        samples: how many were evaluated.
        accuracy: percent.
        loss: mean negative log-likelihood.
        spikes_per_sample: of all hidden layers; spikes that were deleted do not count.
        seconds: wall time.
    """

    level: float
    repeat: int
    samples: int
    accuracy: float
    loss: float
    spikes_per_sample: float
    seconds: float


@dataclass(frozen=True)
class Robustness:
    """What :func:`robustness` returns.

    Attributes:
        perturbation: what was done.
        dataset, neuron, backend: names.
        samples, repeats, seed: as asked for; a perturbation without chance is evaluated once.
        levels: in the order in which they were asked for.
        points: every evaluation; a level at which nothing changes has one.
        seconds: wall time.
        chance: accuracy (%) of always answering the most frequent class of these samples.
    """

    perturbation: Perturbation
    dataset: str
    neuron: str
    backend: str
    samples: int
    repeats: int
    seed: int
    levels: tuple[float, ...]
    points: tuple[Point, ...]
    seconds: float
    chance: float | None = None

    def values(self, name: str, level: float) -> list[float]:
        """One figure of every repeat at a level."""
        return [float(getattr(point, name)) for point in self.points if point.level == level]

    def mean(self, name: str) -> list[float]:
        """Mean over the repeats, one value per level."""
        return [float(np.mean(self.values(name, level))) for level in self.levels]

    def std(self, name: str) -> list[float]:
        """Standard deviation over the repeats (of a sample, n - 1), one value per level; 0 where there is one."""
        values = [self.values(name, level) for level in self.levels]
        return [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {
            "perturbation": self.perturbation.name,
            "dataset": self.dataset,
            "neuron": self.neuron,
            "backend": self.backend,
            "samples": self.samples,
            "repeats": self.repeats,
            "seed": self.seed,
            "levels": list(self.levels),
            "accuracy_mean": self.mean("accuracy"),
            "accuracy_std": self.std("accuracy"),
            "loss_mean": self.mean("loss"),
            "spikes_per_sample_mean": self.mean("spikes_per_sample"),
            "chance": self.chance,
            "seconds": self.seconds,
        }


def robustness(
    network: NetworkLike,
    perturbation: str,
    dataset: DataLike | None = None,
    *,
    levels: Sequence[float] | None = None,
    repeats: int = 5,
    samples: int | None = None,
    batch_size: int = 500,
    progress: Callable[[int, int], None] | None = None,
    finished: Callable[[Robustness], None] | None = None,
    **options: Unpack[SetupOptions],
) -> Robustness:
    """Evaluate a trained network on the test set at every level of a perturbation.

    The tests of the ICML paper (Higuchi et al. 2024, appendix) and further ones, see docs/robustness.md.

    Args:
        network: a trained network, or the path of one.
        perturbation: its name, one of ``PERTURBATIONS``.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        levels: None takes those of the paper.
        repeats: evaluations per level, each with a random stream of its own.
        samples: take the first so many test samples; None takes all.
        batch_size: samples at a time; changes memory and time, not results.
        progress: called with samples done and samples in all.
        finished: called with the result so far, after each evaluation.
        options: see :class:`brfkit.setups.SetupOptions`. A repeat's noise depends on the seed, the repeat and the
            sample only.

    Raises:
        BrfkitError: unknown perturbation, a level that means nothing, or data that do not fit the network.
    """
    began = time.perf_counter()
    kind = get_perturbation(perturbation)
    wanted = tuple(kind.levels if levels is None else (float(level) for level in levels))
    if not wanted or len(set(wanted)) != len(wanted):
        raise BrfkitError("levels must be given once each, and at least one")
    if repeats < 1:
        raise BrfkitError(f"repeats must be at least 1, not {repeats}")
    for level in wanted:
        kind.check(level)
    setup, seed = set_up(network, dataset, samples=samples, baseline=True, **options), options.get("seed", 0)
    if setup.neuron == LSTM and kind.name not in OF_INPUT:
        raise BrfkitError(f"{kind.name} is defined for spiking networks; an LSTM takes {', '.join(OF_INPUT)}")
    runs = [(level, repeat) for level in wanted for repeat in range(repeats if kind.random and level else 1)]
    total = len(runs) * len(setup.split)
    chance = most_frequent(setup)

    def so_far(points: Sequence[Point]) -> Robustness:
        return Robustness(
            kind, setup.data.name, setup.neuron, setup.backend.name, len(setup.split), repeats if kind.random else 1,
            seed, tuple(dict.fromkeys(point.level for point in points)), tuple(points), time.perf_counter() - began,
            chance,
        )  # fmt: skip

    points: list[Point] = []
    for level, repeat in runs:
        done = len(points) * len(setup.split)
        advance = None if progress is None else _shifted(progress, done, total)
        points.append(_evaluate(setup, kind, level, Streams(seed, repeat, kind.name), batch_size, advance))
        if finished is not None:
            finished(so_far(points))
    return so_far(points)


def most_frequent(setup: Setup) -> float:
    """Accuracy (%) of always answering the most frequent class, over the answers that the task counts."""
    labels = setup.split.y
    if labels.ndim == 2:  # [N, T]
        labels = setup.task.counted(labels.T, setup.task.accuracy_from, labels.shape[1]).labels
    counted = labels[labels >= 0]
    return 100.0 * float(np.bincount(counted).max()) / counted.size if counted.size else 0.0


def _shifted(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done, total)


def _evaluate(
    setup: Setup,
    perturbation: Perturbation,
    level: float,
    streams: Streams,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> Point:
    trial = Trial(setup.network, setup.weights, setup.split, setup.backend)
    if level or not perturbation.random:
        trial = perturbation.apply(trial, level, streams)
    found = evaluate(
        trial.network,
        trial.weights,
        trial.split,
        setup.task,
        trial.backend,
        batch_size=batch_size,
        progress=progress,
    )
    return Point(
        level, streams.repeat, found.samples, found.accuracy, found.loss, found.spikes_per_sample, found.seconds
    )


def write_points(path: PathLike, points: Sequence[Point], force: bool = False) -> None:
    """One line per evaluation, as CSV.

    Raises:
        BrfkitError: the file is there already and `force` is not set, or it cannot be written.
    """
    with atomic_write(path, "w", force) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(point, name) for name in COLUMNS] for point in points)


__all__ = ["Point", "Robustness", "robustness", "write_points"]
