"""Published experiments, ``<dataset>-<neuron>.toml``; ``<dataset>.toml`` serves neurons without their own file."""

from __future__ import annotations

from importlib import resources
from typing import Any

from brfkit.training.config_files import parse_toml


def preset_names() -> tuple[str, ...]:
    """Names of all presets."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def find_preset(dataset: str, neuron: str | None) -> tuple[str | None, dict[str, Any]]:
    """Name and sections of the preset for a data set and neuron (None: the data set's first neuron, BRF)."""
    names = preset_names()
    for name in (f"{dataset}-{neuron or 'brf'}", dataset):
        if name in names:
            text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
            return name, parse_toml(text)
    return None, {}
