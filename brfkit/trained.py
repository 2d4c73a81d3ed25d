"""Trained networks as objects, and what one is run on.

:class:`TrainedNetwork` holds a network, its weights and what was recorded of its training, wherever they come from: a
run folder, a checkpoint, a published ``.pt`` file or a module of :mod:`brfkit.nn`. Every analysis takes one, or the
path of one. :func:`set_up` puts it together with samples and a compute backend.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.checkpoints.native import Checkpoint, open_checkpoint, save_checkpoint
from brfkit.data import Dataset, DataSpec, DenseSplit, Split
from brfkit.data import Request as DataRequest
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network, Weights
from brfkit.runs.config import Config, DataConfig
from brfkit.runs.datasets import load_dataset
from brfkit.runs.resolve import published
from brfkit.task import Task

if TYPE_CHECKING:
    import torch

    from brfkit.nn import NetworkModule

PathLike: TypeAlias = "str | os.PathLike[str]"
NetworkLike: TypeAlias = "TrainedNetwork | str | os.PathLike[str]"
"""A trained network, or where one is: run folder, checkpoint file, or published ``.pt``."""
DataLike: TypeAlias = "str | os.PathLike[str] | Dataset | Split | tuple[ArrayLike, ArrayLike]"
"""Samples: name or file of a data set, a loaded one, or arrays x (N, T, I) and labels y (N,) or, per step, (N, T)."""
Permutation: TypeAlias = "ArrayLike | os.PathLike[str] | None"


class DataOptions(TypedDict, total=False):
    """Keyword arguments that say how network and data are found.

    Attributes:
        neuron: for the path of a published file, which neuron it holds.
        permutation: for psmnist, array or ``.npy`` file; None takes the one saved with the network.
        data_dir: folder of the data sets.
        seed: draws the permutation of psmnist where none is given or saved, and whatever else is random.
    """

    neuron: str | None
    permutation: Permutation
    data_dir: str | os.PathLike[str] | None
    seed: int


class SetupOptions(DataOptions, total=False):
    """Keyword arguments of everything that runs a trained network.

    Attributes:
        dtype: float32 or float64, of the computation; gradients are taken in float64 where nothing is said.
        backend: name of the compute backend (``auto``, ``numba``, ``cupy``, ``torch``, ``reference``), or one.
        threads: CPU threads; None takes all processors.
    """

    dtype: DTypeLike
    backend: str | Backend
    threads: int | None


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
    def load(path: PathLike, *, neuron: str | None = None, dataset: str | None = None) -> TrainedNetwork:
        """Read a trained network; see :func:`load`."""
        opened = open_checkpoint(path, neuron)
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
        from brfkit.nn.extract import network_of  # torch is imported with it

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

        return NetworkModule(self.network, self.weights, _backend(backend, threads))

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
        return DataConfig(dataset=dataset), self.task


def load(path: PathLike, *, neuron: str | None = None, dataset: str | None = None) -> TrainedNetwork:
    """A trained network from a file.

    Args:
        path: run folder (its best checkpoint, else the last), checkpoint of this project, or ``.pt`` file of the
            published implementation.
        neuron: for a published file, which neuron it holds; a wrong one is an error.
        dataset: what it is run on where nothing else is said. A published file is then evaluated as published for it.

    Raises:
        BrfkitError: there is no network, it cannot be read, or `neuron` does not fit it.
    """
    return TrainedNetwork.load(path, neuron=neuron, dataset=dataset)


def as_network(source: NetworkLike, neuron: str | None = None) -> TrainedNetwork:
    """The object itself, or what lies at the path.

    Raises:
        BrfkitError: as for :func:`load`; or `neuron` contradicts the object.
    """
    if not isinstance(source, TrainedNetwork):
        return load(source, neuron=neuron)
    if neuron not in (None, source.neuron):
        raise BrfkitError(f"{source.name} is a network of {source.neuron}, not {neuron}")
    return source


def load_data(
    network: TrainedNetwork,
    dataset: DataLike | None = None,
    *,
    split: str = "test",
    samples: int | None = None,
    permutation: Permutation = None,
    data_dir: PathLike | None = None,
    seed: int = 0,
) -> Dataset:
    """The data that a network is run on, with one split loaded.

    Args:
        network: whose channels and classes the data have to fit.
        dataset: None takes what it was trained on. A loaded one is used as it is.
        split: ``test`` or ``train``; arrays are the split that is asked for.
        samples: keep the first so many; None keeps all.
        permutation: for psmnist; None takes the one saved with the network.
        data_dir: folder of the data sets.
        seed: draws the permutation of psmnist where none is given or saved.

    Raises:
        BrfkitError: the data cannot be read, or do not fit the network.
    """
    if dataset is None or isinstance(dataset, str | os.PathLike):
        settings, _ = network.trained_on(None if dataset is None else os.fspath(dataset))
        settings = replace(settings, limit_train=None, limit_test=None)
        if samples is not None:
            settings = replace(settings, **{f"limit_{split}": samples})  # type: ignore[arg-type]
        order = network.permutation if permutation is None else permutation
        found = load_dataset(settings, seed=seed, data_dir=data_dir, splits=(split,), permutation=order)
    else:
        found = dataset if isinstance(dataset, Dataset) else _dataset_of(dataset, split)
        _check_permutation(network, found, permutation)
        part = found.split(split)
        if samples is not None and samples < len(part):
            found = replace(found, splits={split: part.take(samples)})
    if found.channels != network.network.inputs or found.classes > network.network.outputs:
        raise BrfkitError(
            f"{network.name} takes {network.network.inputs} channels and has {network.network.outputs} classes; "
            f"{found.name} has {found.channels} and {found.classes}"
        )
    return found


@dataclass(frozen=True)
class Setup:
    """A trained network, the samples that it is run on, and the backend that computes.

    Attributes:
        trained: the network as it was given.
        weights: its weights in the dtype of the computation.
        data: the data set, with `split` loaded.
        split: the samples.
        task: where loss and accuracy are taken.
        backend: what computes.
    """

    trained: TrainedNetwork
    weights: Weights
    data: Dataset
    split: Split
    task: Task
    backend: Backend

    @property
    def name(self) -> str:
        return self.trained.name

    @property
    def network(self) -> Network:
        return self.trained.network

    @property
    def neuron(self) -> str:
        """Model of the first layer."""
        return self.trained.neuron


def set_up(
    source: NetworkLike,
    dataset: DataLike | None = None,
    *,
    split: str = "test",
    samples: int | None = None,
    dtype: DTypeLike = np.float32,
    neuron: str | None = None,
    permutation: Permutation = None,
    backend: str | Backend = "auto",
    threads: int | None = None,
    data_dir: PathLike | None = None,
    seed: int = 0,
) -> Setup:
    """Get network, samples and backend ready; for the arguments see :class:`SetupOptions` and :func:`load_data`.

    Args:
        dtype: float32 or float64, of the computation.

    Raises:
        BrfkitError: network or data cannot be read, or do not fit each other.
    """
    trained = as_network(source, neuron)
    task = _task(trained, dataset)
    computing = _backend(backend, threads)
    data = load_data(
        trained, dataset, split=split, samples=samples, permutation=permutation, data_dir=data_dir, seed=seed
    )  # fmt: skip
    return Setup(trained, trained.cast(dtype), data, data.split(split), task, computing)


def _backend(backend: str | Backend, threads: int | None) -> Backend:
    return get_backend(backend, threads=threads) if isinstance(backend, str) else backend


def _task(network: TrainedNetwork, dataset: DataLike | None) -> Task:
    if isinstance(dataset, Dataset | Split | tuple):
        if network.task is not None:
            return network.task
        if not isinstance(dataset, Dataset):
            raise BrfkitError(
                f"{network.name} does not say where loss and accuracy are taken; load it with the name of its data set"
            )
        return network.trained_on(dataset.name)[1]
    return network.trained_on(None if dataset is None else os.fspath(dataset))[1]


def _recorded(meta: Mapping[str, Any]) -> tuple[Task | None, DataConfig | None]:
    """Task and data that :meth:`TrainedNetwork.save` recorded."""
    sections = {name: meta[name] for name in ("task", "data") if name in meta}
    config = Config.from_dict(sections)
    return (config.task if "task" in meta else None), (config.data if "data" in meta else None)


def _check_permutation(network: TrainedNetwork, data: Dataset, permutation: Permutation) -> None:
    if permutation is not None:
        raise BrfkitError("a permutation is applied where the data are loaded; this data set has been loaded already")
    if network.permutation is None or data.permutation is None:
        return
    if not np.array_equal(network.permutation, data.permutation):
        raise BrfkitError(f"{network.name} was trained on another permutation of the time steps than {data.name} has")


def _dataset_of(data: Split | tuple[ArrayLike, ArrayLike], split: str) -> Dataset:
    """A data set around one split or arrays x (N, T, I) and y (N,) or (N, T)."""
    part = data if isinstance(data, Split) else _arrays(*data)
    if not len(part):
        raise BrfkitError("there are no samples in these arrays")
    x, _ = part.batch([0])
    steps, channels = (x.steps, x.channels) if isinstance(x, Events) else (x.shape[0], x.shape[2])
    names = tuple(str(number) for number in range(int(part.y.max()) + 1))
    spec = DataSpec(
        "arrays", "arrays", channels, steps, names, part.y.ndim == 2, _not_read, licence="", citation="",
        splits=(split,), events=isinstance(x, Events),
    )  # fmt: skip
    return Dataset(spec, {split: part})


def _not_read(request: DataRequest) -> Split:
    raise BrfkitError("these samples were given as arrays and cannot be read again")


def _arrays(x: ArrayLike, y: ArrayLike) -> DenseSplit:
    values, labels = np.asarray(x), np.asarray(y)
    if values.dtype.kind not in "biuf":
        raise BrfkitError(f"the input must be numbers (N, T, I), not {values.dtype}")
    if labels.dtype.kind not in "biu" or (labels.size and labels.min() < 0):
        raise BrfkitError("the labels must be classes, whole numbers from 0")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BrfkitError("the input holds values that are not finite")
    return DenseSplit(values, labels.astype(np.int64))
