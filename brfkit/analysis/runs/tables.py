"""A comparison as CSV and Markdown, and its curves as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brfkit.analysis.runs.columns import COLUMNS, NAMES, chosen_columns, rows_of
from brfkit.analysis.runs.compare import Comparison
from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_write
from brfkit.io.text import csv_cell, visible

TABLES = (".csv", ".md", ".tex")


def cells(comparison: Comparison, columns: Sequence[str] = NAMES) -> list[dict[str, str]]:
    """For each group its figures as text by the heading of the column, the name of the group first."""
    chosen = chosen_columns(columns)
    return [
        {"network": visible(row.group.label)}
        | {column.heading.format(split=comparison.split): column.cell(row).text for column in chosen}
        for row in rows_of(comparison)
    ]


def to_csv(comparison: Comparison) -> str:
    """One line per group with every figure; numbers are written so that reading gives them back exactly, and what is
    not there is empty."""
    rows = [dict(row.values) for row in rows_of(comparison)]
    for row in rows:
        row["seeds"] = " ".join(str(seed) for seed in row["seeds"])  # type: ignore[attr-defined]
    return _csv(rows)


def curves_csv(comparison: Comparison) -> str:
    """One line per group and epoch: mean and standard deviation of accuracy, loss and spikes over the runs."""
    rows: list[dict[str, Any]] = []
    for group in comparison.groups:
        named = {name: group.curve(name) for name in ("accuracy", "loss", "spikes_per_sample")}
        for i, epoch in enumerate(group.common_epochs()):
            row: dict[str, Any] = {"label": group.label, "epoch": int(epoch), "runs": len(group.runs)}
            for name, (_, mean, std) in named.items():
                row |= {f"{name}_mean": float(mean[i]), f"{name}_std": float(std[i])}
            rows.append(row)
    return _csv(rows)


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_value(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return ""
    return csv_cell(value) if isinstance(value, str) else value


def to_markdown(comparison: Comparison, columns: Sequence[str] = NAMES) -> str:
    rows = cells(comparison, columns)
    lines = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)], *(list(row.values()) for row in rows)]
    table = "\n".join("| " + " | ".join(_markdown(text) for text in line) + " |" for line in lines)
    return f"{table}\n\n{caption(comparison, columns)}\n"


def _markdown(text: str) -> str:
    for special in "\\|*`$[]":
        text = text.replace(special, f"\\{special}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def caption(comparison: Comparison, columns: Sequence[str] = NAMES) -> str:
    """What the columns of a table mean."""
    text = (
        f"Mean ± standard deviation over runs, {comparison.split} figures at the epoch of the lowest validation loss."
    )
    if "difference" in columns or "p" in columns:
        text += _differences(comparison)
    if any(name.startswith("epoch-") or name == "curve" for name in columns):
        found = comparison.definition if "curve" in columns else comparison.definition.partition("; ")[0]
        text += f" {found[0].upper()}{found[1:]}."
    return text


def _differences(comparison: Comparison) -> str:
    """What differences and their p are of."""
    first = comparison.groups[0].label if len({g.dataset for g in comparison.groups}) == 1 else "the first network"
    counts = sorted({found.count for found in comparison.differences() if found is not None})
    if not counts:
        return ""
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words = "common seed" if counts == [1] else "common seeds"
    return f" Difference in accuracy to {first} over {seeds} {words}; p of a paired t-test, not corrected."


def write_table(
    path: str | Path, comparison: Comparison, force: bool = False, columns: Sequence[str] | None = None
) -> None:
    """Write the table as the suffix says: ``.csv``, ``.md`` or ``.tex``.

    Args:
        path: the file.
        comparison: what to write.
        force: whether an existing file may be overwritten.
        columns: names of :data:`brfkit.analysis.runs.columns.COLUMNS`; None takes all, for LaTeX those that a page
            holds. A CSV file always has every figure.

    Raises:
        BrfkitError: another suffix, columns that do not fit a page, or the file exists and `force` is not set.
    """
    from brfkit.analysis.runs.latex import to_latex

    suffix = Path(path).suffix
    if suffix not in TABLES:
        raise BrfkitError(f"{path} must end in {', '.join(TABLES)}")
    if suffix == ".csv":
        text = to_csv(comparison)
    elif suffix == ".md":
        text = to_markdown(comparison, NAMES if columns is None else columns)
    else:
        text = to_latex(comparison, columns, name=Path(path).stem)
    with atomic_write(path, "w", force) as stream:
        stream.write(text)


__all__ = ["COLUMNS", "TABLES", "caption", "cells", "curves_csv", "to_csv", "to_markdown", "write_table"]
