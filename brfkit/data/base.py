"""What a data set is to the rest of the package: its facts, its splits, and batches laid out for a scan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.data.binning import Binning
from brfkit.errors import BrfkitError
from brfkit.events import Events

Batch: TypeAlias = "NDArray[Any] | Events"
"""Input of a scan: a dense array [T, B, I], or the events of one; never both."""

IGNORED = -1
"""Label of a sample or step that counts neither in the loss nor in the accuracy."""


class Split(ABC):
    """The samples of one part of a data set, stored compactly; `batch` lays some of them out for a scan.

    Attributes:
        y: int64 [N], one class per sample, or [N, T], one class per step; -1 is no label: it counts neither in the
            loss nor in the accuracy.
        groups: int64 [N], who or what a sample comes from (the speaker of a recording), or None where that is not
            known. Samples of one group should not stand on both sides of a validation split; see `holdout`.
    """

    y: NDArray[np.int64]
    groups: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64] | np.int64]:
        """One sample: x float32 [T, I], and its class, or its classes [T]. So a split is a data set of torch, too;
        ``DataLoader`` gives batches [B, T, I] of it.

        Raises:
            IndexError: there is no such sample.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} samples, not one of number {index}")
        x, y = self.batch([index], np.float32)
        dense = x.dense(np.float32) if isinstance(x, Events) else x
        return np.ascontiguousarray(dense[:, 0]), y[0] if y.ndim == 1 else np.ascontiguousarray(y[:, 0])

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
        groups: int64 [N] or None, see `Split`.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    divisor: float = 1.0
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.y.shape not in (self.x.shape[:1], self.x.shape[:2]):
            raise BrfkitError(f"a split needs x (N, T, I) and y (N,) or (N, T), not {self.x.shape} and {self.y.shape}")

    def select(self, indices: ArrayLike) -> DenseSplit:
        index = sample_index(indices, len(self))
        groups = None if self.groups is None else self.groups[index]
        return DenseSplit(self.x[index], self.y[index], self.divisor, groups)

    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[NDArray[Any], NDArray[np.int64]]:
        check_float(dtype)
        index = sample_index(indices, len(self))
        x = self.x[index].transpose(1, 0, 2)  # [T, B, I]
        if self.divisor != 1.0:
            x = np.divide(x, self.divisor, dtype=np.float64)
        return np.ascontiguousarray(x, dtype), np.ascontiguousarray(self.y[index].T)


@dataclass(frozen=True, eq=False)
class EventSplit(Split):
    """Spike trains, binned and stored as lists of active channels; selections share the spikes with their origin.

    Attributes:
        indices: uint16 or int32 [nnz], channels in ``range(channels)``, one recording after the other, in each by step
            and within a step ascending. A channel that stands twice in a step counts twice.
        starts: int64 [M], where each recording begins in `indices`.
        indptr: int32 [M, T + 1], offsets of its steps from there.
        rows: int64 [N], the recordings that are the samples of this split.
        y: int64 [N] or [N, T].
        channels: number of channels I.
        bin_width: length of a step in seconds (or whatever unit the times had).
        groups: int64 [N] or None, see `Split`.
        class_names: names that stand in the file, or None.
        left_out: how many spikes of the M recordings are not in `indices`: too late and dropped, or merged with
            others of their bin and channel.
    """

    indices: NDArray[Any]
    starts: NDArray[np.int64]
    indptr: NDArray[np.int32]
    rows: NDArray[np.int64]
    y: NDArray[np.int64]
    channels: int
    bin_width: float
    groups: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    left_out: int = 0

    @property
    def steps(self) -> int:
        return self.indptr.shape[1] - 1

    def select(self, indices: ArrayLike) -> EventSplit:
        index = sample_index(indices, len(self))
        groups = None if self.groups is None else self.groups[index]
        return replace(self, rows=self.rows[index], y=self.y[index], groups=groups)

    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[Events, NDArray[np.int64]]:
        check_float(dtype)
        index = sample_index(indices, len(self))
        rows = self.rows[index]
        ends = np.cumsum(self.indptr[rows, -1], dtype=np.int64)
        active = np.empty(ends[-1] if len(ends) else 0, np.int32)
        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(rows)]
        for start, begin, end in zip(self.starts[rows].tolist(), begins.tolist(), ends.tolist(), strict=True):
            active[begin:end] = self.indices[start : start + end - begin]
        events = Events(self.indptr[rows] + begins[:, None], active, self.channels)
        return events, np.ascontiguousarray(self.y[index].T)


def check_float(dtype: DTypeLike) -> None:
    """BrfkitError unless `dtype` is a real floating-point type."""
    if not np.issubdtype(dtype, np.floating):
        raise BrfkitError(f"a batch needs a floating-point dtype such as float32 or float64, not {dtype!r}")


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
        md5: MD5 of its content, unpacked where the file is a gzip or zip; None where nobody has published it.
        url: where it can be fetched.
        url_md5: MD5 of what that address serves, packed as it is there.
        also: further names under which the same content is found.
        mirrors: further addresses, each with the MD5 of what it serves.
    """

    split: str
    name: str
    md5: str | None
    url: str
    url_md5: str
    also: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    """What `load` was asked for, as the reader of a data set sees it.

    Attributes:
        root: the folder that holds one folder per data set; may not exist.
        split: name of the split to read.
        order: int64 [T], step t of the result is step ``order[t]`` of the file; None keeps the order.
        binning: how spike times become steps; None is the data set's default. For event-based data only.
        limit: how many samples are wanted, so that a reader may stop early; None is all.
        ignore_unlabelled: give -1 to steps without a label where the published code has a class for them.
    """

    root: Path
    split: str
    order: NDArray[np.int64] | None = None
    binning: Binning | None = None
    limit: int | None = None
    ignore_unlabelled: bool = False


@dataclass(frozen=True)
class DataSpec:
    """The facts of a data set, known without reading it, and the function that reads it.

    Attributes:
        name: what `load` calls it.
        title: one line for a list.
        channels: number of input channels I.
        steps: time steps T of a sample; for event-based data those of its default binning.
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
        samples: how many samples the published files hold, by split.
        events: whether samples are spike trains, which are binned when they are loaded.
        leads: channels that come from one sensor each, such as the leads of an ECG; empty where there is no such order.
        step_seconds: length of a step in seconds, where it is known; of events the binning says it.
        unlabelled: whether there are steps without a label, which the published code counts as a class.
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
    samples: Mapping[str, int] = field(default_factory=dict)
    events: bool = False
    leads: tuple[tuple[int, ...], ...] = ()
    step_seconds: float | None = None
    unlabelled: bool = False

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
        binning: how spike times became steps, None for data that is not made of events. It belongs to a network
            trained on it.
    """

    spec: DataSpec
    splits: Mapping[str, Split]
    permutation: NDArray[np.int64] | None = None
    binning: Binning | None = None

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
    def step_seconds(self) -> float | None:
        """Length of a step in seconds; None where the data do not say."""
        if self.spec.events and self.spec.files and self.binning is not None:
            return self.binning.width
        return self.spec.step_seconds

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
