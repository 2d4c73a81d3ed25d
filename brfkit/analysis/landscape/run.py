"""``brfkit landscape``: the error surface around a trained network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from brfkit.analysis.landscape.compute import Block, Stop, compute, stopping
from brfkit.analysis.landscape.directions import Directions, moving_weights
from brfkit.analysis.landscape.figures import Figures, figures
from brfkit.analysis.landscape.hessian import (
    HessianSpectrum,
    check_count,
    flat,
    loss_gradient,
    replaced,
    top_eigenvalues,
)
from brfkit.analysis.landscape.prepare import SurfaceOptions, SurfaceRequest, SurfaceSetup, prepare
from brfkit.analysis.landscape.store import read_surface, write_surface
from brfkit.analysis.landscape.surface import Surface
from brfkit.analysis.landscape.workers import Crew
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, check_writable
from brfkit.setups import DataLike
from brfkit.trained import NetworkLike, as_network

if TYPE_CHECKING:
    from typing_extensions import Unpack

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Curvature:
    """Which Hessian is wanted.

    Attributes:
        eigenvalues: how many of the largest; 0 is none.
        samples: the first so many of the surface's samples.
        step: see :func:`brfkit.analysis.landscape.hessian.top_eigenvalues`.
    """

    eigenvalues: int = 0
    samples: int = 100
    step: float = 1e-2


@dataclass(frozen=True)
class Landscape:
    """What :func:`landscape` returns.

    Attributes:
        surface: points and what is known of them.
        figures: of the surface.
        spectrum: of the Hessian, None where it was not asked for.
        evaluations: points evaluated now, not in an earlier run.
        seconds: wall time of those.
        out: file, or None.
    """

    surface: Surface
    figures: Figures
    spectrum: HessianSpectrum | None
    evaluations: int
    seconds: float
    out: str | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        settings, spectrum = self.surface.settings, self.spectrum
        return {
            "checkpoint": settings.checkpoint,
            "neuron": settings.neuron,
            "dataset": settings.dataset,
            "backend": settings.backend,
            "points": settings.points,
            "samples": settings.samples,
            "epoch": settings.epoch,
            **self.figures.to_dict(),
            "accuracy_center": self.surface.centre("accuracy"),
            "spikes_per_sample_center": self.surface.centre("spikes_per_sample"),
            "hessian_eigenvalues": None if spectrum is None else spectrum.eigenvalues,
            "hessian_residuals": None if spectrum is None else spectrum.residuals,
            "path_shares": self.surface.directions.shares,
            "done": int(self.surface.done.sum()),
            "seconds": self.seconds,
            "evaluations_per_second": self.evaluations / self.seconds if self.evaluations else None,
            "out": self.out,
        }


class LandscapeOptions(SurfaceOptions, total=False):
    """Keyword arguments of :func:`landscape`.

    Attributes:
        resume: go on with the surface in the file, if there is one.
        force: overwrite it.
        block: points that are evaluated together; changes neither results nor the file.
    """

    resume: bool
    force: bool
    block: int


def summarise(surface: Surface, radius: float = 0.25, out: PathLike | None = None) -> Landscape:
    """A surface that is there already, with its figures."""
    done = surface.done[: surface.grid_size].reshape(surface.shape)
    found = figures(surface.alpha, surface.beta, surface.grid("loss"), done, surface.centre("loss"), radius)
    return Landscape(surface, found, None, 0, 0.0, None if out is None else str(out))


def landscape(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    out: PathLike | None = None,
    radius: float = 0.25,
    curvature: Curvature | None = None,
    crew: Crew | None = None,
    progress: Progress | None = None,
    **options: Unpack[LandscapeOptions],
) -> Landscape | None:
    """Evaluate a network at every point of a grid around its weights.

    Args:
        network: a trained network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        out: HDF5 file; holds every finished block from its end on. None keeps the surface in memory only.
        radius: of the sharpness.
        curvature: eigenvalues of the Hessian that are wanted too.
        crew: the processes that share the work; None is this one alone.
        progress: called with points done and in all.
        options: how it is written, see :class:`LandscapeOptions`, and which surface, see
            :class:`brfkit.analysis.landscape.prepare.SurfaceRequest`.

    Returns:
        The surface and its figures; None in a process that only helps.

    Raises:
        BrfkitError: impossible settings, or an existing file in `out`, also one of another surface.
        KeyboardInterrupt: Ctrl-C or SIGTERM; what was finished is in `out`.
    """
    resume, force, block = options.pop("resume", False), options.pop("force", False), options.pop("block", 16)
    if block < 1:
        raise BrfkitError(f"block must be at least 1, not {block}")
    wanted = SurfaceRequest(dataset=dataset, **options)  # type: ignore[misc]
    trained = as_network(network, wanted.neuron)
    with stopping() as stop:
        if crew is not None and not crew.writes:
            ready = prepare(trained, wanted)
            crew.follow(ready.settings, lambda directions: _block(ready, directions, stop, None))
            return None
        try:
            if out is not None:
                check_writable(out, force or resume)
            ready = prepare(trained, wanted)
            _check_curvature(ready, curvature or Curvature())
            surface = _begin(ready, out, resume, force)
        except BrfkitError:
            if crew is not None:
                crew.failed()
            raise
        count, seconds = _evaluate(ready, surface, stop, block, out, crew, progress)
        spectrum = _spectrum(ready, surface.directions, curvature or Curvature())
    return replace(summarise(surface, radius, out), spectrum=spectrum, evaluations=count, seconds=seconds)


def _begin(ready: SurfaceSetup, out: PathLike | None, resume: bool, force: bool) -> Surface:
    """The surface to go on with, or a new one, which is written at once."""
    if out is not None and resume and Path(out).exists():
        surface = read_surface(out)
        different = ready.settings.difference(surface.settings)
        if different is not None:
            raise BrfkitError(
                f"{out} holds another surface: {different}; use the same settings, another file, or --force"
            )
        surface.directions.check(ready.setup.network)
        return surface
    surface = Surface(ready.settings, ready.directions())
    if out is not None:
        write_surface(out, surface, force)
    return surface


def _evaluate(
    ready: SurfaceSetup,
    surface: Surface,
    stop: Stop,
    size: int,
    out: PathLike | None,
    crew: Crew | None,
    progress: Progress | None,
) -> tuple[int, float]:
    """Number of points that were evaluated, and seconds."""
    began, left, total = time.perf_counter(), len(surface.pending), len(surface.done)
    count, lock = total - left, Lock()

    def point_done() -> None:
        nonlocal count
        with lock:
            count = max(count + 1, int(surface.done.sum()))
            if progress is not None:
                progress(min(count, total), total)

    def save() -> None:
        if out is not None:
            write_surface(out, surface, force=True)
        if progress is not None:
            progress(int(surface.done.sum()), total)

    block = _block(ready, surface.directions, stop, point_done)
    if crew is not None:
        crew.lead(surface, block, size, save)
    else:
        compute(surface, block, size, save)
    return left, time.perf_counter() - began


def _block(ready: SurfaceSetup, directions: Directions, stop: Stop, point_done: Callable[[], None] | None) -> Block:
    return Block(ready.evaluator, ready.centre, directions, ready.settings.dtype, stop, point_done)


def _check_curvature(ready: SurfaceSetup, wanted: Curvature) -> None:
    """Refuse impossible eigenvalues before the points are evaluated, not after."""
    if wanted.eigenvalues:
        names = moving_weights(ready.setup.network, ready.settings.parameters)
        check_count(sum(ready.centre[name].size for name in names), wanted.eigenvalues)


def _spectrum(ready: SurfaceSetup, directions: Directions, wanted: Curvature) -> HessianSpectrum | None:
    """Eigenvalues of the Hessian with respect to the weights that move."""
    if not wanted.eigenvalues:
        return None
    setup, names = ready.setup, directions.names
    centre = {name: value.astype(np.float64) for name, value in ready.centre.items()}
    split = setup.split.take(wanted.samples)

    def gradient(values: Any) -> Any:
        found = loss_gradient(
            setup.network, setup.network.masked(replaced(centre, names, values)), split, setup.task, setup.backend,
            ready.settings.batch_size,
        )  # fmt: skip
        return flat(found, names)

    return top_eigenvalues(
        gradient, flat(centre, names), wanted.eigenvalues, step=wanted.step, seed=ready.settings.seed
    )  # fmt: skip
