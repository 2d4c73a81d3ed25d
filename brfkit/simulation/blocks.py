"""A population in blocks of neurons and stretches of time, so that each fits the cache and its memory stays bounded.

A layer's input matrix couples all units of a scan to all its channels. Neurons that share one current need one channel
for any number of them; neurons with currents of their own are taken in small blocks with an identity, which costs
(block size) multiplications per neuron and step instead of (number of neurons).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, state_names
from brfkit.memory import check_memory
from brfkit.network import Layer, Network
from brfkit.simulation.divergence import GROWTH, first_divergence

# Units per scan, with a shared current and with currents of their own.
COMPILED_BLOCKS = (256, 16)
OTHER_BLOCKS = (1 << 16, 256)
# Numbers per state that one scan holds.
STRETCH = 1 << 20
MIN_WIDTH = 64


@dataclass
class Recording:
    """What came of all blocks.

    Attributes:
        states: by symbol, (steps, neurons); empty where nothing was recorded.
        z: (steps, neurons) uint8; None without spikes or where nothing was recorded.
        spike_counts: (neurons,) int64.
        diverged_at: first step at which a neuron diverged, or None.
    """

    states: dict[str, NDArray]
    z: NDArray[np.uint8] | None
    spike_counts: NDArray[np.int64]
    diverged_at: int | None = None


def run_population(
    layer: Layer,
    parameters: Mapping[str, NDArray],
    drive: NDArray,
    dt: float,
    backend: Backend,
    *,
    record: bool,
    unstable: NDArray[np.bool_],
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run all neurons of a layer without connections.

    Args:
        layer: neuron, options, constants; ``units`` neurons.
        parameters: by name, (neurons,), in the dtype of the computation.
        drive: (steps, 1), the same current for all, or (steps, neurons), in the dtype of the computation.
        dt: time step δ.
        backend: compute backend.
        record: keep states and spikes.
        unstable: (neurons,), see :func:`brfkit.simulation.divergence.first_divergence`.
        progress: called with steps done and steps in all, both summed over neurons.

    Raises:
        BrfkitError: the recording does not fit the memory.
    """
    job = _Job(layer, parameters, drive, dt, backend, record, unstable, progress)
    shared = drive.shape[1] == 1
    able = backend.capabilities
    size = (COMPILED_BLOCKS if able.compiled and able.own_threads else OTHER_BLOCKS)[0 if shared else 1]
    starts = range(0, layer.units, size)
    threads = (backend.threads or 1) if able.own_threads else 1
    if threads == 1 or len(starts) == 1:
        for start in starts:
            job.block(start, min(start + size, layer.units))
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="brfkit-simulate") as pool:
            tasks = [pool.submit(job.block, start, min(start + size, layer.units)) for start in starts]
            try:
                for task in as_completed(tasks):
                    task.result()
            except BaseException:
                job.cancelled = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return job.result


class _Job:
    """Blocks write to columns of their own, so they may run at the same time."""

    def __init__(
        self,
        layer: Layer,
        parameters: Mapping[str, NDArray],
        drive: NDArray,
        dt: float,
        backend: Backend,
        record: bool,
        unstable: NDArray[np.bool_],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.layer, self.parameters, self.drive, self.dt = layer, parameters, drive, dt
        self.backend, self.record, self.unstable, self.progress = backend, record, unstable, progress
        self.cancelled = False
        self._lock, self._done = Lock(), 0
        steps, neurons = len(drive), layer.units
        impulse = np.abs(drive).sum(0, dtype=np.float64).max() * dt
        self._bound = GROWTH * max(1.0, impulse, float(np.abs(drive).max()))
        self.symbols = [s for s in layer.spec.states if s != "z"]
        spiking = layer.spec.spiking
        if record:
            check_memory(
                steps * neurons * (drive.itemsize * len(self.symbols) + spiking),
                f"recording {steps:,} steps of {neurons:,} neurons",
                "take fewer, or record nothing (leave out --out and --plot)",
            )
        states = {s: np.empty((steps, neurons), drive.dtype) for s in self.symbols if record}
        z = np.empty((steps, neurons), np.uint8) if record and spiking else None
        self.result = Recording(states, z, np.zeros(neurons, np.int64))

    def block(self, lo: int, hi: int) -> None:
        """Neurons lo to hi over all steps."""
        units = hi - lo
        # Few different widths, where each of them is compiled.
        width = units if not self.backend.capabilities.compiled or units <= 16 else 1 << (units - 1).bit_length()
        shared = self.drive.shape[1] == 1
        network = Network(1 if shared else width, (replace(self.layer, units=width),), self.dt)
        prefix = f"{self.layer.name}."
        w_in = np.ones((width, 1)) if shared else np.eye(width)
        weights = {f"{prefix}w_in": w_in.astype(self.drive.dtype)}
        weights |= {prefix + n: np.pad(v[lo:hi], (0, width - units), "edge") for n, v in self.parameters.items()}
        record = [n for n in state_names(network) if n != f"{prefix}z"]
        state: dict[str, NDArray] | None = None
        length = max(STRETCH // max(width, MIN_WIDTH), 1)
        for first in range(0, len(self.drive), length):
            if self.cancelled:
                return
            part = self.drive[first : first + length]
            x = part if shared else np.pad(part[:, lo:hi], ((0, 0), (0, width - units)))
            # Overflow on the way to infinity is reported as divergence, not as warnings.
            with np.errstate(all="ignore"):
                trace = self.backend.scan(network, weights, x[:, None, :], initial_state=state, record=record)
            state = trace.final_state
            records = {n.removeprefix(prefix): v[:, 0, :units] for n, v in trace.records.items()}
            self._collect(lo, hi, first, records, trace.outputs[:, 0, :units])

    def _collect(self, lo: int, hi: int, first: int, records: dict[str, NDArray], outputs: NDArray) -> None:
        result, rows = self.result, slice(first, first + len(outputs))
        for symbol, target in result.states.items():
            target[rows, lo:hi] = records[symbol]
        if self.layer.spec.spiking:
            spikes = outputs != 0
            result.spike_counts[lo:hi] += np.count_nonzero(spikes, axis=0)
            if result.z is not None:
                result.z[rows, lo:hi] = spikes
        unstable = self.unstable[lo:hi]
        # What is not finite stays so; the last row tells whether to look for the first.
        if unstable.any() or not all(np.isfinite(v[-1]).all() for v in records.values()):
            found = [first_divergence(v, unstable, self._bound) for v in records.values()]
            steps = [first + step for step in found if step is not None]
        else:
            steps = []
        with self._lock:
            if steps:
                known = [] if result.diverged_at is None else [result.diverged_at]
                result.diverged_at = min(steps + known)
            self._done += len(outputs) * (hi - lo)
            if self.progress is not None:
                self.progress(self._done, len(self.drive) * self.layer.units)
