"""Robustness on disk: one CSV file for one network or several, which can be drawn again, also of an interrupted run."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from brfkit.analysis.network.perturbations.registry import get_perturbation
from brfkit.analysis.network.robustness import COLUMNS, Point, Robustness
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.io.text import csv_cell

ABOUT = ("network", "perturbation", "dataset", "neuron", "chance")
_LARGEST = 64 << 20  # bytes


def write_results(path: PathLike, results: Mapping[str, Robustness], force: bool = False) -> None:
    """One line per evaluation, and what it is an evaluation of.

    Args:
        path: the file.
        results: by the name of the network.
        force: whether an existing file may be overwritten.

    Raises:
        BrfkitError: the file is there already and `force` is not set, or it cannot be written.
    """
    with atomic_write(path, "w", force) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*COLUMNS, *ABOUT))
        for name, result in results.items():
            about = (name, result.perturbation.name, result.dataset, result.neuron)
            chance = "" if result.chance is None else result.chance
            for point in result.points:
                writer.writerow([*(getattr(point, c) for c in COLUMNS), *map(csv_cell, about), chance])


def read_results(path: PathLike, perturbation: str | None = None) -> dict[str, Robustness]:
    """What :func:`write_results` wrote, by the name of the network.

    Args:
        path: the file.
        perturbation: its name, for a file that does not say it; one that does has to agree.

    Raises:
        BrfkitError: the file cannot be read or is none of robustness, or it is of another perturbation.
    """
    try:
        if Path(path).stat().st_size > _LARGEST:
            raise ValueError("it is too large for one")
        with Path(path).open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ())[: len(COLUMNS)] != COLUMNS:
                raise ValueError(f"its columns do not begin with {', '.join(COLUMNS)}")
            rows = list(reader)
        if not rows:
            raise ValueError("it has no line")
        return _grouped(path, rows, perturbation)
    except (OSError, ValueError, TypeError, OverflowError, csv.Error) as error:
        if isinstance(error, BrfkitError):
            raise
        raise BrfkitError(f"{path} cannot be read as robustness: {error}") from None


def _grouped(path: PathLike, rows: list[dict[str, str]], perturbation: str | None) -> dict[str, Robustness]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(row.get("network") or Path(path).stem, []).append(row)
    return {name: _result(path, lines, perturbation) for name, lines in found.items()}


def _result(path: PathLike, rows: list[dict[str, str]], perturbation: str | None) -> Robustness:
    first = rows[0]
    named = first.get("perturbation") or perturbation
    if named is None:
        raise BrfkitError(f"{path} does not say which perturbation it is of; name it with --perturbation")
    if perturbation is not None and named != perturbation:
        raise BrfkitError(f"{path} is of {named}, not of {perturbation}")
    points = tuple(_point(row) for row in rows)
    chance = float(first["chance"]) if first.get("chance") else None
    dataset, neuron = first.get("dataset") or "", first.get("neuron") or Path(path).stem
    return Robustness(
        get_perturbation(named), dataset, neuron, "", points[0].samples,
        1 + max(point.repeat for point in points), 0, tuple(dict.fromkeys(point.level for point in points)), points,
        sum(point.seconds for point in points), chance,
    )  # fmt: skip


def _point(row: Mapping[str, str]) -> Point:
    numbers = {name: float(row[name]) for name in ("level", "accuracy", "loss", "spikes_per_sample", "seconds")}
    if not math.isfinite(numbers["level"]):
        raise ValueError(f"level {row['level']}")
    return Point(repeat=int(row["repeat"]), samples=int(row["samples"]), **numbers)
