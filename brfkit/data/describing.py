"""What there is to know about a data set and its files, as plain values for lists and JSON."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brfkit.data.base import DataFile, DataSpec, EventSplit
from brfkit.data.files import data_folder, find
from brfkit.data.registry import check_file, dataset_spec, load
from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_path

State = Literal["ok", "different", "damaged", "unchecked", "missing", "generated", "own"]


@dataclass(frozen=True)
class FileState:
    """One file of a data set.

    Attributes:
        name: its usual name.
        split: the split it belongs to.
        path: where it was found; None if it was not.
        bytes: its size there; None for a missing file.
        state: ``"ok"`` (published content), ``"different"``, ``"damaged"`` (cannot be unpacked), ``"unchecked"``
            (present) or ``"missing"``.
        url: where it is published.
    """

    name: str
    split: str
    path: str | None
    bytes: int | None
    state: State
    url: str


@dataclass(frozen=True)
class Description:
    """A data set and what of it is here.

    Attributes:
        name, title, licence, citation, notes, channels, steps, class_names, labels_per_step, events: see `DataSpec`.
        folder: where its files are looked for; None for generated data.
        state: the worst state of its files; ``"generated"``, or ``"own"`` for a custom data set.
        bytes: size of the files that are here.
        files: its files.
        published_samples: samples of the published files by split.
        samples: samples that were found by split; None unless the data were read.
        spikes_per_sample: mean number of spikes by split; None unless event data were read.
    """

    name: str
    title: str
    licence: str
    citation: str
    notes: str
    channels: int
    steps: int
    class_names: tuple[str, ...]
    labels_per_step: bool
    events: bool
    folder: str | None
    state: State
    bytes: int
    files: tuple[FileState, ...]
    published_samples: dict[str, int]
    samples: dict[str, int] | None = None
    spikes_per_sample: dict[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists of plain values."""
        found: dict[str, Any] = asdict(self)
        return found | {"class_names": list(self.class_names), "files": [asdict(file) for file in self.files]}


def describe(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, checksums: bool = True, read: bool = False
) -> Description:
    """What a data set is, and what of it is here.

    Args:
        name: one of `dataset_names()`, or the path of a custom data set, which is read in any case.
        data_dir: see `data_folder`.
        checksums: compare files with their published MD5; takes a second for each few hundred megabytes.
        read: read the splits whose files are here and count their samples and spikes.

    Raises:
        BrfkitError: an unknown name; with `read` or for a custom data set, files that cannot be read.
    """
    if is_path(name):
        return _own(Path(name).expanduser())
    facts = dataset_spec(name)
    folder = data_folder(data_dir) / facts.folder if facts.folder is not None else None
    files = tuple(_file_state(file, folder, checksums) for file in facts.files) if folder is not None else ()
    order: list[State] = ["damaged", "missing", "different", "unchecked", "ok"]
    state: State = min((file.state for file in files), key=order.index, default="generated")
    description = _description(facts, folder, state, files)
    if not read:
        return description
    here = [split for split in facts.splits if all(file.path for file in files if file.split == split)]
    loaded = load(name, data_dir=data_dir, splits=here)
    return _with_counts(description, loaded.splits)


def _description(facts: DataSpec, folder: Path | None, state: State, files: tuple[FileState, ...]) -> Description:
    return Description(
        name=facts.name,
        title=facts.title,
        licence=facts.licence,
        citation=facts.citation,
        notes=facts.notes,
        channels=facts.channels,
        steps=facts.steps,
        class_names=facts.class_names,
        labels_per_step=facts.labels_per_step,
        events=facts.events,
        folder=None if folder is None else str(folder),
        state=state,
        bytes=sum(file.bytes or 0 for file in files),
        files=files,
        published_samples={} if state == "own" else dict(facts.samples),
    )


def _with_counts(description: Description, splits: Any) -> Description:

    spikes = {
        name: float(np.mean(split.indptr[split.rows, -1]))
        for name, split in splits.items()
        if isinstance(split, EventSplit)
    }
    samples = {name: len(split) for name, split in splits.items()}
    return replace(description, samples=samples, spikes_per_sample=spikes or None)


def _file_state(file: DataFile, folder: Path, checksums: bool) -> FileState:
    path = find(folder, file)
    state: State = "missing" if path is None else "unchecked"
    if path is not None and checksums:
        try:
            state = check_file(file, folder).state
        except BrfkitError:
            state = "damaged"
    size = None if path is None else path.stat().st_size
    return FileState(file.name, file.split, None if path is None else str(path), size, state, file.url)


def _own(path: Path) -> Description:
    data = load(str(path), splits=("train",))
    every = load(str(path), splits=data.spec.splits)
    size = path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*.[wW][aA][vV]"))
    file = FileState(path.name, "all", str(path), size, "own", "")
    return _with_counts(_description(data.spec, path.parent, "own", (file,)), every.splits)
