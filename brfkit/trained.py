"""Trained networks as objects, and what one is run on.

:class:`TrainedNetwork` holds a network, its weights and what was recorded of its training, wherever they come from: a
run folder, a checkpoint, a published ``.pt`` file or a module of :mod:`brfkit.nn`. Every analysis takes one, or the
path of one. :mod:`brfkit.setups` puts it together with samples and a compute backend.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.checkpoints.native import Checkpoint, open_checkpoint, save_checkpoint
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights
from brfkit.neurons import neuron_argument
from brfkit.runs.config import Config, DataConfig
from brfkit.runs.resolve import published
from brfkit.task import Task

if TYPE_CHECKING:
    import torch

    from brfkit.nn import NetworkModule

PathLike: TypeAlias = "str | os.PathLike[str]"
NetworkLike: TypeAlias = "TrainedNetwork | str | os.PathLike[str]"
"""A trained network, or where one is: run folder, checkpoint file, or published ``.pt``."""


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights.

    Attributes:
        network: layers, neurons, sizes, δ.
        weights: float32 or float64 arrays by name, as ``network.shapes()`` lists them.
        task: where in time loss and accuracy are taken; None for a published file, which says nothing of it: it is
            then evaluated as published for the data set.
        data: settings of the data that it was trained on, or None.
        name: for titles and results.
        meta: what was stored with it, plain JSON values: epoch, configuration.
        extra: further arrays, such as the ``permutation`` of the pixels of psmnist.
        path: where it was read, or None.

    Raises:
        BrfkitError: the weights do not fit the network.
    """

    network: Network
    weights: Weights = field(repr=False)
    task: Task | None = None
    data: DataConfig | None = None
    name: str = "network"
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)
    extra: Mapping[str, NDArray] = field(default_factory=dict, repr=False)
    path: Path | None = None

    def __post_init__(self) -> None:
        self.network.check(self.weights)

    @property
    def neuron(self) -> str:
        """Model of the first layer."""
        return self.network.layers[0].neuron

    @property
    def permutation(self) -> NDArray | None:
        """Order of the time steps that the network was trained on, int64 (T,), or None."""
        return self.extra.get("permutation")

    @property
    def config(self) -> Config | None:
        """Settings of its training, where they were stored."""
        stored = self.meta.get("config")
        return None if stored is None else Config.from_dict(stored)

    @property
    def sha256(self) -> str:
        """Identity of network and weights, whatever file they come from."""
        return Checkpoint(self.network, self.weights).sha256

    @staticmethod
    def load(
        path: PathLike, *, neuron: str | None = None, dataset: str | None = None, trust: bool = False
    ) -> TrainedNetwork:
        """Read a trained network; see :func:`load`."""
        opened = open_checkpoint(path, neuron, trust)
        stored = opened.meta.get("config")
        if stored is not None:
            config = Config.from_dict(stored)
            recorded: tuple[Task | None, DataConfig | None] = config.task, config.data
        else:
            recorded = _recorded(opened.meta)
        place = Path(path)
        found = TrainedNetwork(
            opened.network, opened.weights, *recorded, place.resolve().stem, opened.meta, opened.extra, place
        )  # fmt: skip
        if dataset is None:
            return found
        data, task = found.trained_on(dataset)
        return replace(found, data=data, task=task)

    @staticmethod
    def from_module(
        module: torch.nn.Module, *, task: Task | None = None, dataset: str | None = None, name: str = "module"
    ) -> TrainedNetwork:
        """A copy of the weights of a module.

        Args:
            module: :class:`brfkit.nn.NetworkModule`, one layer of :mod:`brfkit.nn`, or a ``torch.nn.Sequential`` of
                such layers, in which ``hidden0``, ``hidden1``, … and a ``readout`` without spikes follow each other.
            task: where loss and accuracy are taken; None takes them at every step.
            dataset: name of the data set that it was trained on, which is then the default of what is run on it.
            name: for titles and results.

        Raises:
            BrfkitError: the module is, or holds, something else.
        """
        from brfkit.torch_modules import network_of

        network, weights = network_of(module)
        data = None if dataset is None else DataConfig(dataset=dataset)
        return TrainedNetwork(network, weights, task or Task(), data, name)

    def save(self, path: PathLike, force: bool = False) -> None:
        """Write a checkpoint (``.npz``) that :func:`load` reads.

        Raises:
            BrfkitError: there is a file already and `force` is not set, or it cannot be written.
        """
        meta = dict(self.meta)
        if "config" not in meta:
            if self.task is not None:
                meta["task"] = asdict(self.task)
            if self.data is not None:
                meta["data"] = asdict(self.data)
        save_checkpoint(path, Checkpoint(self.network, self.weights, meta, dict(self.extra)), force)

    def to_module(self, backend: str | Backend = "auto", threads: int | None = None) -> NetworkModule:
        """The network as a ``torch.nn.Module`` with a copy of the weights as parameters."""
        from brfkit.nn import NetworkModule

        computing = get_backend(backend, threads=threads) if isinstance(backend, str) else backend
        return NetworkModule(self.network, self.weights, computing)

    def cast(self, dtype: DTypeLike) -> Weights:
        """The weights in another dtype."""
        return {name: value.astype(np.dtype(dtype)) for name, value in self.weights.items()}

    def trained_on(self, dataset: str | None) -> tuple[DataConfig, Task]:
        """Settings of a data set and of the task on it: as trained, or as published.

        Raises:
            BrfkitError: no data set is named and none was recorded, or there are no published settings for it.
        """
        if self.task is None:
            if dataset is None:
                raise BrfkitError(f"{self.name} does not say what it was trained on; name the data set (--dataset)")
            config = published(dataset, self.neuron)
            return config.data, config.task
        if self.data is not None and dataset in (None, self.data.dataset):
            return self.data, self.task
        if dataset is None:
            raise BrfkitError(f"{self.name} does not say what it was trained on; name the data set (--dataset)")
        return (self.data or DataConfig()).elsewhere(dataset), self.task


def load(
    path: PathLike, *, neuron: str | None = None, dataset: str | None = None, trust: bool = False
) -> TrainedNetwork:
    """A trained network from a file.

    Args:
        path: run folder (its best checkpoint, else the last), checkpoint of this project, or ``.pt`` file of the
            published implementation.
        neuron: for a published file, which neuron it holds; a wrong one is an error. For a network of a custom
            neuron, the file that defines it.
        trust: execute the source of a user's neuron that the checkpoint carries, in place of naming its file.
        dataset: what it is run on where nothing else is said. A published file is then evaluated as published for it.

    Raises:
        BrfkitError: there is no network, it cannot be read, or `neuron` does not fit it.
    """
    return TrainedNetwork.load(path, neuron=neuron, dataset=dataset, trust=trust)


def as_network(source: NetworkLike, neuron: str | None = None) -> TrainedNetwork:
    """The object itself, or what lies at the path.

    Raises:
        BrfkitError: as for :func:`load`; or `neuron` contradicts the object.
    """
    if not isinstance(source, TrainedNetwork):
        return load(source, neuron=neuron)
    if neuron is not None and neuron_argument(neuron) != source.neuron:
        raise BrfkitError(f"{source.name} is a network of {source.neuron}, not {neuron}")
    return source


def _recorded(meta: Mapping[str, Any]) -> tuple[Task | None, DataConfig | None]:
    """Task and data that :meth:`TrainedNetwork.save` recorded."""
    sections = {name: meta[name] for name in ("task", "data") if name in meta}
    config = Config.from_dict(sections)
    return (config.task if "task" in meta else None), (config.data if "data" in meta else None)
