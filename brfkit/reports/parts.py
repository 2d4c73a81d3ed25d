"""What a report is made of, before it is a page: sections of pictures, tables and notes; what it is a report of."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brfkit.backends import capabilities
from brfkit.runs.folder import RunFolder

Advance = Callable[[int, int], None]
Watch = Callable[[str, str], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: unique in the report; letters, digits and hyphens.
        draw: makes the matplotlib figure.
        caption: what is to be seen.
        alt: the same for those who cannot see it, with the main figures.
        commands: lines that make this figure on its own.
    """

    name: str
    draw: Callable[[], Any]
    caption: str
    alt: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Columns of text; the first one names the rows.

    Attributes:
        caption: what the table holds.
        columns: their names.
        rows: cells as text, one per column.
        folded: whether the page shows it only when asked to.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False


@dataclass(frozen=True)
class Note:
    """A remark, such as why something is not there."""

    text: str


Block = Picture | Table | Note


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes:
        name: as ``--sections`` has it.
        title: heading.
        intro: one or two sentences.
        blocks: in the order of the page.
        headline: figures for the top of the page, value by name.
    """

    name: str
    title: str
    intro: str
    blocks: tuple[Block, ...]
    headline: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A trained network and how it is to be looked at; see :func:`brfkit.reports.build.report`."""

    checkpoint: str
    dataset: str | None = None
    neuron: str | None = None
    permutation: Any = None
    samples: int = 512
    repeats: int = 3
    perturbations: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    backend: str = "auto"
    threads: int | None = None
    data_dir: str | Path | None = None
    seed: int = 0

    @property
    def folder(self) -> RunFolder | None:
        """The run folder, where it is one."""
        return RunFolder(self.checkpoint) if Path(self.checkpoint).is_dir() else None

    @property
    def dtype(self) -> str:
        """Of the computation, where an analysis does not ask for another one."""
        return capabilities(self.backend).default_dtype

    def settings(self) -> dict[str, Any]:
        """What every analysis takes under the same name."""
        names = ("dataset", "neuron", "permutation", "backend", "threads", "data_dir", "seed")
        return {name: getattr(self, name) for name in names}

    def command(self, name: str, *arguments: str | int) -> str:
        """A line for the shell: ``brfkit NAME CHECKPOINT ARGUMENTS`` and how the data are found and computed.

        Args:
            name: of the command.
            arguments: after the checkpoint.
        """
        words = ["brfkit", name, self.checkpoint, *map(str, arguments)]
        given = {
            "--dataset": self.dataset,
            "--backend": None if self.backend == "auto" else self.backend,
            "--seed": self.seed or None,
        }
        return shlex.join([*words, *_options(given), *self.found()])

    def found(self) -> list[str]:
        """Words that let another command find the same network and data."""
        given = {
            "--neuron": self.neuron,
            "--permutation": self.permutation if isinstance(self.permutation, str | Path) else None,
            # the variable finds the data again as it did now
            "--data-dir": None if str(self.data_dir) == os.environ.get("BRFKIT_DATA_DIR") else self.data_dir,
        }
        return _options(given)


def _options(given: Mapping[str, Any]) -> list[str]:
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def number(value: float | int | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e4 else f"{value:.{digits}g}"
