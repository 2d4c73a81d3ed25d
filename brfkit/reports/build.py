"""One page about a trained network: run, learning curves, inspection, robustness, gradient flow, error surface."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.analysis.network.perturbations.registry import get_perturbation
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write, check_writable
from brfkit.reports.context import Context, Scope
from brfkit.reports.network import gradients_section, inspect_section, robustness_section
from brfkit.reports.parts import Advance, Section, Watch
from brfkit.reports.run import curves_section, run_section
from brfkit.reports.surface import check_surface, landscape_section
from brfkit.runs.folder import REPORT
from brfkit.setups import DataLike, SetupOptions
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

PAPER = ("input-noise", "spike-deletion", "synaptic-noise", "bit-precision")
SECTIONS: dict[str, Callable[[Context, Watch], Section]] = {
    "run": run_section,
    "curves": curves_section,
    "inspect": inspect_section,
    "robustness": robustness_section,
    "gradients": gradients_section,
    "landscape": landscape_section,
}
TITLES = {
    "run": "Run",
    "curves": "Learning curves",
    "inspect": "Inside the network",
    "robustness": "Robustness",
    "gradients": "Gradient flow",
    "landscape": "Error surface",
}
COMPUTED = ("inspect", "robustness", "gradients")
NOT_FOR_LSTM = (*COMPUTED, "landscape")


@dataclass(frozen=True)
class Report:
    """What :func:`report` returns.

    Attributes:
        checkpoint, out: where it was read and written.
        sections: names of those that are on the page.
        skipped: why a section is not, by its name.
        figures: names of the pictures.
        commands: the lines that make a picture on its own, by its name.
        headline: the figures at the top of the page.
        size: of the page, bytes.
        seconds: wall time.
    """

    checkpoint: str
    out: str
    sections: tuple[str, ...]
    skipped: dict[str, str]
    figures: tuple[str, ...]
    commands: dict[str, tuple[str, ...]]
    headline: dict[str, str]
    size: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {
            "checkpoint": self.checkpoint,
            "out": self.out,
            "sections": list(self.sections),
            "skipped": self.skipped,
            "figures": list(self.figures),
            "commands": {name: list(lines) for name, lines in self.commands.items()},
            "headline": self.headline,
            "bytes": self.size,
            "seconds": self.seconds,
        }


class ReportOptions(SetupOptions, total=False):
    """Keyword arguments of :func:`report`; see :class:`brfkit.reports.context.Scope`.

    Attributes:
        samples: the first so many test samples are run (512); gradients take at most 16 of them.
        repeats: evaluations per level of a perturbation (3).
        perturbations: which, of ``brfkit.analysis.network.perturbations.registry.PERTURBATIONS`` (the paper's).
        surfaces: files of ``brfkit landscape`` beside those in the run folder.
    """

    samples: int
    repeats: int
    perturbations: Sequence[str]
    surfaces: Sequence[str | Path]


def default_out(path: str | Path) -> Path:
    """``report.html`` in a run folder; for a file ``<name>-report.html`` in the current folder."""
    place = Path(path)
    return place / REPORT if place.is_dir() else Path(f"{place.stem}-report.html")


def report(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    out: str | Path | None = None,
    sections: Sequence[str] = tuple(SECTIONS),
    force: bool = False,
    watch: Watch | None = None,
    **options: Unpack[ReportOptions],
) -> Report:
    """Write one HTML page that needs nothing but itself: pictures, styles and numbers are in it, scripts are not.

    The data are loaded once. A section that cannot be made (no history of a published file, no surface) says so on the
    page. An interrupt writes the sections that are finished before it goes on.

    Args:
        network: a trained network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        out: the page; None is :func:`default_out`.
        sections: which, of ``SECTIONS``; the page has them in that order.
        force: overwrite `out`.
        watch: ``watch(label, unit)`` gives a context that yields ``advance(done, total)``, for progress.
        options: see :class:`ReportOptions`.

    Raises:
        BrfkitError: network or data cannot be read or do not fit each other, an unknown name, or `out` exists.
    """
    began = time.perf_counter()
    scope = Scope(
        options.pop("samples", 512),
        options.pop("repeats", 3),
        tuple(options.pop("perturbations", PAPER)),
        tuple(map(str, options.pop("surfaces", ()))),
    )
    wanted = _checked(sections, scope)
    context = Context(network, dataset, scope, options)
    target = default_out(context.path or context.name) if out is None else Path(out)
    check_writable(target, force)
    for file in scope.surfaces:
        check_surface(file)
    if not context.is_lstm and any(name in COMPUTED for name in wanted):
        _ = context.setup  # fails before long work where network or data are missing or do not fit
    page = _Page(context, target, force)
    try:
        for name in wanted:
            page.add(name, watch or _unwatched)
    except KeyboardInterrupt:
        page.write([name for name in wanted if name not in (*page.made, *page.skipped)])
        raise
    return page.write().result(time.perf_counter() - began)


def _checked(sections: Sequence[str], scope: Scope) -> tuple[str, ...]:
    for name in sections:
        if name not in SECTIONS:
            raise BrfkitError(f"there is no section {name!r}; there are {', '.join(SECTIONS)}")
    if not sections:
        raise BrfkitError(f"a report needs at least one section of {', '.join(SECTIONS)}")
    if scope.samples < 1 or scope.repeats < 1:
        raise BrfkitError(f"samples and repeats must be at least 1, not {scope.samples} and {scope.repeats}")
    for name in scope.perturbations:
        get_perturbation(name)
    return tuple(name for name in SECTIONS if name in sections)


@contextmanager
def _unwatched(label: str, unit: str) -> Iterator[Advance]:
    yield lambda done, total: None


class _Page:
    """The sections so far, as HTML, so that an interrupt loses only the one that is being made."""

    def __init__(self, context: Context, target: Path, force: bool) -> None:
        self.context, self.target, self.force = context, target, force
        self.made: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.headline: dict[str, str] = {}
        self.commands: dict[str, tuple[str, ...]] = {}
        self.size = 0

    def add(self, name: str, watch: Watch) -> None:
        from brfkit.reports.page import render_section

        try:
            if name in NOT_FOR_LSTM and self.context.is_lstm:
                raise BrfkitError("this run trained an LSTM, which has no spiking neurons to analyse")
            section = SECTIONS[name](self.context, watch)
        except BrfkitError as error:
            self.skipped[name] = str(error)
            return
        with watch(f"{name}, drawing", "figures") as advance:
            text, commands = render_section(section, len(self.commands), advance)
        self.made[name] = text
        self.commands |= commands
        self.headline |= section.headline

    def write(self, unfinished: Sequence[str] = ()) -> _Page:
        from brfkit.reports.page import render_page

        reasons = self.skipped | dict.fromkeys(unfinished, "the report was interrupted before this section")
        parts = [
            (name, title, self.made.get(name), reasons.get(name))
            for name, title in TITLES.items()
            if name in self.made or name in reasons
        ]
        text = render_page(self._title(), self.context.name, parts, self.headline)
        with atomic_write(self.target, "w", self.force) as stream:
            stream.write(text)
        self.size = len(text.encode())
        return self

    def _title(self) -> str:
        config = self.context.config
        if config is not None:
            return f"{config.data.title}, {config.network.title}, seed {config.training.seed}"
        known = (self.context.dataset_name, self.context.options.get("neuron"))
        return ", ".join([Path(self.context.name).stem, *(name for name in known if name)])

    def result(self, seconds: float) -> Report:
        return Report(
            self.context.name, str(self.target), tuple(self.made), dict(self.skipped), tuple(self.commands),
            dict(self.commands), dict(self.headline), self.size, seconds,
        )  # fmt: skip


__all__ = ["PAPER", "SECTIONS", "Report", "default_out", "report"]
