"""What a run measured, epoch by epoch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from brfkit.checkpoints.schema import ROW
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.io.documents import MAX_BYTES
from brfkit.io.schema import check_values
from brfkit.io.streams import read_bytes

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Row:
    """One line of ``metrics.csv``. Epoch 0 is before training; train figures are those seen while training."""

    epoch: int
    split: str
    loss: float
    accuracy: float
    spikes_per_sample: float
    seconds: float

    @staticmethod
    def from_values(values: dict[str, Any]) -> Row:
        """A row from the values of ``to_values`` or of a line of the CSV file."""
        numbers = {f.name: float(values[f.name]) for f in fields(Row) if f.name not in ("epoch", "split")}
        return Row(epoch=int(values["epoch"]), split=str(values["split"]), **numbers)

    def to_values(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(f.name for f in fields(Row))


def write_metrics(path: PathLike, rows: Iterable[Row]) -> None:
    """Write ``metrics.csv``; numbers are written so that reading gives them back exactly."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_values() for row in rows)
    with atomic_write(path, "w", force=True) as stream:
        stream.write(buffer.getvalue())


def read_metrics(path: PathLike) -> list[Row]:
    """The rows of a ``metrics.csv``.

    Raises:
        BrfkitError: it cannot be read, or holds what no run measures.
    """
    rows: list[Row] = []
    try:
        text = read_bytes(Path(path), MAX_BYTES).decode("utf-8")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        if tuple(next(reader, ())) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        for epoch, split, *numbers in reader:
            row = Row(_epoch(epoch), split, *map(float, numbers))
            check_values(row.to_values(), ROW, f"line {reader.line_num}")
            rows.append(row)
    except UnicodeDecodeError:
        raise BrfkitError(f"{path} cannot be read as metrics: it is not UTF-8 text") from None
    except (BrfkitError, ValueError, TypeError, csv.Error) as error:
        message = str(error)
        raise BrfkitError(
            message if message.startswith(str(path)) else f"{path} cannot be read as metrics: {message[:200]}"
        ) from None
    return rows


def _epoch(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{text[:40]!r} is no epoch")
    return int(text)


def stop_epoch(rows: Iterable[Row], accuracy: float) -> int | None:
    """First epoch of training whose validation accuracy (percent) is at least ``accuracy``; None without any."""
    reached = (r.epoch for r in rows if r.split == VALIDATION and r.epoch > 0 and r.accuracy >= accuracy)
    return min(reached, default=None)


def best_epoch(rows: Iterable[Row], stop_accuracy: float | None = None) -> int:
    """The epoch whose network stands for the run.

    That is the one with the lowest validation loss (the last of equals, as in the published code), without any
    validation the last one. A run that is stopped at a validation accuracy is about the network that has it: once an
    epoch reaches ``stop_accuracy``, it is that epoch, whatever its loss.
    """
    rows = list(rows)
    stop = None if stop_accuracy is None else stop_epoch(rows, stop_accuracy)
    if stop is not None:
        return stop
    validation = [r for r in rows if r.split == VALIDATION and math.isfinite(r.loss)]
    if not validation:
        return max((r.epoch for r in rows), default=0)
    lowest = min(r.loss for r in validation)
    return max(r.epoch for r in validation if r.loss == lowest)
