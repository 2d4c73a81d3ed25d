"""The section of a report about the error surface, from files that ``brfkit landscape`` has written."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brfkit.errors import BrfkitError
from brfkit.io.hdf5 import has_attribute, open_hdf5
from brfkit.reports.context import Context
from brfkit.reports.parts import Block, Note, Picture, Section, Table, Watch, number

if TYPE_CHECKING:
    from brfkit.analysis.landscape.run import Landscape
    from brfkit.analysis.landscape.surface import Settings

FIGURES = {
    "loss_center": "loss at the centre",
    "loss_min": "least loss",
    "loss_max": "largest loss",
    "roughness": "roughness",
    "convex_fraction": "convex share of the cells",
    "condition_center": "condition number at the centre",
    "sharpness": "sharpness",
    "not_finite": "points without a finite loss",
}


def landscape_section(context: Context, watch: Watch) -> Section:
    """Every surface that lies in the run folder or was named."""
    from brfkit.analysis.landscape.run import summarise
    from brfkit.analysis.landscape.store import read_surface

    files = _files(context)
    if not files:
        where = "in the run folder" if context.folder is not None else "of this checkpoint"
        out = "surface.h5" if context.folder is None else str(context.folder / "surface.h5")
        hint = context.command("landscape", "--points", 51, "--samples", context.scope.samples, "--out", out)
        raise BrfkitError(f"there is no surface {where}; make one: {hint}")
    identity = context.trained.sha256
    blocks: list[Block] = []
    for number_, file in enumerate(files):
        try:
            found = summarise(read_surface(file), out=file)
        except BrfkitError as error:
            blocks.append(Note(str(error)))
            continue
        blocks += _of_surface(context, found, number_, identity)
    intro = "The loss over a plane, or along a line, through the trained weights."
    return Section("landscape", "Error surface", intro, tuple(blocks))


def check_surface(file: str) -> None:
    """Refuse a file that was named as a surface and is none; a damaged one is said to be on the page.

    Raises:
        BrfkitError: it is of another kind.
    """
    from brfkit.analysis.landscape.store import FORMAT, is_surface

    ours = is_surface(file)
    if ours:
        try:
            with open_hdf5(Path(file)) as stream:
                ours = has_attribute(stream, "format", FORMAT)
        except BrfkitError:
            return
    if not ours:
        raise BrfkitError(f"{file} is no error surface; --surface takes a file of brfkit landscape --out")


def _files(context: Context) -> list[Path]:
    """Named files first, then the surfaces in the run folder; data sets and traces are HDF5 too and do not count."""
    from brfkit.analysis.landscape.store import FORMAT, is_surface

    found = [Path(name) for name in context.scope.surfaces]
    for file in context.folder.surfaces() if context.folder is not None else []:
        if not is_surface(file) or file.resolve() in {f.resolve() for f in found}:
            continue
        try:
            with open_hdf5(file) as stream:
                ours = has_attribute(stream, "format", FORMAT)
        except BrfkitError:  # a damaged file is named by its reader
            ours = True
        found += [file] if ours else []
    return found


def _of_surface(context: Context, found: Landscape, index: int, identity: str) -> list[Block]:
    from brfkit.plotting.landscape.surfaces import landscape_figure

    surface, settings, file = found.surface, found.surface.settings, str(found.out)
    blocks: list[Block] = []
    same = settings.checkpoint_sha256 == identity
    if not same:
        kept = "" if settings.epoch is None else f" (those kept after epoch {settings.epoch})"
        blocks.append(Note(f"{Path(file).name} was taken around other weights than those of this report{kept}."))
    if not surface.complete:
        done, points = int(surface.done.sum()), len(surface.done)
        blocks.append(Note(f"{Path(file).name} is not finished: {done:,} of {points:,} points."))
    if not surface.done.any():
        return blocks
    values = found.figures.to_dict()
    grid = " × ".join(str(n) for n in surface.shape if n > 1)
    what = "along a line" if settings.line else "over a plane"
    blocks.append(
        Picture(
            f"surface-{index}",
            partial(landscape_figure, [surface]),
            f"{Path(file).name}: loss of {settings.samples:,} {settings.split} samples of {settings.dataset} {what} "
            f"through the weights, {grid} points, {settings.directions} directions.",
            f"Error surface. Loss {number(values['loss_center'])} at the centre, from {number(values['loss_min'])} to "
            f"{number(values['loss_max'])}; roughness {number(values['roughness'])}, convex share "
            f"{number(values['convex_fraction'])}.",
            (
                _made_by(settings, file, context if same else None),
                shlex.join(["brfkit", "landscape", file, "--plot", "surface.png"]),
            ),
        )
    )
    rows = tuple((label, number(values[key])) for key, label in FIGURES.items())
    blocks.append(Table(f"Figures of {Path(file).name}", ("figure", "value"), rows))
    return blocks


def _made_by(settings: Settings, file: str, context: Context | None) -> str:
    """The line that computes such a surface; only what differs from the defaults of the command."""
    checkpoint = context.file if context else settings.checkpoint
    words = [
        "brfkit", "landscape", checkpoint, "--dataset", settings.dataset, "--points", str(settings.points),
        "--samples", str(settings.samples), "--out", file,
    ]  # fmt: skip
    usual = {
        "--bound": (f"{settings.bound:g}", "1"),
        "--split": (settings.split, "test"),
        "--directions": (settings.directions, "filter"),
        "--parameters": (settings.parameters, "weights"),
        "--dtype": (settings.dtype, "float32"),
        "--batch-size": (str(settings.batch_size), "256"),
        "--seed": (str(settings.seed), "0"),
    }
    for option, (value, default) in usual.items():
        words += [] if value == default else [option, value]
    for option, given in (("--sample-seed", settings.sample_seed), ("--match-epoch", settings.epoch)):
        words += [] if given is None else [option, str(given)]
    return shlex.join([*words, *(["--slice"] if settings.line else []), *(context.found() if context else [])])
