"""The data sets by name, and `load`."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brfkit.data.base import Dataset, DataSpec, Request
from brfkit.data.files import content_md5, data_folder, find
from brfkit.data.permutation import Permutation, time_permutation
from brfkit.errors import BrfkitError

# Name of a data set -> module of brfkit.data whose SPECS holds it; imported when it is asked for.
MODULES = {
    "ecg": "ecg",
    "psmnist": "mnist",
    "smnist": "mnist",
    "tones": "tones",
}


def dataset_names() -> tuple[str, ...]:
    """The data sets that `load` knows."""
    return tuple(MODULES)


def dataset_spec(name: str) -> DataSpec:
    """The facts of the data set `name`, without reading it; BrfkitError for an unknown name."""
    if name not in MODULES:
        close = difflib.get_close_matches(name.lower(), MODULES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BrfkitError(f"unknown data set {name!r}; {hint}known are {', '.join(MODULES)}")
    module = importlib.import_module(f"brfkit.data.{MODULES[name]}")
    found: DataSpec = module.SPECS[name]
    return found


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    permutation: Permutation | None = None,
    seed: int = 0,
    splits: Sequence[str] = ("train", "test"),
) -> Dataset:
    """Reads a data set, or generates it.

    Args:
        name: one of `dataset_names()`.
        data_dir: folder that holds one folder per data set; see `data_folder` for the default.
        limit_train: keep the first so many samples of the training split.
        limit_test: the same for the test split.
        permutation: integers [T] or a ``.npy`` file of them, the order of the steps of psmnist: step t of a sample is
            step ``permutation[t]`` of the file.
        seed: draws the permutation of psmnist where none is given. Nothing else depends on it.
        splits: which splits to read.

    Raises:
        BrfkitError: an unknown name or split, a limit below 1, a permutation that is none or does not belong here,
            a missing or damaged file.
    """
    facts = dataset_spec(name)
    limits = {"train": limit_train, "test": limit_test}
    for split, limit in limits.items():
        if limit is not None and limit < 1:
            raise BrfkitError(f"the limit of {split} samples must be at least 1, it is {limit}")
    for split in splits:
        if split not in facts.splits:
            raise BrfkitError(f"data set {name} has no split {split!r}; it has {', '.join(facts.splits)}")
    if permutation is not None and not facts.permuted:
        raise BrfkitError(f"data set {name} takes no permutation; psmnist does")
    order = time_permutation(permutation, seed, facts.steps) if facts.permuted else None
    root = data_folder(data_dir)
    loaded = {split: facts.read(Request(root, split, order)) for split in splits}
    for split, limit in limits.items():
        if limit is not None and split in loaded:
            loaded[split] = loaded[split].take(limit)
    return Dataset(facts, loaded, order)


@dataclass(frozen=True)
class FileCheck:
    """What stands in the place of one file of a data set.

    Attributes:
        name: the file's usual name.
        path: where it was found, under this or another accepted name; None if it was not.
        state: ``"ok"`` if its unpacked content has the known MD5, ``"different"`` if not, ``"missing"``.
        md5: MD5 of its unpacked content, None for a missing file.
    """

    name: str
    path: Path | None
    state: Literal["ok", "different", "missing"]
    md5: str | None


def check_files(name: str, data_dir: str | os.PathLike[str] | None = None) -> tuple[FileCheck, ...]:
    """Compares the files of a data set with their known MD5s; empty for generated data.

    `load` does not ask for this: it takes any files of the right form, such as a subset or Fashion-MNIST.

    Raises:
        BrfkitError: an unknown name, a file that cannot be read or is damaged gzip data.
    """
    facts = dataset_spec(name)
    checks = []
    for file in facts.files:
        path = find(data_folder(data_dir) / str(facts.folder), file)
        if path is None:
            checks.append(FileCheck(file.name, None, "missing", None))
        else:
            md5 = content_md5(path)
            checks.append(FileCheck(file.name, path, "ok" if md5 == file.md5 else "different", md5))
    return tuple(checks)
