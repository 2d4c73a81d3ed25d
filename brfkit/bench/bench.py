"""The whole benchmark: every shape and backend against a peer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.backends.numba_cpu.bfloat import LEAST_UNITS
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
        against: peer, ``plain`` (the published network under TorchScript) or ``jax`` (a scan under ``jit``).
        gradient_precision: of the backends.
        repeats: turns of peer and backend.
        memory: whether to start fresh processes that measure peak memory and the first step.
        latency: whether to time single steps of a single sample.
        roofline: whether to measure the machine and set the scans against it.
        data_dir, checkpoints, checkpoint, seed: as for ``make_workload``.
    """

    shapes: Sequence[str] = tuple(SHAPES)
    backends: Sequence[str] = ("auto",)
    against: str = "plain"
    gradient_precision: str = "float32"
    threads: int | None = None
    repeats: int = 5
    memory: bool = True
    latency: bool = False
    roofline: bool = False
    data_dir: str | os.PathLike[str] | None = None
    checkpoints: str | os.PathLike[str] | None = None
    checkpoint: str | os.PathLike[str] | None = None
    seed: int = 0


StepDone = Callable[[int, int], None]


class _Count:
    """Steps done and in all."""

    def __init__(self, settings: Settings, backends: int, on_step: StepDone | None) -> None:
        each = 1 + 2 * settings.repeats + settings.memory + settings.latency + settings.roofline
        self.total = len(settings.shapes) * (backends * each + 1 + settings.memory)
        self.done, self.on_step = 0, on_step

    def step(self) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(self.done, self.total)


def run(
    settings: Settings, *, progress: StepDone | None = None, shapes: dict[str, PaperShape] | None = None
) -> dict[str, Any]:
    """Measure.

    Args:
        settings: what.
        progress: called with steps done and steps in all.
        shapes: None takes the papers' shapes.

    Returns:
        ``machine``, ``against``, ``gradient_precision``, ``threads``, ``repeats``; ``results``, one entry per shape and
        backend: the facts of the workload, ``backend``, ``train`` and ``inference`` (times), ``memory``, ``latency``;
        and ``rates`` where a roofline was asked for. Keys of the peer's figures hold its name, as in ``plain_ms``.

    Raises:
        BrfkitError: a peer or backend that cannot work here, or a backend that does not compute what the peer computes.
    """
    from brfkit.bench.contestants import check_peer
    from brfkit.runs.provenance import machine as describe_machine

    known = SHAPES if shapes is None else shapes
    if settings.checkpoint is not None and len(settings.shapes) != 1:
        raise BrfkitError("a checkpoint belongs to one shape; name it with --shape")
    check_peer(settings.against, settings.threads)
    threads, precision = settings.threads or default_threads(), settings.gradient_precision
    made = [get_backend(name, threads=threads) for name in settings.backends]
    backends = {backend.name: backend.with_gradient_precision(precision) for backend in made}
    _tell_of_precision(precision, {name: known[name] for name in settings.shapes})
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
    said = {"against": settings.against, "gradient_precision": precision}
    report = {"machine": machine, **said, "threads": threads, "repeats": settings.repeats, "results": results}
    if settings.roofline:
        from brfkit.bench.rates import measure_rates

        report["rates"] = [measure_rates(n).to_dict() for n in sorted({1, threads})]
    return report


def _tell_of_precision(precision: str, shapes: dict[str, PaperShape]) -> None:
    """Name the shapes whose gradients are in float32 whatever was asked for."""
    narrow = [name for name, shape in shapes.items() if shape.hidden < LEAST_UNITS]
    if precision != "float32" and narrow:
        log.warning(
            "gradients in %s have no effect on %s: they are for layers of %d units and more",
            precision, ", ".join(narrow), LEAST_UNITS,
        )  # fmt: skip


def _shape(
    workload: Workload, backends: dict[str, Backend], threads: int, settings: Settings, count: _Count
) -> list[dict[str, Any]]:
    """All backends on one workload."""
    from brfkit.bench.contestants import make_peer
    from brfkit.bench.latency import measure_latency
    from brfkit.bench.measure import Fused, compare, warm

    against = settings.against
    peer = make_peer(workload, against, threads)
    peer_loss = warm(peer)
    count.step()
    results = []
    for name, backend in backends.items():
        ours = Fused(workload, backend, threads, settings.gradient_precision)
        compared = compare(peer, peer_loss, ours, settings.repeats, count.step)
        count.step()
        result = {**workload.facts(), "backend": name, f"{against}_device": peer.device, **compared.to_dict(against)}
        if settings.latency:
            result["latency"] = measure_latency(peer, ours, workload, settings.repeats).to_dict(against)
            count.step()
        if settings.roofline:
            result["roofline"] = _roofline(workload, ours, threads)
            count.step()
        results.append(result)
    if settings.memory:
        _add_memory(workload, results, threads, settings, count)
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


def _add_memory(
    workload: Workload, results: list[dict[str, Any]], threads: int, settings: Settings, count: _Count
) -> None:
    """Memory and first step of every contestant, each in a process of its own."""
    from brfkit.bench.memory import measure_fresh

    against = settings.against
    peer = measure_fresh(workload, against, threads)
    count.step()
    for result in results:
        ours = measure_fresh(workload, result["backend"], threads, settings.gradient_precision)
        found = {f"{against}_mib": peer.extra_mib, "ours_mib": ours.extra_mib, "ratio": None}
        if peer.extra_mib is not None and ours.extra_mib:
            found["ratio"] = peer.extra_mib / ours.extra_mib
        result["memory"] = found
        first = {k: v for k, v in asdict(ours).items() if k != "extra_mib"}
        result["first_step"] = {**first, f"{against}_first_step_s": peer.first_step_s}
        count.step()
