"""Kinds of arguments and options that have names of their own: neurons, data sets, presets, checkpoints.

Each knows what a shell may complete. Values are left to the library to judge, except for empty ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

RUN_FILES = ("best.npz", "last.npz", "seeds.json")


class _Named(click.ParamType):
    """Text that must not be empty."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip():
            self.fail("it is empty", param, ctx)
        return value

    def names(self) -> Iterable[str]:
        return ()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete.lower())]


class NeuronName(_Named):
    """A neuron model; upper case is taken as lower case, ``_`` as ``-``."""

    name = "NAME"

    def __init__(self, lstm: bool = False) -> None:
        self.lstm = lstm

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from brfkit.neurons import neuron_argument

        return neuron_argument(super().convert(value, param, ctx))

    def names(self) -> Iterable[str]:
        from brfkit.neurons import NEURONS

        return (*NEURONS, *(["lstm"] if self.lstm else []))


class DatasetName(_Named):
    """A data set by name, or a file."""

    name = "NAME|FILE"

    def names(self) -> Iterable[str]:
        from brfkit.data import dataset_names

        return dataset_names()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [*super().shell_complete(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


class PresetName(_Named):
    """A preset."""

    name = "NAME"

    def names(self) -> Iterable[str]:
        from brfkit.runs.presets import preset_names

        return preset_names()


class CheckpointPath(_Named):
    """A run folder or a file with a trained network."""

    name = "CHECKPOINT"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [*(CompletionItem(run) for run in run_folders(incomplete)), CompletionItem(incomplete, type="file")]


def run_folders(incomplete: str) -> list[str]:
    """Run folders whose paths begin with the text, also those below ``runs/`` where nothing is typed yet."""
    starts = [incomplete] if incomplete else ["", "runs/"]
    found = []
    for start in starts:
        folder, _, stem = start.rpartition("/")
        try:
            places = sorted(Path(folder or ("/" if start.startswith("/") else ".")).iterdir())
        except OSError:
            continue
        head = f"{folder}/" if folder or start.startswith("/") else ""
        for place in places:
            if place.name.startswith(stem) and any((place / name).is_file() for name in RUN_FILES):
                found.append(f"{head}{place.name}")
    return found
