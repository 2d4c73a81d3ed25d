"""What labels and recordings say before a network is trained on them: what makes it pointless, and what to know."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import Dataset, DenseSplit, EventSplit, Split
from brfkit.errors import BrfkitError

_NAMED = 5  # classes named in a note; more are counted


def check_trainable(dataset: Dataset) -> tuple[str, ...]:
    """Notes on labels and recordings for whoever trains on them.

    Returns:
        One line each: classes without a sample, classes in one part only, empty recordings.

    Raises:
        BrfkitError: the training part holds one class only, or nothing but empty recordings.
    """
    used = {name: _used(split, dataset.classes) for name, split in dataset.splits.items() if len(split)}
    train = used.get("train")
    if train is None:
        return ()
    if train.sum() < 2:
        present = ", ".join(_names(dataset, train)) or "no class"
        raise BrfkitError(
            f"{dataset.name}: all training labels are of class {present}; at least two classes are needed"
        )
    notes = _class_notes(dataset, train, used.get("test"))
    for name, split in dataset.splits.items():
        empty = _empty(split)
        if empty and name == "train" and empty == len(split):
            raise BrfkitError(f"{dataset.name}: all recordings of the training part are empty (no spikes, or only 0)")
        if empty:
            notes.append(f"{empty} of {len(split)} recordings of the {name} part are empty (no spikes, or only 0)")
    return tuple(notes)


def _class_notes(dataset: Dataset, train: NDArray[np.bool_], test: NDArray[np.bool_] | None) -> list[str]:
    notes = []
    seen = train if test is None else train | test
    if not seen.all():
        notes.append(
            f"{dataset.classes} classes, of which no sample has {_list(dataset, ~seen)}: the readout has a unit for "
            "each; classes are numbered from 0 without gaps"
        )
    if test is not None and (test & ~train).any():
        notes.append(
            f"the training part has no sample of {_list(dataset, test & ~train)}, the test part has: these test "
            "samples cannot be classified"
        )
    if test is not None and (train & ~test).any():
        notes.append(f"the test part has no sample of {_list(dataset, train & ~test)}")
    return notes


def _used(split: Split, classes: int) -> NDArray[np.bool_]:
    """Which classes [classes] have a label; negative labels are no class."""
    used = np.zeros(classes, bool)
    used[np.unique(split.y[split.y >= 0])] = True
    return used


def _names(dataset: Dataset, which: NDArray[np.bool_]) -> list[str]:
    return [dataset.class_names[i] for i in np.flatnonzero(which)]


def _list(dataset: Dataset, which: NDArray[np.bool_]) -> str:
    names = _names(dataset, which)
    if len(names) > _NAMED:
        return f"classes {', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return f"class{'es' * (len(names) > 1)} {', '.join(names)}"


def _empty(split: Split) -> int:
    """Recordings without an event, or with nothing but 0."""
    if isinstance(split, EventSplit):
        return int((split.indptr[split.rows, -1] == 0).sum())
    if isinstance(split, DenseSplit):
        return int((~split.x.reshape(len(split), -1).any(1)).sum())
    return 0
