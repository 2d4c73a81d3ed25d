"""A comparison as a table for LaTeX, with the packages booktabs and siunitx."""

from __future__ import annotations

import re
from collections.abc import Sequence

from brfkit.analysis.runs.columns import COLUMNS, USUAL, Cell, Column, chosen_columns, rows_of
from brfkit.analysis.runs.compare import Comparison
from brfkit.analysis.runs.tables import caption
from brfkit.errors import BrfkitError
from brfkit.io.text import latex

# Characters in a line of small type, the space between columns counted as two: one column of a page, the whole page.
ONE_COLUMN, PAGE = 58, 124


def to_latex(comparison: Comparison, columns: Sequence[str] | None = None, name: str = "compare") -> str:
    """A ``table`` of booktabs' rules and siunitx's columns, or a ``table*`` where one column of the page is too narrow.

    Args:
        comparison: what to write.
        columns: their names; None takes as many of ``USUAL`` as fit one column of a page.
        name: of the label, ``tab:NAME``.

    Raises:
        BrfkitError: the columns are wider than a page.
    """
    rows = rows_of(comparison)
    if columns is None:
        columns = _that_fit(comparison)
    chosen = chosen_columns(columns)
    labels = [row.group.label for row in rows]
    cells = [[column.cell(row) for row in rows] for column in chosen]
    headings = [_heading(column, comparison.split) for column in chosen]
    width = _width(labels, headings, cells)
    if width > PAGE:
        raise BrfkitError(f"a table of {len(chosen) + 1} columns does not fit a page; choose fewer with --columns")
    environment = "table" if width <= ONE_COLUMN else "table*"
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{siunitx}",
        rf"\begin{{{environment}}}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{latex(caption(comparison, columns))}}}", rf"\label{{tab:{_key(name)}}}",
        rf"\begin{{tabular}}{{@{{}}l{''.join(_alignment(column) for column in cells)}@{{}}}}", r"\toprule",
        *_head(headings), r"\midrule",
    ]  # fmt: skip
    for index, label in enumerate(labels):
        lines.append(" & ".join([latex(label), *(_cell(column[index], column) for column in cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", rf"\end{{{environment}}}", ""])


def _that_fit(comparison: Comparison) -> list[str]:
    """The first of the usual columns, in the order of the table, that say something and fit one column of a page."""
    rows = rows_of(comparison)
    kept: list[str] = []
    for name in USUAL:
        (column,) = chosen_columns([name])
        if all(column.cell(row).text == "–" for row in rows):
            continue
        tried = [c for c in COLUMNS if c.name in (*kept, name)]
        cells = [[c.cell(row) for row in rows] for c in tried]
        headings = [_heading(c, comparison.split) for c in tried]
        if _width([row.group.label for row in rows], headings, cells) <= ONE_COLUMN or not kept:
            kept.append(name)
    return [column.name for column in COLUMNS if column.name in kept]


def _heading(column: Column, split: str) -> list[str]:
    """The words of a heading in two lines where it is long."""
    text = column.heading.format(split=split)
    if column.name == "accuracy":  # the caption names the split
        return ["accuracy", "(%)"]
    words = text.split(" ")
    if len(text) <= 6 or len(words) == 1:
        return [text]
    cut = min(range(1, len(words)), key=lambda n: max(len(" ".join(words[:n])), len(" ".join(words[n:]))))
    return [" ".join(words[:cut]), " ".join(words[cut:])]


def _head(headings: Sequence[Sequence[str]]) -> list[str]:
    """One line of headings, or two, the shorter ones at the bottom."""
    tall = max((len(heading) for heading in headings), default=1)
    padded = [["", *heading] if len(heading) < tall else list(heading) for heading in headings]
    lines = []
    for level in range(tall):
        first = "network" if level == tall - 1 else ""
        lines.append(" & ".join([first, *(f"{{{latex(heading[level])}}}" for heading in padded)]) + r" \\")
    return lines


def _width(labels: Sequence[str], headings: Sequence[Sequence[str]], cells: Sequence[Sequence[Cell]]) -> int:
    columns = [
        max(max(map(len, heading)), max(len(cell.text) for cell in column))
        for heading, column in zip(headings, cells, strict=True)
    ]
    return max(map(len, ("network", *labels))) + sum(width + 2 for width in columns)


def _is_number(column: Sequence[Cell]) -> bool:
    return any(cell.mean for cell in column)


def _alignment(column: Sequence[Cell]) -> str:
    """A column of siunitx with as many places as its numbers have; text is set to the right."""
    if not _is_number(column):
        return "r"
    whole = max(len(cell.mean.partition(".")[0].lstrip("-")) for cell in column)
    places = max(len(cell.mean.partition(".")[2]) for cell in column)
    sign = "-" if any(cell.mean.startswith("-") for cell in column) else ""
    form = f"{sign}{whole}.{places}" if places else f"{sign}{whole}"
    stds = [cell.std for cell in column if cell.std]
    if not stds:
        return f"S[table-format={form}]"
    digits = max(len(std.replace(".", "").lstrip("0")) or 1 for std in stds)
    return f"S[table-format={form}({digits}),separate-uncertainty,table-align-uncertainty=false]"


def _cell(cell: Cell, column: Sequence[Cell]) -> str:
    if not _is_number(column):
        return latex(cell.text)
    if not cell.mean:
        return f"{{{latex(cell.text)}}}"
    return rf"{cell.mean} \pm {cell.std}" if cell.std else cell.mean


def _key(name: str) -> str:
    """What may stand in a label."""
    return re.sub(r"[^A-Za-z0-9:.-]+", "-", name).strip("-") or "compare"
