"""Accuracy of a trained network that is disturbed more and more."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from brfkit.analysis.network.perturbations.registry import Perturbation, Streams, Trial, get_perturbation
from brfkit.backends.base import Backend
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.subject import Subject, open_subject

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
            "seconds": self.seconds,
        }


def robustness(
    checkpoint: str | Path,
    perturbation: str,
    dataset: str | None = None,
    *,
    levels: Sequence[float] | None = None,
    repeats: int = 5,
    samples: int | None = None,
    neuron: str | None = None,
    permutation: Any = None,
    batch_size: int = 500,
    dtype: DTypeLike = np.float32,
    backend: str | Backend = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    finished: Callable[[Sequence[Point]], None] | None = None,
) -> Robustness:
    """Evaluate a trained network on the test set at every level of a perturbation.

    The tests of the ICML paper (Higuchi et al. 2024, appendix) and further ones, see docs/robustness.md.

    Args:
        checkpoint: run folder, checkpoint file, or published ``.pt``.
        perturbation: its name, one of ``PERTURBATIONS``.
        dataset: None takes the one of the run.
        levels: None takes those of the paper.
        repeats: evaluations per level, each with a random stream of its own.
        samples: take the first so many test samples; None takes all.
        neuron, permutation, dtype, backend, threads, data_dir: as for :func:`brfkit.evaluate`.
        batch_size: samples at a time; changes memory and time, not results.
        seed: of the noise. A repeat's noise depends on seed, repeat and sample only.
        progress: called with samples done and samples in all.
        finished: called with all evaluations so far, after each.

    Raises:
        BrfkitError: unknown perturbation, a level that means nothing, or data that do not fit the network.
    """
    began = time.perf_counter()
    chosen = get_perturbation(perturbation)
    asked = tuple(chosen.levels if levels is None else (float(level) for level in levels))
    if not asked or len(set(asked)) != len(asked):
        raise BrfkitError("levels must be given once each, and at least one")
    if repeats < 1:
        raise BrfkitError(f"repeats must be at least 1, not {repeats}")
    for level in asked:
        chosen.check(level)
    subject = open_subject(
        checkpoint,
        dataset,
        neuron=neuron,
        permutation=permutation,
        samples=samples,
        dtype=dtype,
        backend=backend,
        threads=threads,
        data_dir=data_dir,
        seed=seed,
    )
    runs = [(level, repeat) for level in asked for repeat in range(repeats if chosen.random and level else 1)]
    total = len(runs) * len(subject.split)
    points: list[Point] = []
    for level, repeat in runs:
        done = len(points) * len(subject.split)
        advance = None if progress is None else _shifted(progress, done, total)
        points.append(_evaluate(subject, chosen, level, Streams(seed, repeat, chosen.name), batch_size, advance))
        if finished is not None:
            finished(points)
    return Robustness(
        chosen,
        subject.data.name,
        subject.neuron,
        subject.backend.name,
        len(subject.split),
        repeats if chosen.random else 1,
        seed,
        asked,
        tuple(points),
        time.perf_counter() - began,
    )


def _shifted(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done, total)


def _evaluate(
    subject: Subject,
    perturbation: Perturbation,
    level: float,
    streams: Streams,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> Point:
    trial = Trial(subject.network, subject.weights, subject.split, subject.backend)
    if level or not perturbation.random:
        trial = perturbation.apply(trial, level, streams)
    found = evaluate(
        trial.network,
        trial.weights,
        trial.split,
        subject.task,
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
