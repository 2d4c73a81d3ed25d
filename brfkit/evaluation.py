"""Accuracy, loss and spikes of a network on a data set. Needs no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.backends.base import Backend, Input, Trace
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.task import Task, sample_count

BATCH_SIZE = 256

Answered = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp], int], None]
"""Called after a batch with the true and the predicted classes [R], the samples [R] that they belong to, and B."""
Observer: TypeAlias = Callable[[NDArray, NDArray[np.int64]], None]
"""Is called with the outputs [T, B, O] and the labels, [B] or [T, B], of every batch in order."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of one pass over a data set.

    Attributes:
        samples: number of samples.
        accuracy: percent.
        loss: mean negative log-likelihood.
        spikes_per_sample: spikes of all spiking layers, per sample ("SOP" of the papers).
        spikes_per_step: the same per sample and time step.
        firing_rate: share of neurons that spike at a step.
        seconds: wall time.
    """

    samples: int
    accuracy: float
    loss: float
    spikes_per_sample: float
    spikes_per_step: float
    firing_rate: float
    seconds: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass
class Sums:
    """What a pass over samples adds up, in the order of the batches.

    Attributes:
        loss, terms: summed losses and their number.
        correct, answers: right predictions and their number.
        spikes, samples: spikes of all spiking layers, and samples.
        steps: time steps of the last batch.
    """

    loss: float = 0.0
    terms: int = 0
    correct: int = 0
    answers: int = 0
    spikes: float = 0.0
    samples: int = 0
    steps: int = 0

    def add(self, other: Sums) -> None:
        """Add the sums of the next batch."""
        self.loss += other.loss
        self.terms += other.terms
        self.correct += other.correct
        self.answers += other.answers
        self.spikes += other.spikes
        self.samples += other.samples
        self.steps = other.steps

    @property
    def mean_loss(self) -> float:
        """Not a number where nothing is labelled."""
        return self.loss / self.terms if self.terms else math.nan

    @property
    def accuracy(self) -> float:
        """Percent; not a number where nothing is labelled."""
        return 100.0 * self.correct / self.answers if self.answers else math.nan

    @property
    def spikes_per_sample(self) -> float:
        return self.spikes / self.samples


def batches(split: Split, size: int, dtype: DTypeLike) -> Iterator[tuple[Input, NDArray[np.int64]]]:
    """The samples of a split in order, ``size`` at a time."""
    for start in range(0, len(split), size):
        yield split.batch(np.arange(start, min(start + size, len(split))), dtype)


def evaluate_batch(
    network: Network,
    weights: Mapping[str, NDArray],
    x: Input,
    labels: NDArray[np.int64],
    task: Task,
    backend: Backend,
) -> Sums:
    """Run one batch through the network; labels are [B] or [T, B]."""
    return sums_of(backend.scan(network, weights, x), labels, task)


def sums_of(trace: Trace, labels: NDArray[np.int64], task: Task) -> Sums:
    """What a scan says of its samples; labels are [B] or [T, B]."""
    steps, samples = trace.outputs.shape[:2]
    task.check_labels(steps, labels)
    correct, answers = task.correct(trace.outputs, labels)
    loss, terms = task.loss_sum(trace.outputs, labels)
    return Sums(loss, terms, correct, answers, trace.spikes_per_sample() * samples, samples, steps)


def evaluate(
    network: Network,
    weights: Mapping[str, NDArray],
    split: Split,
    task: Task,
    backend: Backend,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
    answered: Answered | None = None,
    observe: Observer | None = None,
) -> Evaluation:
    """Run all samples through the network.

    Args:
        network, weights: what to evaluate; the dtype of the weights is the dtype of the computation.
        split: samples and labels.
        task: where loss and accuracy are taken.
        backend: compute backend.
        batch_size: samples at a time; changes memory, not results.
        progress: called with samples done and samples in all.
        answered: is given every answer, for figures by class.
        observe: called with the outputs and labels of every batch.

    Raises:
        BrfkitError: nothing to evaluate, or data that do not fit the network.
    """
    if len(split) == 0:
        raise BrfkitError("there are no samples to evaluate")
    start = time.perf_counter()
    dtype = next(iter(weights.values())).dtype
    sums = Sums()
    for x, labels in batches(split, batch_size, dtype):
        trace = backend.scan(network, weights, x)
        sums.add(sums_of(trace, labels, task))
        if observe is not None:
            observe(trace.outputs, labels)
        if answered is not None:
            answered(*task.answers(trace.outputs, labels), sample_count(labels))
        if progress is not None:
            progress(sums.samples, len(split))
    units = sum(layer.units for layer in network.spiking_layers)
    per_sample = sums.spikes_per_sample
    return Evaluation(
        samples=sums.samples,
        accuracy=sums.accuracy,
        loss=sums.mean_loss,
        spikes_per_sample=per_sample,
        spikes_per_step=per_sample / sums.steps,
        firing_rate=per_sample / (sums.steps * units) if units else 0.0,
        seconds=time.perf_counter() - start,
    )
