"""Many weights of one network on the same samples: what a point of an error surface costs.

On the CPU every pair of a point and a batch is a job of its own, computed by one thread from end to end, so all
processors are busy whatever the number of points, and no thread waits for another before the end. On a device a batch
runs through many points in one launch. Samples are read and encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.backends.base import Backend, Trace
from brfkit.backends.threads import default_threads, parallel
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.evaluation import BATCH_SIZE, Sums, batches, evaluate_batch, sums_of
from brfkit.network import Network
from brfkit.task import Task

Weights = Mapping[str, NDArray]


@dataclass(frozen=True)
class PointValues:
    """Figures of K points.

    Attributes:
        loss: mean negative log-likelihood, float64 [K]; not finite where the network diverges.
        accuracy: percent, float64 [K].
        spikes_per_sample: spikes of all spiking layers, float64 [K].
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    spikes_per_sample: NDArray[np.float64]


class PointEvaluator:
    """Evaluates sets of weights. A point's values are those of ``brfkit evaluate``, bit for bit, whatever else is
    evaluated with it and however many threads there are.

    Args:
        network: description, the same for all points.
        samples: samples and labels; read once.
        task: where loss and accuracy are taken.
        backend: compute backend. With numba the threads go over points and batches, elsewhere over losses of points.
        dtype: of the weights.
        batch_size: samples of a job; changes memory, not results.

    Raises:
        BrfkitError: nothing to evaluate.
    """

    def __init__(
        self,
        network: Network,
        samples: Split,
        task: Task,
        backend: Backend,
        *,
        dtype: DTypeLike = np.float32,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if len(samples) == 0:
            raise BrfkitError("there are no samples to evaluate")
        self.network, self.task = network, task
        self.batches = list(batches(samples, batch_size, dtype))
        self.threads = backend.threads or default_threads()
        self.backend = backend.one_threaded()

    def __call__(self, points: Sequence[Weights], *, point_done: Callable[[], None] | None = None) -> PointValues:
        """Evaluate the points, each a full set of weights by name; ``point_done`` is called as points are finished."""
        done = point_done or (lambda: None)
        totals = self._by_point(points, done) if self.backend.capabilities.own_threads else self._by_batch(points, done)
        return PointValues(
            np.array([t.mean_loss for t in totals]),
            np.array([t.accuracy for t in totals]),
            np.array([t.spikes_per_sample for t in totals]),
        )

    def _by_point(self, points: Sequence[Weights], done: Callable[[], None]) -> list[Sums]:
        left, lock = [len(self.batches)] * len(points), Lock()

        def job(index: int) -> Sums:
            point, batch = divmod(index, len(self.batches))
            x, labels = self.batches[batch]
            sums = evaluate_batch(self.network, points[point], x, labels, self.task, self.backend)
            with lock:
                left[point] -= 1
                if left[point] == 0:
                    done()
            return sums

        jobs = parallel(job, len(points) * len(self.batches), self.threads)
        return [_total(jobs[first : first + len(self.batches)]) for first in range(0, len(jobs), len(self.batches))]

    def _by_batch(self, points: Sequence[Weights], done: Callable[[], None]) -> list[Sums]:
        found: list[list[Sums]] = [[] for _ in points]
        for x, labels in self.batches:
            traces = self.backend.scan_points(self.network, points, x)
            for first in range(0, len(points), self.threads):
                self._add(found[first : first + self.threads], list(islice(traces, self.threads)), labels, done)
        return [_total(sums) for sums in found]

    def _add(
        self, found: list[list[Sums]], traces: list[Trace], labels: NDArray[np.int64], done: Callable[[], None]
    ) -> None:
        """The sums of the traces of some points, a thread each."""

        def job(point: int) -> None:
            found[point].append(sums_of(traces[point], labels, self.task))
            if len(found[point]) == len(self.batches):
                done()

        parallel(job, len(traces), self.threads)


def _total(parts: Sequence[Sums]) -> Sums:
    total = Sums()
    for part in parts:
        total.add(part)
    return total
