"""The numbers of an inspection as files: JSON, and CSV for each picture."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.analysis.network.inspect.inspection import Inspection
from brfkit.io.atomic import atomic_write
from brfkit.io.text import csv_cell

Rows = Iterator[Sequence[Any]]


def neurons_table(found: Inspection) -> Rows:
    """One line per neuron of every spiking layer."""
    parameters = list(dict.fromkeys(name for layer in found.layers for name in layer.parameters))
    figures = ("resonance_omega", "frequency", "magnitude", "memory_steps", "firing_rate", "dead", "saturated")
    yield ["layer", "neuron", *parameters, *figures, *(f"rate of {csv_cell(name)}" for name in found.class_names)]
    for layer in found.layers:
        dead, saturated = set(layer.dead.tolist()), set(layer.saturated.tolist())
        turns = layer.resonance
        for i in range(len(layer.rate)):
            yield [
                layer.name,
                i,
                *(float(layer.parameters[p][i]) if p in layer.parameters else "" for p in parameters),
                float(turns.omega[i]),
                float(turns.omega[i] / (2 * np.pi)),
                float(turns.magnitude[i]),
                float(turns.memory[i]),
                float(layer.rate[i]),
                int(i in dead),
                int(i in saturated),
                *layer.rate_by_class[:, i].tolist(),
            ]


def weights_table(found: Inspection) -> Rows:
    """One line per matrix or bias."""
    columns = ("norm", "mean", "std", "largest", "spectral_norm", "spectral_radius")
    yield ["weight", *columns]
    for name, figures in found.weights.items():
        yield [name, *(figures.get(column, "") for column in columns)]


def confusion_table(found: Inspection) -> Rows:
    """Rows are the true classes, columns the predicted ones."""
    yield ["true", *map(csv_cell, found.class_names)]
    for name, row in zip(found.class_names, found.confusion.tolist(), strict=True):
        yield [csv_cell(name), *row]


def spectrum_table(found: Inspection) -> Rows:
    """One line per frequency."""
    yield ["omega", *(f"power of channel {i}" for i in range(found.spectrum.shape[1]))]
    for omega, row in zip(found.spectrum_omega.tolist(), found.spectrum.tolist(), strict=True):
        yield [omega, *row]


TABLES = {
    "neurons.csv": neurons_table,
    "weights.csv": weights_table,
    "confusion.csv": confusion_table,
    "spectrum.csv": spectrum_table,
}
SUMMARY = "inspection.json"


def write_numbers(folder: Path, found: Inspection, force: bool = False) -> list[str]:
    """Write the JSON summary and all tables into `folder`; returns the names of the files.

    Raises:
        BrfkitError: a file is there already and `force` is not set, or cannot be written.
    """
    for name, table in TABLES.items():
        with atomic_write(folder / name, "w", force) as stream:
            csv.writer(stream, lineterminator="\n").writerows(table(found))
    with atomic_write(folder / SUMMARY, "w", force) as stream:
        stream.write(json.dumps(_plain(found.to_dict()), indent=1) + "\n")
    return [*TABLES, SUMMARY]


def _plain(value: Any) -> Any:
    """JSON has no number for what is not finite."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
