"""What a trained network is run on: samples from a data set or arrays, loaded once, and a compute backend."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.checkpoints.lstm import LstmCheckpoint, open_lstm
from brfkit.data import Dataset, DataSpec, DenseSplit, Request, Split
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network, Weights
from brfkit.runs.config import LSTM, Config
from brfkit.runs.datasets import load_dataset
from brfkit.task import Task
from brfkit.trained import NetworkLike, PathLike, TrainedNetwork, as_network

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
    baseline: bool = False,
) -> Setup:
    """Get network, samples and backend ready; for the arguments see :class:`SetupOptions` and :func:`load_data`.

    Args:
        dtype: float32 or float64, of the computation.
        baseline: whether the path of an LSTM will do, which has outputs, and no neurons to look into.

    Raises:
        BrfkitError: network or data cannot be read, or do not fit each other.
    """
    lstm = None
    if baseline and not isinstance(source, TrainedNetwork):
        lstm = open_lstm(source)
    if lstm is not None:
        trained, computing = _baseline(lstm, Path(source), neuron, backend)  # type: ignore[arg-type]
    else:
        trained, computing = as_network(source, neuron), _backend(backend, threads)
    task = _task(trained, dataset)
    data = load_data(
        trained, dataset, split=split, samples=samples, permutation=permutation, data_dir=data_dir, seed=seed
    )  # fmt: skip
    return Setup(trained, trained.cast(dtype), data, data.split(split), task, computing)


def _baseline(
    found: LstmCheckpoint, path: Path, neuron: str | None, backend: str | Backend
) -> tuple[TrainedNetwork, Backend]:
    """An LSTM in the place of a network, and what computes it."""
    if neuron not in (None, LSTM):
        raise BrfkitError(f"{path} holds an LSTM, not {neuron}; leave --neuron out")
    if backend not in ("auto", "torch"):
        name = backend if isinstance(backend, str) else backend.name
        raise BrfkitError(f"an LSTM is computed by torch, not by {name}; leave --backend out")
    from brfkit.baseline import LstmBackend  # torch is imported with it

    network: Any = found.network  # has what evaluation asks of a network
    stored = found.meta.get("config")
    config = None if stored is None else Config.from_dict(stored)
    task, data = (None, None) if config is None else (config.task, config.data)
    name = path.resolve().stem
    return TrainedNetwork(network, found.weights, task, data, name, found.meta, found.extra, path), LstmBackend()


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


def _not_read(request: Request) -> Split:
    raise BrfkitError("these samples were given as arrays and cannot be read again")


def _arrays(x: ArrayLike, y: ArrayLike) -> DenseSplit:
    values, labels = np.asarray(x), np.asarray(y)
    if values.dtype.kind not in "biuf":
        raise BrfkitError(f"the input must be numbers (N, T, I), not {values.dtype}")
    if labels.dtype.kind not in "biu" or (labels.size and labels.min() < -1):
        raise BrfkitError("the labels must be classes, whole numbers from 0 (-1: none)")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BrfkitError("the input holds values that are not finite")
    return DenseSplit(values, labels.astype(np.int64))
