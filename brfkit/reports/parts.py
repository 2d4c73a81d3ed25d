"""What a report is made of, before it is a page: sections of pictures, tables and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

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


def number(value: float | int | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e4 else f"{value:.{digits}g}"
