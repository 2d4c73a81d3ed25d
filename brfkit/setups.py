"""What a trained network is run on: samples from a data set or arrays, loaded once, and a compute backend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.checkpoints.lstm import LstmCheckpoint, open_lstm
from brfkit.data import ARRAYS, Dataset, DataSpec, DenseSplit, Request, Split
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network, Weights
from brfkit.runs.config import LSTM, Config
from brfkit.runs.datasets import load_dataset
from brfkit.task import Task
from brfkit.trained import NetworkLike, PathLike, TrainedNetwork, as_network


class SampleSequence(Protocol):
    """Numbered pairs of x [T, I] and its class, or classes [T]: a ``torch.utils.data.Dataset``, a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


SplitLike: TypeAlias = "Split | tuple[ArrayLike, ArrayLike] | SampleSequence"
"""Samples in memory: arrays x (N, T, I) and labels y (N,) or, per step, (N, T); or pairs of one x and its label."""
DataLike: TypeAlias = "str | os.PathLike[str] | Dataset | SplitLike"
"""Samples: name, file or folder of a data set, a loaded one, or samples in memory."""
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
        found = dataset if isinstance(dataset, Dataset) else dataset_of({split: dataset})
        _check_permutation(network, found, permutation)
        part = found.split(split)
        if samples is not None and samples < len(part):
            found = replace(found, splits={split: part.take(samples)})
    if found.channels != network.network.inputs or found.classes > network.network.outputs:
        raise BrfkitError(
            f"{network.name} expects {network.network.inputs} channels and {network.network.outputs} classes; "
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
    if dataset is not None and not isinstance(dataset, str | os.PathLike):
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


def dataset_of(parts: Mapping[str, SplitLike]) -> Dataset:
    """A data set of samples in memory.

    Args:
        parts: by name, such as ``train`` and ``test``: arrays x (N, T, I) and y (N,) or (N, T), a `Split`, or a sized
            collection of pairs (x [T, I], label), such as a ``torch.utils.data.Dataset``, which is read once.

    Raises:
        BrfkitError: there are no samples, or they do not fit each other.
    """
    splits = {name: _split_of(part, name) for name, part in parts.items()}
    shapes: dict[str, tuple[int, int, bool, bool]] = {}
    for name, part in splits.items():
        if not len(part):
            raise BrfkitError(f"there are no samples in the {name} part")
        x, y = part.batch([0])
        steps, channels = (x.steps, x.channels) if isinstance(x, Events) else (x.shape[0], x.shape[2])
        shapes[name] = steps, channels, isinstance(x, Events), y.ndim == 2
    if len(set(shapes.values())) != 1:
        told = "; ".join(f"{name}: {one[0]} steps, {one[1]} channels" for name, one in shapes.items())
        raise BrfkitError(f"the parts differ in steps, channels, kind of input or kind of labels ({told})")
    steps, channels, events, per_step = next(iter(shapes.values()))
    names = tuple(str(number) for number in range(max(int(part.y.max()) for part in splits.values()) + 1))
    spec = DataSpec(
        ARRAYS, ARRAYS, channels, steps, names, per_step, _not_read, licence="", citation="",
        splits=tuple(splits), events=events,
    )  # fmt: skip
    return Dataset(spec, splits)


def _split_of(part: SplitLike, name: str) -> Split:
    if isinstance(part, Split):
        return part
    if isinstance(part, tuple) and len(part) == 2:
        return _arrays(*part)
    if not hasattr(part, "__len__") or not hasattr(part, "__getitem__"):
        raise BrfkitError(
            f"the {name} part is {type(part).__name__}; arrays (x, y), or a data set with a length and numbered "
            "samples (x, y) is needed"
        )
    xs: list[NDArray[Any]] = []
    ys: list[NDArray[Any]] = []
    for number in range(len(part)):
        item: Any = part[number]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise BrfkitError(f"sample {number} of the {name} part is {type(item).__name__}, not a pair (x, y)")
        x, y = np.asarray(item[0]), np.asarray(item[1])
        if x.ndim != 2 or y.ndim > 1:
            raise BrfkitError(
                f"sample {number} of the {name} part has x of shape {x.shape} and y of shape {y.shape}; (steps, "
                "channels) and a class, or (steps,) classes, are needed"
            )
        if xs and (x.shape, y.shape) != (xs[0].shape, ys[0].shape):
            raise BrfkitError(f"sample {number} of the {name} part has the shape {x.shape}, sample 0 has {xs[0].shape}")
        xs.append(x)
        ys.append(y)
    if not xs:
        raise BrfkitError(f"there are no samples in the {name} part")
    return _arrays(np.stack(xs), np.stack(ys))


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
