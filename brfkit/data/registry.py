"""The data sets by name, and `load`."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from brfkit.data.audio import AudioSettings, load_folder
from brfkit.data.base import DataFile, Dataset, DataSpec, EventSplit, Request, Split
from brfkit.data.binning import NAMED, Binning, binning_named
from brfkit.data.custom import load_own
from brfkit.data.files import data_folder, find
from brfkit.data.permutation import Permutation, time_permutation
from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_folder, is_path
from brfkit.io.streams import content_md5, file_digest

# Name of a data set -> module of brfkit.data whose SPECS holds it; imported when it is asked for.
MODULES = {
    "ecg": "ecg",
    "psfmnist": "mnist",
    "psmnist": "mnist",
    "sfmnist": "mnist",
    "shd": "shd",
    "smnist": "mnist",
    "ssc": "shd",
    "tones": "tones",
}

ARRAYS = "arrays"
"""Name of samples that were given as objects from Python."""


def dataset_names() -> tuple[str, ...]:
    """The data sets that `load` knows."""
    return tuple(MODULES)


def dataset_spec(name: str) -> DataSpec:
    """The facts of the data set `name`, without reading it; a custom data set is read.

    Raises:
        BrfkitError: an unknown name, or a file that cannot be read.
    """
    if is_path(name):
        path = Path(name).expanduser()
        return (load_folder if is_folder(path) else load_own)(path, splits=("train",)).spec
    if name == ARRAYS:
        raise BrfkitError("these samples were given as arrays from Python; give them again, or name a data set")
    if name not in MODULES:
        close = difflib.get_close_matches(name.lower(), MODULES, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BrfkitError(
            f"unknown data set {name!r}; {hint}known are {', '.join(MODULES)}, files (.npz, .h5, .ts, "
            ".csv) and folders of recordings (./NAME)"
        )
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
    binning: str | Binning | None = None,
    test_fraction: float | None = None,
    audio: AudioSettings | None = None,
    ignore_unlabelled: bool = False,
) -> Dataset:
    """Reads a data set, or generates it.

    Args:
        name: one of `dataset_names()`, or the path of a custom file or folder of recordings (docs/data.md).
        data_dir: folder that holds one folder per data set; see `data_folder` for the default.
        limit_train: keep the first so many samples of the training split.
        limit_test: the same for the test split.
        permutation: integers [T] or a ``.npy`` file of them, the order of the steps of psmnist and psfmnist: step t of
            a sample is step ``permutation[t]`` of the file.
        seed: draws the permutation where none is given. Nothing else depends on it.
        splits: which splits to read.
        binning: how spike times become steps: a `Binning`, or ``"full"`` (every spike is kept) or ``"paper"`` (the
            published preprocessing of SHD). None is ``"full"``, or what a custom file says. For event data only.
        test_fraction: share of the training samples of custom data that become the test part, where there is none.
            The draw is always the same.
        audio: front end and test part of a folder of recordings; None takes MFCC. For such a folder only.
        ignore_unlabelled: give the steps of ECG-QTDB without a label the label -1, which leaves them out of loss and
            accuracy, where the published code takes class P.

    Raises:
        BrfkitError: an unknown name or split, a limit below 1, a permutation, binning or test fraction that is none or
            does not belong here, a missing or damaged file.
    """
    limits = {"train": limit_train, "test": limit_test}
    for split, limit in limits.items():
        if limit is not None and limit < 1:
            raise BrfkitError(f"the limit of {split} samples must be at least 1, it is {limit}")
    chosen = None if binning is None else binning_named(binning)
    if is_path(name):
        if permutation is not None:
            raise BrfkitError(f"{name} takes no permutation; psmnist does")
        if ignore_unlabelled:
            raise BrfkitError(f"{name}: ignore_unlabelled belongs to ecg; in a file, -1 is no label")
        path = Path(name).expanduser()
        if is_folder(path):
            return _limited(_recordings(path, splits, chosen, test_fraction, audio), limits)
        if audio is not None:
            raise BrfkitError(f"{path} is no folder of recordings, so it takes no front end")
        return _limited(load_own(path, splits=splits, binning=chosen, test_fraction=test_fraction), limits)
    if audio is not None:
        raise BrfkitError(f"data set {name} is no folder of recordings, so it takes no front end")
    facts = dataset_spec(name)
    for split in splits:
        if split not in facts.splits:
            raise BrfkitError(f"data set {name} has no split {split!r}; it has {', '.join(facts.splits)}")
    if permutation is not None and not facts.permuted:
        raise BrfkitError(f"data set {name} takes no permutation; psmnist does")
    if chosen is not None and not facts.events:
        raise BrfkitError(f"data set {name} takes no binning, it is not made of events; shd is")
    if test_fraction is not None:
        raise BrfkitError(f"data set {name} has a test part, so no test fraction can be drawn")
    if ignore_unlabelled and not facts.unlabelled:
        raise BrfkitError(f"data set {name} has no steps without a label; ignore_unlabelled belongs to ecg")
    order = time_permutation(permutation, seed, facts.steps) if facts.permuted else None
    root = data_folder(data_dir)
    loaded = {
        split: facts.read(Request(root, split, order, chosen, limits.get(split), ignore_unlabelled)) for split in splits
    }
    if facts.events:
        facts, chosen = _binned_facts(facts, loaded, chosen or NAMED["full"])
    return _limited(Dataset(facts, loaded, order, chosen), limits)


def _recordings(
    path: Path, splits: Sequence[str], binning: Binning | None, test_fraction: float | None, audio: AudioSettings | None
) -> Dataset:
    if binning is not None:
        raise BrfkitError(f"{path}: recordings take no binning; the frame step is their step (--frame-step)")
    settings = audio or AudioSettings()
    if test_fraction is not None:
        settings = replace(settings, test_fraction=test_fraction)
    return load_folder(path, settings, splits=splits)


def _binned_facts(facts: DataSpec, loaded: Mapping[str, Split], binning: Binning) -> tuple[DataSpec, Binning]:
    """The facts with the steps and class names of what was read."""
    for split in loaded.values():
        if isinstance(split, EventSplit):
            facts = replace(facts, steps=split.steps, class_names=split.class_names or facts.class_names)
    return facts, replace(binning, steps=facts.steps)


def _limited(data: Dataset, limits: Mapping[str, int | None]) -> Dataset:
    kept = {
        name: split if (limit := limits.get(name)) is None else split.take(limit) for name, split in data.splits.items()
    }
    return replace(data, splits=kept)


@dataclass(frozen=True)
class FileCheck:
    """What stands in the place of one file of a data set.

    Attributes:
        name: the file's usual name.
        path: where it was found, under this or another accepted name; None if it was not.
        state: ``"ok"`` if its unpacked content (or, where that is not known, the file) has the published MD5,
            ``"different"`` if not, ``"missing"``.
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
    return tuple(check_file(file, data_folder(data_dir) / str(facts.folder)) for file in facts.files)


def check_file(file: DataFile, folder: Path) -> FileCheck:
    """Compares one file of a data set, looked for in `folder`, with its known MD5."""
    path = find(folder, file)
    if path is None:
        return FileCheck(file.name, None, "missing", None)
    md5 = content_md5(path)
    known = md5 == file.md5 or (file.md5 is None and file_digest(path) == file.url_md5)
    return FileCheck(file.name, path, "ok" if known else "different", md5)
