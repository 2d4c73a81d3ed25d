"""Accuracy, loss and spikes of a network on a data set. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.backends.base import Backend, Input
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.task import Task


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


def batches(split: Split, size: int, dtype: DTypeLike) -> Iterator[tuple[Input, NDArray[np.int64]]]:
    """The samples of a split in order, ``size`` at a time."""
    for start in range(0, len(split), size):
        yield split.batch(np.arange(start, min(start + size, len(split))), dtype)


def evaluate(
    network: Network,
    weights: Mapping[str, NDArray],
    split: Split,
    task: Task,
    backend: Backend,
    *,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run all samples through the network.

    Args:
        network, weights: what to evaluate; the dtype of the weights is the dtype of the computation.
        split: samples and labels.
        task: where loss and accuracy are taken.
        backend: who computes.
        batch_size: samples at a time; changes memory, not results.
        progress: called with samples done and samples in all.

    Raises:
        BrfkitError: nothing to evaluate, or data that do not fit the network.
    """
    if len(split) == 0:
        raise BrfkitError("there are no samples to evaluate")
    start = time.perf_counter()
    dtype = next(iter(weights.values())).dtype
    correct = answers = terms = done = steps = 0
    loss = spikes = 0.0
    for x, labels in batches(split, batch_size, dtype):
        trace = backend.scan(network, weights, x)
        steps, samples = trace.outputs.shape[:2]
        task.check(steps, labels.ndim == 2)
        right, count = task.correct(trace.outputs, labels)
        value, size = task.loss_sum(trace.outputs, labels)
        correct, answers, loss, terms = correct + right, answers + count, loss + value, terms + size
        spikes += trace.spikes_per_sample() * samples
        done += samples
        if progress is not None:
            progress(done, len(split))
    units = sum(layer.units for layer in network.spiking_layers)
    per_sample = spikes / done
    return Evaluation(
        samples=done,
        accuracy=100.0 * correct / answers,
        loss=loss / terms,
        spikes_per_sample=per_sample,
        spikes_per_step=per_sample / steps,
        firing_rate=per_sample / (steps * units) if units else 0.0,
        seconds=time.perf_counter() - start,
    )
