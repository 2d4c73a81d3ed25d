"""What a data set is to the rest of the package: its facts, its splits, and batches laid out for a scan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.errors import BrfkitError
from brfkit.events import Events

Batch: TypeAlias = "NDArray[Any] | Events"
"""Input of a scan: a dense array [T, B, I], or the events of one; never both."""


class Split(ABC):
    """The samples of one part of a data set, stored compactly; `batch` lays some of them out for a scan.

    Attributes:
        y: int64 [N], one class per sample, or [N, T], one class per step.
    """

    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    @abstractmethod
    def select(self, indices: ArrayLike) -> Split:
        """The samples at `indices` (integers in ``range(-N, N)``, in this order, repeats allowed).

        Raises:
            BrfkitError: `indices` is not a list of integers in that range.
        """

    @abstractmethod
    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[Batch, NDArray[np.int64]]:
        """Input and labels of the samples at `indices`, time first.

        Returns:
            ``(x, y)``: x is a C-contiguous array [T, B, I] of `dtype`, or `Events` from an event-based split
            (`dtype` then has no effect); y is int64, [B], or [T, B] where labels are per step.

        Raises:
            BrfkitError: `indices` as in `select`, or `dtype` is not a real floating-point type.
        """

    def take(self, n: int) -> Split:
        """The first `n` samples, or all of them where there are fewer."""
        return self.select(np.arange(min(n, len(self))))


@dataclass(frozen=True, eq=False)
class DenseSplit(Split):
    """Samples stored as one array.

    Attributes:
        x: [N, T, I], any real or integer type.
        y: int64 [N] or [N, T].
        divisor: a batch holds ``x / divisor``; taken in float64 before the cast, so that the float32 batch is the
            float64 one rounded.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    divisor: float = 1.0

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.y.shape not in (self.x.shape[:1], self.x.shape[:2]):
            raise BrfkitError(f"a split needs x (N, T, I) and y (N,) or (N, T), not {self.x.shape} and {self.y.shape}")

    def select(self, indices: ArrayLike) -> DenseSplit:
        index = sample_index(indices, len(self))
        return DenseSplit(self.x[index], self.y[index], self.divisor)

    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[NDArray[Any], NDArray[np.int64]]:
        if not np.issubdtype(dtype, np.floating):
            raise BrfkitError(f"a batch needs a floating-point dtype such as float32 or float64, not {dtype!r}")
        index = sample_index(indices, len(self))
        x = self.x[index].transpose(1, 0, 2)  # [T, B, I]
        if self.divisor != 1.0:
            x = np.divide(x, self.divisor, dtype=np.float64)
        return np.ascontiguousarray(x, dtype), np.ascontiguousarray(self.y[index].T)


def sample_index(indices: ArrayLike, samples: int) -> NDArray[np.intp]:
    """`indices` as an index array; masks, fractions and numbers outside the samples are refused."""
    index = np.asarray(indices)
    if index.size == 0 and index.ndim == 1:
        return np.zeros(0, np.intp)
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise BrfkitError(f"samples are picked by a list of integers, not {index.dtype} of shape {index.shape}")
    if index.min() < -samples or index.max() >= samples:
        raise BrfkitError(f"sample indices {index.min()}..{index.max()} do not fit {samples} samples")
    return index.astype(np.intp)


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        split: the split it belongs to.
        name: file name, in the data set's folder.
        md5: MD5 of its content, unpacked where the file is a gzip.
        url: where it can be fetched.
        url_md5: MD5 of what that address serves, packed as it is there.
        also: further names under which the same content is found.
    """

    split: str
    name: str
    md5: str
    url: str
    url_md5: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What `load` was asked for, as the reader of a data set sees it.

    Attributes:
        root: the folder that holds one folder per data set; may not exist.
        split: name of the split to read.
        order: int64 [T], step t of the result is step ``order[t]`` of the file; None keeps the order.
    """

    root: Path
    split: str
    order: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class DataSpec:
    """The facts of a data set, known without reading it, and the function that reads it.

    Attributes:
        name: what `load` calls it.
        title: one line for a list.
        channels: number of input channels I.
        steps: time steps T of a sample.
        class_names: one per class, in the order of the labels.
        labels_per_step: whether each step has its own label.
        read: reads the split that a `Request` names.
        licence: SPDX-like name of the licence.
        citation: whom to cite.
        folder: folder inside the data folder; None for generated data.
        files: what that folder has to hold.
        permuted: whether the time steps are permuted (see `load`).
        notes: what a user of the data should know.
        splits: names of the splits that `read` knows.
    """

    name: str
    title: str
    channels: int
    steps: int
    class_names: tuple[str, ...]
    labels_per_step: bool
    read: Callable[[Request], Split] = field(repr=False)
    licence: str
    citation: str
    folder: str | None = None
    files: tuple[DataFile, ...] = ()
    permuted: bool = False
    notes: str = ""
    splits: tuple[str, ...] = ("train", "test")

    @property
    def classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A loaded data set: its facts and the splits that were asked for.

    Attributes:
        spec: the facts.
        splits: the loaded splits by name.
        permutation: int64 [T] that was applied to the time steps, or None. It belongs to a network trained on it.
    """

    spec: DataSpec
    splits: Mapping[str, Split]
    permutation: NDArray[np.int64] | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def channels(self) -> int:
        return self.spec.channels

    @property
    def classes(self) -> int:
        return self.spec.classes

    @property
    def steps(self) -> int:
        return self.spec.steps

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.spec.class_names

    @property
    def labels_per_step(self) -> bool:
        return self.spec.labels_per_step

    @property
    def train(self) -> Split:
        return self.split("train")

    @property
    def test(self) -> Split:
        return self.split("test")

    def split(self, name: str) -> Split:
        """The split `name`; BrfkitError where it was not loaded."""
        if name not in self.splits:
            raise BrfkitError(f"data set {self.name} was loaded without its split {name!r}: {', '.join(self.splits)}")
        return self.splits[name]
