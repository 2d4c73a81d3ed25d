"""Times of a training step and of inference against a peer: both in one process, taking turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.backends.base import Backend, Input
from brfkit.backends.threads import processors
from brfkit.bench.jax_loop import JaxLoop
from brfkit.bench.workloads import Workload
from brfkit.data.base import Dataset, DataSpec, Split
from brfkit.errors import BrfkitError

CLIP_NORM = 1.0
# Small enough that no weight changes: the firing rate, and with it the work, stays what it was.
LEARNING_RATE = 1e-30
# TorchScript profiles a function at its first call, compiles it at the second, and may do so again.
WARM_UP = 3
# In float32 a spike that rounding turns changes what follows; on 16 recordings of ECG that came to 3 %.
LARGEST_LOSS_DIFFERENCE = 0.1
_MOST_CALLS = 25

Step = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """Wall times of two contestants that took turns.

    Attributes:
        peer_ms, ours_ms: medians.
        ratio: median over the turns of peer / ours.
        lowest, highest: of the ratios.
        turns: how many.
        calls: of ours in each turn; the peer has one.
    """

    peer_ms: float
    ours_ms: float
    ratio: float
    lowest: float
    highest: float
    turns: int
    calls: int

    def to_dict(self, peer: str) -> dict[str, float]:
        """The attributes, ``peer_ms`` under the name of the peer."""
        return {name.replace("peer", peer): value for name, value in asdict(self).items()}


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Bound torch's threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, processors()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class PlainLoop:
    """The published network under TorchScript, with the usual training step.

    Args:
        workload: what to run.
        threads: of torch.
    """

    device = "cpu"

    def __init__(self, workload: Workload, threads: int) -> None:
        import torch

        from brfkit.bench.plain_loop import script

        self.threads = threads
        self.loss_on: Any = workload.task.loss_on
        self.model = script(workload.network, workload.weights)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.use(workload)

    def use(self, workload: Workload) -> None:
        """Take the batch of another workload with the same network."""
        import torch

        self.x = torch.from_numpy(np.ascontiguousarray(workload.dense()))
        self.labels = torch.from_numpy(workload.labels)

    def train_step(self) -> float:
        """Forward, loss, backward, clip, Adam; returns the loss."""
        from brfkit.bench.plain_loop import train_step

        with torch_threads(self.threads):
            return float(train_step(self.model, self.x, self.labels, self.optimizer, self.loss_on, CLIP_NORM))

    def infer(self) -> None:
        import torch

        with torch_threads(self.threads), torch.no_grad():
            self.model(self.x)


class Fused:
    """A backend under the Trainer's own step.

    Args:
        workload: what to run.
        backend: compute backend.
        threads: of torch, where the backend leaves the processors to it.
        gradient_precision: as in a training run.
    """

    def __init__(self, workload: Workload, backend: Backend, threads: int, gradient_precision: str = "float32") -> None:
        from brfkit.runs.config import Config, DataConfig, TrainingConfig
        from brfkit.training.trainer import Trainer

        # As in a training run: scans with threads of their own leave one to torch.
        self.threads = 1 if backend.capabilities.own_threads else threads
        config = Config(
            data=DataConfig(dataset=workload.name, validation_fraction=0.0),
            task=workload.task,
            training=TrainingConfig(
                batch_size=workload.batch,
                learning_rate=LEARNING_RATE,
                optimizer="adam",
                schedule="constant",
                clip_norm=CLIP_NORM,
                gradient_precision=gradient_precision,
            ),
        )
        self.trainer = Trainer(config, _dataset(workload), workload.network, workload.weights, backend)
        self.backend, self.optimizer = self.trainer.backend, self.trainer.optimizer
        self.use(workload)

    def use(self, workload: Workload) -> None:
        """Take the batch of another workload with the same network."""
        self.workload = workload

    def train_step(self) -> float:
        """The Trainer's step: forward, loss, backward, checks, clip, Adam; returns the loss."""
        from brfkit.training.losses import Totals

        sums = Totals()
        with torch_threads(self.threads):
            self.trainer.train_batch(self.workload.x, self.workload.labels, 0, sums)
        return sums.loss / sums.terms

    def infer(self) -> None:
        with torch_threads(self.threads):
            self.backend.scan(self.workload.network, self.workload.weights, self.workload.x)


class _OneBatch(Split):
    """The batch of a workload as a split."""

    def __init__(self, workload: Workload) -> None:
        self.x, self.labels = workload.x, workload.labels
        self.y = np.ascontiguousarray(workload.labels.T)
        self.groups = None

    def select(self, indices: ArrayLike) -> _OneBatch:
        return self

    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[Input, NDArray[np.int64]]:
        return self.x, self.labels


