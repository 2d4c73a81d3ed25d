"""Recorded traces on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.io.hdf5_writing import written_hdf5

SUFFIXES = (".npz", ".h5", ".csv")
CSV_ROWS = 1000


class Traced(Protocol):
    """What can be written: arrays whose first axis is time, and its summary."""

    def arrays(self) -> dict[str, NDArray[Any]]: ...
    def to_dict(self) -> dict[str, Any]: ...


def write_trace(path: PathLike, simulation: Traced, force: bool = False) -> None:
    """Write every recorded quantity, whole or not at all.

    ``.npz`` and ``.h5`` hold ``t`` (steps,) and ``input``, each state under its symbol and ``z``, (steps, neurons)
    each; ``.h5`` also has the summary as attributes. ``.csv`` has one line per step and a column per neuron:
    ``t,input,u,v,q,z`` for one, ``u_0,u_1,…`` for more; ``input`` is a single column where all neurons share it.
    Numbers are written so that reading them gives the same numbers.

    Raises:
        BrfkitError: another suffix, nothing was recorded, the file exists and ``force`` is not set, or it cannot be
            written.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise BrfkitError(f"{path}: a trace is written as {', '.join(SUFFIXES)}")
    arrays = simulation.arrays()
    if not arrays.keys() - {"t", "input"}:
        raise BrfkitError("nothing was recorded, so there is nothing to write; simulate with record=True")
    if suffix == ".npz":
        with atomic_write(path, "wb", force) as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    elif suffix == ".h5":
        _write_h5(path, arrays, simulation.to_dict(), force)
    else:
        with atomic_write(path, "w", force) as stream:
            _write_csv(stream, arrays)


def _write_h5(path: PathLike, arrays: Mapping[str, NDArray[Any]], summary: Mapping[str, Any], force: bool) -> None:
    with written_hdf5(path, force) as (file, disk):
        for name, values in arrays.items():
            file.create_dataset(name, data=values)
            disk.check()
        for key, value in summary.items():
            file.attrs[key] = value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _write_csv(stream: IO[Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    names: list[str] = []
    tables: list[NDArray[Any]] = []
    for name, values in arrays.items():
        table = values.reshape(len(values), -1) if values.ndim == 1 else values
        if name == "input" and table.strides[1] == 0:
            table = table[:, :1]  # one current, broadcast to all
        width = table.shape[1]
        names += [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
        tables.append(table)
    stream.write(",".join(names) + "\n")
    for first in range(0, len(arrays["t"]), CSV_ROWS):
        # As text, a number is the shortest that reads back the same in its precision.
        parts = [table[first : first + CSV_ROWS].astype(str) for table in tables]
        stream.writelines(",".join(row) + "\n" for row in np.concatenate(parts, axis=1).tolist())
