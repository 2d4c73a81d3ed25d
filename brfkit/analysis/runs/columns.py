"""The columns of a comparison: their names, headings and cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brfkit.analysis.runs.compare import SHARES, Comparison, figures
from brfkit.analysis.runs.groups import Group
from brfkit.analysis.runs.significance import Difference
from brfkit.errors import BrfkitError
from brfkit.runs.config import LSTM


@dataclass(frozen=True)
class Cell:
    """A number with or without a standard deviation, or text; neither is nothing to tell.

    Attributes:
        text: as it is shown to people.
        mean, std: as decimal digits without separators, empty where there is none.
    """

    text: str
    mean: str = ""
    std: str = ""


@dataclass(frozen=True)
class Row:
    """A group with its figures."""

    group: Group
    difference: Difference | None
    values: dict[str, object]

    def number(self, name: str) -> float:
        value = self.values[name]
        return float(value) if isinstance(value, int | float) else math.nan


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: as ``--columns`` has it.
        heading: with the unit; ``{split}`` stands for the split.
        cell: makes the cell of a group.
    """

    name: str
    heading: str
    cell: Callable[[Row], Cell]


def rows_of(comparison: Comparison) -> list[Row]:
    """The groups with their figures, in order."""
    pairs = zip(comparison.groups, comparison.differences(), strict=True)
    return [Row(group, difference, figures(group, difference)) for group, difference in pairs]


def amount(value: float, digits: int) -> str:
    """A number as text; – where there is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def digits_for(mean: float, std: float, at_least: int = 0) -> int:
    """Decimal places that show two digits of the standard deviation, without one four digits of the mean."""
    size = std if math.isfinite(std) and std > 0 else abs(mean) / 100.0
    if not (math.isfinite(size) and size > 0):
        return at_least
    return max(at_least, min(1 - math.floor(math.log10(size)), 6))


def spread(mean: float, std: float, digits: int) -> Cell:
    """``mean ± std``, or the one value there is."""
    if not math.isfinite(mean):
        return Cell("–")
    if not math.isfinite(std):
        return Cell(amount(mean, digits), f"{mean:.{digits}f}")
    return Cell(f"{amount(mean, digits)} ± {amount(std, digits)}", f"{mean:.{digits}f}", f"{std:.{digits}f}")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _figure(name: str, at_least: int, factor: float = 1.0, most: int = 6) -> Callable[[Row], Cell]:
    """A cell with so many decimal places, or more where a small deviation asks for them."""

    def cell(row: Row) -> Cell:
        mean, std = factor * row.number(f"{name}_mean"), factor * row.number(f"{name}_std")
        return spread(mean, std, min(digits_for(mean, std, at_least), most))

    return cell


def _single(name: str, digits: int) -> Callable[[Row], Cell]:
    return lambda row: spread(row.number(name), math.nan, digits)


def _epoch(share: int) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        mean, std = row.number(f"epoch_{share}_mean"), row.number(f"epoch_{share}_std")
        return spread(mean, std, 1 if math.isfinite(std) else 0)

    return cell


def _difference(row: Row) -> Cell:
    found = row.difference
    if found is None or not found.count:
        return Cell("–")
    shown = spread(found.mean, found.std, 2)
    sign = "+" if found.mean > 0 else ""
    return Cell(f"{sign}{shown.text}".replace("-", "−"), shown.mean, shown.std)


def _p(row: Row) -> Cell:
    found = row.difference
    if found is None or math.isnan(found.p):
        return Cell("–")
    return spread(found.p, math.nan, 3) if found.p >= 0.0005 else Cell("< 0.001")


def _spikes(row: Row) -> Cell:
    """Spikes per sample; an LSTM has none to count."""
    return Cell("–") if row.values["neuron"] == LSTM else _figure("spikes_per_sample", 0)(row)


def _mean_curve(row: Row) -> Cell:
    found = [row.values[f"curve_epoch_{share}"] for share in SHARES]
    return Cell(" / ".join("–" if epoch is None else str(epoch) for epoch in found))


COLUMNS = (
    Column("runs", "runs", _single("runs", 0)),
    Column("state", "state", lambda row: Cell(row.group.state)),
    Column("epochs", "epochs", _single("epochs", 0)),
    Column("accuracy", "{split} accuracy (%)", _figure("accuracy", 2, most=2)),
    Column("best", "best (%)", _single("accuracy_best", 2)),
    Column("difference", "difference (%)", _difference),
    Column("p", "paired p", _p),
    Column("loss", "loss (nats)", _figure("loss", 4)),
    Column("spikes", "spikes per sample", _spikes),
    Column("rate", "firing rate (%)", _figure("firing_rate", 2, 100.0)),
    Column("operations", "synaptic operations", _single("synaptic_operations_mean", 0)),
    Column("dense", "dense", _single("synaptic_operations_dense_mean", 0)),
    *(Column(f"epoch-{share}", f"epoch of {share} %", _epoch(share)) for share in SHARES),
    Column("curve", "of the mean curve", _mean_curve),
    Column("parameters", "parameters", _single("parameters", 0)),
    Column("time", "wall time", lambda row: Cell(duration(row.number("seconds_mean")))),
)
NAMES = tuple(column.name for column in COLUMNS)
# Of a table in LaTeX, from what matters most; as many of them as a page holds, in the order of COLUMNS.
USUAL = ("accuracy", "runs", "p", "spikes", "epoch-95", "parameters")


def chosen_columns(names: Sequence[str]) -> list[Column]:
    """Columns by name, in the order given.

    Raises:
        BrfkitError: an unknown name, or one given twice.
    """
    by_name = {column.name: column for column in COLUMNS}
    for name in names:
        if name not in by_name:
            raise BrfkitError(f"there is no column {name!r}; columns are {', '.join(NAMES)}")
        if list(names).count(name) > 1:
            raise BrfkitError(f"column {name} is given twice")
    return [by_name[name] for name in names]
