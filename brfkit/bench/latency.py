"""Time per step of a single sample whose steps come one after the other: batch 1, the state handed on by the caller.

Every contestant gets a step as an array of NumPy [1, I] and gives its output as one [1, O]. Each step is timed on its
own, from handing over the input to having the output.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.bench.jax_loop import JaxLoop
from brfkit.bench.measure import Fused, PlainLoop, torch_threads
from brfkit.bench.workloads import Workload

Stream = Callable[[NDArray], NDArray]

MOST_STEPS = 250  # of the sample in a turn
WARM_UP_STEPS = 50


@dataclass(frozen=True)
class Latency:
    """Microseconds per step of a peer and of a backend.

    Attributes:
        peer_us, ours_us: medians over the steps of all turns.
        peer_99_us, ours_99_us: 99th percentiles.
        ratio: peer / ours, of the medians.
        steps: of the sample in each turn.
        turns: how many.
    """

    peer_us: float
    ours_us: float
    peer_99_us: float
    ours_99_us: float
    ratio: float
    steps: int
    turns: int

    def to_dict(self, peer: str) -> dict[str, float]:
        """The attributes, with the name of the peer in those that are its."""
        return {name.replace("peer", peer): value for name, value in asdict(self).items()}


def stream(contestant: PlainLoop | JaxLoop | Fused) -> Stream:
    """A function that takes the steps of a sample, [1, I] each, and gives the outputs [1, O]; it begins at state 0."""
    if isinstance(contestant, JaxLoop):
        return contestant.stream()
    return _plain(contestant) if isinstance(contestant, PlainLoop) else _fused(contestant)


def _fused(contestant: Fused) -> Stream:
    backend, workload = contestant.backend, contestant.workload
    state: dict[str, NDArray] = {}

    def step(x: NDArray) -> NDArray:
        nonlocal state
        trace = backend.scan(workload.network, workload.weights, x[None], initial_state=state)
        state = trace.final_state
        return trace.outputs[0]

    return step


def _plain(contestant: PlainLoop) -> Stream:
    import torch

    model = contestant.model
    zero = torch.zeros(1, model.cell.units)
    state, out = (zero, zero, zero, zero), torch.zeros(1, model.readout.weight.shape[0])

    def step(x: NDArray) -> NDArray:
        nonlocal state, out
        with torch.no_grad():
            state, out = model.step(torch.from_numpy(x), state, out)
        found: NDArray = out.numpy()
        return found

    return step


def measure_latency(peer: PlainLoop | JaxLoop, ours: Fused, workload: Workload, turns: int) -> Latency:
    """Time both on the first sample of a workload, taking turns; the first turn is not counted."""
    sample = np.ascontiguousarray(workload.dense()[:MOST_STEPS, :1])  # [T, 1, I]
    peer_times: list[NDArray] = []
    ours_times: list[NDArray] = []
    gc.collect()
    gc.freeze()  # as where a training step is timed
    for turn in range(turns + 1):
        for contestant, times in ((peer, peer_times), (ours, ours_times)):
            found = _pass(contestant, sample)
            if turn:
                times.append(found)
    gc.unfreeze()
    theirs, mine = 1e6 * np.concatenate(peer_times), 1e6 * np.concatenate(ours_times)
    medians = float(np.median(theirs)), float(np.median(mine))
    tails = float(np.percentile(theirs, 99)), float(np.percentile(mine, 99))
    return Latency(*medians, *tails, medians[0] / medians[1], len(sample), turns)


def _pass(contestant: PlainLoop | JaxLoop | Fused, sample: NDArray) -> NDArray:
    """Seconds of every step of a sample [T, 1, I] from state 0."""
    seconds = np.empty(len(sample))
    with torch_threads(contestant.threads):
        warm, step = stream(contestant), stream(contestant)
        for x in sample[:WARM_UP_STEPS]:  # the other's threads stop spinning, and caches fill
            warm(x)
        for index, x in enumerate(sample):
            start = time.perf_counter()
            step(x)
            seconds[index] = time.perf_counter() - start
    return seconds