def _dataset(workload: Workload) -> Dataset:
    split = _OneBatch(workload)
    classes = tuple(map(str, range(workload.network.outputs)))
    facts = DataSpec(
        name=workload.name,
        title="one batch",
        channels=workload.network.inputs,
        steps=workload.steps,
        class_names=classes,
        labels_per_step=workload.labels.ndim == 2,
        read=lambda request: split,
        licence="",
        citation="",
    )
    return Dataset(facts, {"train": split, "test": split})


def take_turns(peer: Step, ours: Step, turns: int, turn_done: Callable[[], None] = lambda: None) -> Pair:
    """Time two functions that have been called before: peer, ours, peer, ours, …

    Both are timed as they run on their own: each is first called untimed for as long as the peer takes once, so
    that the other's idle threads no longer spin (OpenMP's do for milliseconds), caches hold its data, and processors
    that had nothing to do are awake. A turn of ours is several calls where it is quicker, at most as many as fill that
    time again, of which the median counts.
    """
    gc.collect()
    gc.freeze()  # what was made before is left out of collections, as in a training run
    once = _time(peer)
    calls = int(min(max(once / _time(ours), 1), _MOST_CALLS))
    peer_times, ours_times = [], []
    for _ in range(turns):
        _run_for(peer, once)
        peer_times.append(_time(peer))
        _run_for(ours, once)
        ours_times.append(median(_time(ours) for _ in range(calls)))
        turn_done()
    gc.unfreeze()
    ratios = [a / b for a, b in zip(peer_times, ours_times, strict=True)]
    return Pair(
        1e3 * median(peer_times), 1e3 * median(ours_times), median(ratios), min(ratios), max(ratios), turns, calls
    )


def _run_for(function: Step, seconds: float) -> None:
    """Call a function until so many seconds have gone by, at least once."""
    end = time.perf_counter() + seconds
    function()
    while time.perf_counter() < end:
        function()


def _time(function: Step) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Comparison:
    """A backend against a peer on one workload.

    Attributes:
        train, infer: times.
        loss, peer_loss: of the batch; they differ by rounding, and by the spikes that it turns.
    """

    train: Pair
    infer: Pair
    loss: float
    peer_loss: float

    def to_dict(self, peer: str) -> dict[str, Any]:
        """For a report; keys of the peer hold its name, as in ``plain_loss``."""
        pairs = {"train": self.train.to_dict(peer), "inference": self.infer.to_dict(peer)}
        return {**pairs, "loss": self.loss, f"{peer}_loss": self.peer_loss}


def warm(contestant: PlainLoop | JaxLoop | Fused) -> float:
    """Call a contestant until it is compiled; returns its loss."""
    loss = 0.0
    for _ in range(WARM_UP if isinstance(contestant, PlainLoop) else 1):
        loss = contestant.train_step()
        contestant.infer()
    return loss


def compare(
    peer: PlainLoop | JaxLoop, peer_loss: float, ours: Fused, turns: int, turn_done: Callable[[], None] = lambda: None
) -> Comparison:
    """Time a backend against a peer, which has been warmed up and found `peer_loss`.

    Raises:
        BrfkitError: they do not compute the same; then a ratio of their times would mean nothing.
    """
    loss = warm(ours)
    if not abs(loss - peer_loss) <= LARGEST_LOSS_DIFFERENCE * abs(peer_loss):
        name = "the plain loop" if isinstance(peer, PlainLoop) else "the scan of JAX"
        raise BrfkitError(
            f"{ours.workload.name}: backend {ours.backend.name} finds the loss {loss:.6g} and {name} "
            f"{peer_loss:.6g}; they do not compute the same, so no times are reported"
        )
    train = take_turns(peer.train_step, ours.train_step, turns, turn_done)
    infer = take_turns(peer.infer, ours.infer, turns, turn_done)
    return Comparison(train, infer, loss, peer_loss)


def scan_times(ours: Fused, repeats: int) -> dict[str, float]:
    """Median milliseconds of ``inference``, ``forward`` (which keeps what the backward pass needs) and ``backward``."""
    w, backend = ours.workload, ours.backend
    times: dict[str, list[float]] = {"inference": [], "forward": [], "backward": []}
    with torch_threads(ours.threads):
        for _ in range(repeats):
            times["inference"].append(_time(ours.infer))
            start = time.perf_counter()
            trace = backend.scan(w.network, w.weights, w.x, differentiate=True)
            times["forward"].append(time.perf_counter() - start)
            grad = np.full_like(trace.outputs, 1.0 / trace.outputs.size)
            start = time.perf_counter()
            backend.scan_vjp(trace, grad)
            times["backward"].append(time.perf_counter() - start)
    return {name: 1e3 * median(values) for name, values in times.items()}
