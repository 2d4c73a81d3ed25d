"""Settings of experiments that are known to work.

``<dataset>-<neuron>.toml`` is what the papers publish and is found by data set and neuron; ``<dataset>.toml`` serves
neurons without a file of their own. Any other name is asked for by itself (:func:`read_preset`).
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from brfkit.data import dataset_names
from brfkit.errors import BrfkitError
from brfkit.neurons.spec import nearest
from brfkit.runs.config_files import parse_toml


def preset_names() -> tuple[str, ...]:
    """Names of all presets."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def preset_title(name: str) -> str:
    """The first line of comment of a preset: where its settings come from."""
    first = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def preset_dataset(name: str) -> str | None:
    """The data set that the name of a preset begins with; None where it begins with none."""
    first = name.partition("-")[0]
    return first if first in dataset_names() else None


def find_preset(dataset: str, neuron: str | None) -> tuple[str | None, dict[str, Any]]:
    """Name and sections of the preset for a data set and neuron (None: the data set's first neuron, BRF)."""
    names = preset_names()
    for name in (f"{dataset}-{neuron or 'brf'}", dataset):
        if name in names:
            return name, read_preset(name)
    return None, {}


def read_preset(name: str) -> dict[str, Any]:
    """Sections of the preset of that name.

    Raises:
        BrfkitError: there is none; the message suggests the nearest.
    """
    names = preset_names()
    if name not in names:
        raise BrfkitError(f"unknown preset {name!r}; {nearest(name, names)}")
    return parse_toml(resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
