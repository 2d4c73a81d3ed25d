"""Simulated neurons reduced to sums: populations under many currents, in blocks over threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.capabilities import backends_with, capabilities
from brfkit.backends.threads import default_threads, parallel
from brfkit.codegen.linearise import Linearised, linearise
from brfkit.codegen.model import Model, build_model
from brfkit.errors import BrfkitError
from brfkit.neurons import OptionValue
from brfkit.simulation.reduce_kernel import REDUCTIONS, Plan, compiled, run_numpy

# Neuron-steps of one call of the kernel: some ten milliseconds, so that threads share work and Ctrl-C is quick.
JOB = 3e7
ENGINES = tuple(backends_with("reductions"))
Progress = Callable[[int, int], None]


def choose_engine(backend: str) -> str:
    """Who reduces: ``numba`` (also for ``auto``) or ``reference``; another backend is refused, never replaced."""
    if backend == "auto":
        return "numba"
    if backend not in ENGINES:
        raise BrfkitError(f"backend {backend} does not run this analysis; take --backend {' or '.join(ENGINES)}")
    return backend


@dataclass(frozen=True)
class Population:
    """Unconnected neurons of one model.

    Attributes:
        neuron: name of the model.
        parameters: every parameter by name, (N,) float64.
        dt: time step δ.
        options, constants: as for :func:`brfkit.simulate`.
        derived: values of ``derive`` that replace the ones made from the parameters, (N,) by name.
        dtype: ``float64`` or ``float32``, of the simulation.
    """

    neuron: str
    parameters: Mapping[str, NDArray[np.float64]]
    dt: float = 0.01
    options: Mapping[str, OptionValue] | None = None
    constants: Mapping[str, float] | None = None
    derived: Mapping[str, NDArray[np.float64]] | None = None
    dtype: str = "float64"

    @property
    def size(self) -> int:
        return len(next(iter(self.parameters.values())))

    @cached_property
    def model(self) -> Model:
        return build_model(self.neuron, self.options)

    @cached_property
    def linear(self) -> Linearised:
        """One step near rest and below threshold, in float64, of the states that a current reaches."""
        whole = linearise(
            self.neuron, self.parameters, dt=self.dt, options=self.options, constants=self.constants,
            sub_threshold=True, derived=self.derived,
        )  # fmt: skip
        return whole.restricted(whole.reached())

    @cached_property
    def values(self) -> dict[str, NDArray[Any]]:
        """What ``step`` takes besides current and states, in the dtype of the simulation: derived values (N,), and δ
        and the constants."""
        kind: np.dtype[Any] = np.dtype(self.dtype)
        fixed = self.model.neuron.resolve_constants(self.dt, self.constants or {})
        known = {n: kind.type(v) for n, v in fixed.items()} | {
            n: np.asarray(v, kind) for n, v in self.parameters.items()
        }
        with np.errstate(all="ignore"):
            made = self.model.derive_numpy(*(known[n] for n in self.model.derive.inputs))
        derived = dict(zip(self.model.derived, made, strict=True)) | dict(self.derived or {})
        return {n: np.broadcast_to(np.asarray(v, kind), (self.size,)) for n, v in derived.items()} | {
            n: known[n] for n in self.model.constants
        }

    @property
    def threshold(self) -> float:
        """|θ|, or 1 for a neuron without."""
        constants = self.model.neuron.resolve_constants(self.dt, self.constants or {})
        return abs(constants.get("theta", 1.0)) or 1.0

    def state_number(self, symbol: str) -> int:
        if symbol not in self.model.states:
            have = ", ".join(self.model.states)
            raise BrfkitError(f"neuron {self.neuron} has no state {symbol!r}; it has {have}")
        return self.model.states.index(symbol)

    def plan(self, observed: str, reductions: tuple[str, ...], own: bool = False) -> Plan:
        assert set(reductions) <= set(REDUCTIONS)
        reached = tuple(self.model.states.index(s) for s in self.linear.states)
        return Plan(self.model, self.state_number(observed), reached, reductions, own, self.dtype)


def reduce_block(
    population: Population,
    plan: Plan,
    chosen: NDArray[np.intp],
    drive: NDArray[np.float64],
    *,
    references: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    state: NDArray[Any] | None = None,
    skip: int = 0,
    frame: int | None = None,
    engine: str = "numba",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Some neurons of a population under every channel of a current.

    Args:
        population: all neurons.
        plan: what is kept, from :meth:`Population.plan`.
        chosen: numbers of the neurons that run, (n,).
        drive: (C, T), the same for all neurons of a channel, or (C, T, n) where ``plan.own``.
        references: cos and sin for these sums, of the shape of ``drive``.
        state: (C, S, n) before the first step; None is rest.
        skip: steps before anything is kept.
        frame: steps over which each sum goes; None is all that are left.
        engine: ``numba`` or ``reference``.

    Returns:
        Sums (C, frames, sums, n), and the last states (C, S, n).
    """
    kind: np.dtype[Any] = np.dtype(population.dtype)
    channels, steps = drive.shape[:2]
    frame = max(steps - skip, 1) if frame is None else frame
    frames = -(-max(steps - skip, 0) // frame)
    padded = -(-len(chosen) // plan.lanes) * plan.lanes if capabilities(engine).compiled else len(chosen)
    columns = np.pad(chosen, (0, padded - len(chosen)), "edge")

    def widen(array: NDArray[Any]) -> NDArray[Any]:
        return np.pad(array, [(0, 0), (0, 0), (0, padded - len(chosen))]) if array.ndim == 3 else array[:, :, None]

    start = np.zeros((channels, len(plan.model.states), len(chosen)), kind) if state is None else state.astype(kind)
    start = np.ascontiguousarray(widen(start))
    current = np.ascontiguousarray(widen(drive), kind)
    waves = [np.ascontiguousarray(widen(r), kind) for r in references] if references is not None else [current[:0]] * 2
    values = population.values
    if not capabilities(engine).compiled:
        derived = {n: values[n][columns] for n in plan.model.derived}
        constants = {n: values[n] for n in plan.model.constants}
        with np.errstate(all="ignore"):
            sums = run_numpy(plan, current, waves[0], waves[1], derived, constants, start, skip, frame)
        return sums, start
    params = np.stack([values[n][columns] for n in plan.model.derived])  # [derived, n]
    consts = np.array([values[n] for n in plan.model.constants], kind)
    sums = np.zeros((channels, frames, len(plan.reductions), padded), kind)
    flat = [np.ascontiguousarray(a).reshape(-1) for a in (current, *waves, params, consts, start, sums)]
    compiled(plan)(*flat, channels, steps, skip, frame, frames, padded)
    return sums[..., : len(chosen)], start[..., : len(chosen)]


def load_kernel(population: Population, plan: Plan, engine: str) -> None:
    """Compile the kernel, or read it from the cache, so that it does not count as time of a simulation."""
    if capabilities(engine).compiled:
        rows = (0, 1, 1) if plan.own else (0, 1)
        waves = (np.zeros(rows), np.zeros(rows))
        reduce_block(population, plan, np.zeros(1, np.intp), np.zeros(rows), references=waves, engine=engine)


class Work:
    """Jobs over threads with progress, stopped by the first error or Ctrl-C; counts neuron-steps and time."""

    def __init__(self, total: float, threads: int | None, progress: Progress | None) -> None:
        self.neuron_steps, self.seconds = 0, 0.0
        self._total, self._progress, self._lock = total, progress, Lock()
        self._threads = threads or default_threads()
        self._stopped = False

    def run(self, job: Callable[[int], int], count: int) -> None:
        """``job(i)`` for every i below ``count``; it returns the neuron-steps that it has done."""
        began = time.perf_counter()

        def guarded(index: int) -> None:
            if self._stopped:
                return
            try:
                done = job(index)
            except BaseException:
                self._stopped = True
                raise
            with self._lock:
                self.neuron_steps += done
                if self._progress is not None:
                    self._progress(self.neuron_steps, int(max(self._total, self.neuron_steps)))

        try:
            parallel(guarded, count, self._threads)
        finally:
            self.seconds += time.perf_counter() - began


@dataclass(frozen=True)
class Sums:
    """What :func:`reduce_channels` returns: every reduction by name and the step from which it goes, (C, N) each, and
    what it took."""

    by_name: dict[str, NDArray[np.float64]]
    skip: NDArray[np.int64]
    neuron_steps: int
    seconds: float


def reduce_channels(
    population: Population,
    observed: str,
    reductions: tuple[str, ...],
    channels: int,
    current: Callable[[NDArray[np.intp], int], NDArray[np.float64]],
    steps: int,
    *,
    skip: NDArray[np.int64] | None = None,
    references: Callable[[NDArray[np.intp], int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None,
    engine: str = "numba",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Sums:
    """Every neuron under every channel, each from rest: sums over the last ``steps`` steps.

    Args:
        population: N neurons.
        observed: symbol of the state y.
        reductions: of :data:`brfkit.simulation.reduce_kernel.REDUCTIONS`.
        channels: number C of currents.
        current: makes the currents of some channels, ``current(numbers, steps)`` → (c, steps).
        steps: over which sums go.
        skip: steps before that at least, for every neuron, (N,).
        references: makes cos and sin, ``references(numbers, skip, steps)`` → two of (c, skip + steps).
        engine, threads, progress: compute engine, number of threads, callback for finished neuron-steps.
    """
    before = np.zeros(population.size, np.int64) if skip is None else skip
    few = population.size < population.plan(observed, reductions).lanes // 2 and capabilities(engine).compiled
    plan = population.plan(observed, reductions, own=few)
    jobs = _jobs(population.size, channels, before, steps, plan.lanes, few)
    out = {name: np.zeros((channels, population.size)) for name in reductions}
    skipped = np.zeros((channels, population.size), np.int64)

    def job(index: int) -> int:
        rows, columns = jobs[index]
        settle = int(before[columns].max())
        made = current(rows, settle + steps)
        waves = references(rows, settle, steps) if references is not None else None
        if few:  # a lane is a pair of neuron and channel
            made = made.T[None]
            waves = (waves[0].T[None], waves[1].T[None]) if waves is not None else None
        sums, _ = reduce_block(population, plan, columns, made, references=waves, skip=settle, engine=engine)
        place = (rows, columns) if few else np.ix_(rows, columns)
        skipped[place] = settle
        for i, name in enumerate(reductions):
            out[name][place] = sums[0, 0, i] if few else sums[:, 0, i]
        return (settle + steps) * len(columns) * (1 if few else len(rows))

    load_kernel(population, plan, engine)
    work = Work(float(channels * (before + steps).sum()), threads, progress)
    work.run(job, len(jobs))
    return Sums(out, skipped, work.neuron_steps, work.seconds)


def _jobs(
    neurons: int, channels: int, skip: NDArray[np.int64], steps: int, lanes: int, few: bool
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Channels and neurons of every job; neurons that settle equally fast go together."""
    if few:
        pairs = np.array([(c, n) for n in range(neurons) for c in range(channels)], np.intp)
        return [(pairs[i : i + lanes, 0], pairs[i : i + lanes, 1]) for i in range(0, len(pairs), lanes)]
    order = np.argsort(skip, kind="stable")
    width = 16 * lanes
    jobs = []
    for first in range(0, neurons, width):
        columns = order[first : first + width]
        length = steps + int(skip[columns].max())
        count = max(int(JOB / (length * len(columns))), 1)
        jobs += [(np.arange(c, min(c + count, channels)), columns) for c in range(0, channels, count)]
    return jobs
