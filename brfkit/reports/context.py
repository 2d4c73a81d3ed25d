"""What a report is about: a trained network, its data, loaded once, and how a command finds them again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from brfkit.data import Dataset
from brfkit.runs.config import Config, is_lstm
from brfkit.runs.folder import CONFIG, RunFolder
from brfkit.setups import DataLike, Setup, SetupOptions, set_up
from brfkit.simulation.population import resolve_dtype
from brfkit.trained import NetworkLike, TrainedNetwork, as_network


@dataclass(frozen=True)
class Scope:
    """How much of a network a report covers.

    Attributes:
        samples: the first so many test samples are run.
        repeats: evaluations per level of a perturbation.
        perturbations: which.
        surfaces: files of ``brfkit landscape`` beside those in the run folder.
    """

    samples: int = 512
    repeats: int = 3
    perturbations: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()


class Context:
    """A trained network with its data.

    Args:
        source: the network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays; None takes what the network was trained on.
        scope: how much is covered.
        options: how network, data and backend are found.
    """

    def __init__(
        self,
        source: NetworkLike,
        dataset: DataLike | None = None,
        scope: Scope | None = None,
        options: SetupOptions | None = None,
    ) -> None:
        self.source, self.dataset, self.scope = source, dataset, scope or Scope()
        self.options: SetupOptions = options or {}

    @cached_property
    def path(self) -> Path | None:
        """Where the network lies; None where it was given as an object that was read from nowhere."""
        return self.source.path if isinstance(self.source, TrainedNetwork) else Path(self.source)

    @property
    def name(self) -> str:
        """For titles: the path, or the name of the object."""
        if isinstance(self.source, TrainedNetwork) and self.path is None:
            return self.source.name
        return str(self.path)

    @cached_property
    def folder(self) -> RunFolder | None:
        """The run folder, where the network lies in one that was named."""
        return RunFolder(self.path) if self.path is not None and self.path.is_dir() else None

    @cached_property
    def config(self) -> Config | None:
        """The settings in the run folder; None where there is no run folder with settings."""
        return self.folder.config if self.folder is not None and self.folder.has(CONFIG) else None

    @property
    def is_lstm(self) -> bool:
        """Whether a run folder holds the LSTM baseline, which has no spiking neurons."""
        return self.config is not None and is_lstm(self.config)

    @cached_property
    def trained(self) -> TrainedNetwork:
        return as_network(self.source, self.options.get("neuron"))

    @cached_property
    def setup(self) -> Setup:
        """The network with its samples; here the data are loaded, once."""
        options = dict(self.options)
        options.pop("neuron", None)
        found = set_up(self.trained, self.dataset, samples=self.scope.samples, **options)  # type: ignore[arg-type]
        return replace(found, trained=replace(found.trained, task=found.task))

    @property
    def network(self) -> TrainedNetwork:
        """The network, with the task of its data."""
        return self.setup.trained

    @property
    def data(self) -> Dataset:
        return self.setup.data

    def computing(self) -> SetupOptions:
        """What every analysis takes: backend, seed and dtype."""
        return {"backend": self.setup.backend, "seed": self.options.get("seed", 0), "dtype": self.dtype}

    @property
    def dtype(self) -> str:
        """Of the computation, where an analysis does not ask for another one."""
        return resolve_dtype(self.setup.backend, None).name

    def command(self, name: str, *arguments: str | int) -> str:
        """A line for the shell: ``brfkit NAME CHECKPOINT ARGUMENTS`` and how the data are found and computed.

        Args:
            name: of the command.
            arguments: after the checkpoint.
        """
        backend = self.options.get("backend", "auto")
        given = {
            "--dataset": self.dataset_name,
            "--backend": None if backend == "auto" else backend if isinstance(backend, str) else backend.name,
            "--seed": self.options.get("seed") or None,
        }
        return shlex.join(["brfkit", name, self.file, *map(str, arguments), *_words(given), *self.found()])

    @property
    def file(self) -> str:
        """The network in a command line; a name to be filled in where there is no file."""
        return "CHECKPOINT" if self.path is None else str(self.path)

    @property
    def dataset_name(self) -> str | None:
        """The data set as it was given; a name to be filled in for arrays."""
        if self.dataset is None or isinstance(self.dataset, str | os.PathLike):
            return None if self.dataset is None else os.fspath(self.dataset)
        return self.dataset.name if isinstance(self.dataset, Dataset) else "DATASET"

    def found(self) -> list[str]:
        """Words that let another command find the same network and data."""
        permutation, folder = self.options.get("permutation"), self.options.get("data_dir")
        given = {
            "--neuron": self.options.get("neuron"),
            "--permutation": permutation if isinstance(permutation, str | os.PathLike) else None,
            # the variable finds the data again as it did now
            "--data-dir": None if folder is None or str(folder) == os.environ.get("BRFKIT_DATA_DIR") else folder,
        }
        return _words(given)


def _words(given: Mapping[str, object]) -> list[str]:
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]
