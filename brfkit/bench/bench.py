"""The whole benchmark: every shape and backend against the plain loop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.backends.threads import default_threads
from brfkit.bench.workloads import SHAPES, PaperShape, Workload, make_workload
from brfkit.errors import BrfkitError

log = logging.getLogger(__name__)

BUSY = 0.5  # load per processor beyond which times say little


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        shapes: names in ``SHAPES``.
        backends: names for ``get_backend``; ``auto`` counts as what it resolves to.
        threads: of every contestant; None takes all that the process may use.
        repeats: turns of plain loop and backend.
        memory: whether to start fresh processes that measure peak memory and the first step.
        roofline: whether to measure the machine and set the scans against it.
        data_dir, checkpoints, checkpoint, seed: as for ``make_workload``.
    """

    shapes: Sequence[str] = tuple(SHAPES)
    backends: Sequence[str] = ("auto",)
    threads: int | None = None
    repeats: int = 5
    memory: bool = True
    roofline: bool = False
    data_dir: str | os.PathLike[str] | None = None
    checkpoints: str | os.PathLike[str] | None = None
    checkpoint: str | os.PathLike[str] | None = None
    seed: int = 0


StepDone = Callable[[int, int], None]


class _Count:
    """Steps done and in all."""

    def __init__(self, settings: Settings, backends: int, told: StepDone | None) -> None:
        each = 1 + 2 * settings.repeats + settings.memory + settings.roofline
        self.total = len(settings.shapes) * (backends * each + 1 + settings.memory)
        self.done, self.told = 0, told

    def step(self) -> None:
        self.done += 1
        if self.told is not None:
            self.told(self.done, self.total)


def run(
    settings: Settings, *, progress: StepDone | None = None, shapes: dict[str, PaperShape] | None = None
) -> dict[str, Any]:
    """Measure.

    Args:
        settings: what.
        progress: called with steps done and steps in all.
        shapes: None takes the papers' shapes.

    Returns:
        ``machine``, ``threads``, ``repeats``; ``results``, one entry per shape and backend: the facts of the workload,
        ``backend``, ``train`` and ``inference`` (times), ``memory``; and ``rates`` where a roofline was asked for.

    Raises:
        BrfkitError: a backend that cannot work here, or one that does not compute what the plain loop computes.
    """
    from brfkit.runs.provenance import machine as describe_machine

    known = SHAPES if shapes is None else shapes
    if settings.checkpoint is not None and len(settings.shapes) != 1:
        raise BrfkitError("a checkpoint belongs to one shape; name it with --shape")
    threads = settings.threads or default_threads()
    backends = {backend.name: backend for backend in (get_backend(n, threads=threads) for n in settings.backends)}
    machine = describe_machine(threads)
    if machine["load_before"] is not None and machine["load_before"] > BUSY * (machine["processors"] or 1):
        log.warning("other processes are running (load %.1f): the times will say little", machine["load_before"])
    count = _Count(settings, len(backends), progress)
    scanner = get_backend("numba", threads=threads)
    results: list[dict[str, Any]] = []
    for name in settings.shapes:
        workload = make_workload(
            name,
            scanner,
            shape=known[name],
            data_dir=settings.data_dir,
            checkpoints=settings.checkpoints,
            checkpoint=settings.checkpoint,
            seed=settings.seed,
        )
        results += _shape(workload, backends, threads, settings, count)
    report = {"machine": machine, "threads": threads, "repeats": settings.repeats, "results": results}
    if settings.roofline:
        from brfkit.bench.rates import measure_rates

        report["rates"] = [measure_rates(n).to_dict() for n in sorted({1, threads})]
    return report


def _shape(
    workload: Workload, backends: dict[str, Backend], threads: int, settings: Settings, count: _Count
) -> list[dict[str, Any]]:
    """All backends on one workload."""
    from brfkit.bench.measure import Fused, PlainLoop, compare, warm

    plain = PlainLoop(workload, threads)
    plain_loss = warm(plain)
    count.step()
    results = []
    for name, backend in backends.items():
        ours = Fused(workload, backend, threads)
        compared = compare(plain, plain_loss, ours, settings.repeats, count.step)
        count.step()
        result = {**workload.facts(), "backend": name, "plain_device": "cpu", **compared.to_dict()}
        if settings.roofline:
            result["roofline"] = _roofline(workload, ours, threads)
            count.step()
        results.append(result)
    if settings.memory:
        _add_memory(workload, results, threads, count)
    return results


def _roofline(workload: Workload, ours: Any, threads: int) -> dict[str, Any] | None:
    """The scans of numba against the machine; None for other backends, whose work is not counted."""
    if not ours.backend.capabilities.counted:
        return None
    from brfkit.bench.measure import scan_times
    from brfkit.bench.rates import measure_rates, product_rate
    from brfkit.bench.roofline import roofline

    rates, single = measure_rates(threads), measure_rates(1)
    found = roofline(workload, rates, single, scan_times(ours, repeats=9))
    found["product"] = {
        layer.name: product_rate(layer.units, workload.batch, threads)
        for layer in workload.network.layers
        if layer.recurrent
    }
    return found


def _add_memory(workload: Workload, results: list[dict[str, Any]], threads: int, count: _Count) -> None:
    """Memory and first step of every contestant, each in a process of its own."""
    from brfkit.bench.memory import PLAIN, measure_fresh

    plain = measure_fresh(workload, PLAIN, threads)
    count.step()
    for result in results:
        ours = measure_fresh(workload, result["backend"], threads)
        found = {"plain_mib": plain.extra_mib, "ours_mib": ours.extra_mib, "ratio": None}
        if plain.extra_mib is not None and ours.extra_mib:
            found["ratio"] = plain.extra_mib / ours.extra_mib
        result["memory"] = found
        result["first_step"] = {k: v for k, v in asdict(ours).items() if k != "extra_mib"}
        count.step()
