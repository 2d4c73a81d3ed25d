"""Tables of results on disk."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.io.text import csv_cell

TABLES = (".csv", ".npz")
_ROWS = 1000


def write_table(path: PathLike, columns: Mapping[str, NDArray[Any]], force: bool = False) -> None:
    """Write columns of equal length, whole or not at all.

    ``.csv`` has a line of names and a line per row; numbers read back exactly, and what is not a number is left empty.
    ``.npz`` holds an array per column.

    Raises:
        BrfkitError: another suffix, the file exists and ``force`` is not set, or it cannot be written.
    """
    suffix = Path(path).suffix
    if suffix not in TABLES:
        raise BrfkitError(f"{path}: a table is written as {', '.join(TABLES)}")
    if suffix == ".npz":
        with atomic_write(path, "wb", force) as stream:
            np.savez(stream, **columns)  # type: ignore[arg-type]
        return
    length = len(next(iter(columns.values())))
    with atomic_write(path, "w", force) as stream:
        stream.write(",".join(columns) + "\n")
        for first in range(0, length, _ROWS):
            parts = [_text(values[first : first + _ROWS]) for values in columns.values()]
            stream.writelines(",".join(row) + "\n" for row in zip(*parts, strict=True))


def _text(values: NDArray[Any]) -> list[str]:
    # As text, a number is the shortest that reads back the same in its precision.
    text = values.astype(str)
    if values.dtype.kind == "f":
        text = np.where(np.isnan(values), "", text)
    elif values.dtype.kind in "USO":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([csv_cell(value)] for value in text)
        return buffer.getvalue().splitlines()
    return list(text)
