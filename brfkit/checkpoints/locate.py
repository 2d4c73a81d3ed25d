"""Where a trained network lies, and what is said of a path that is something else. Needs no torch."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol

from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, read_stored_zip
from brfkit.io.npy import KINDS, npy_array
from brfkit.io.streams import open_file
from brfkit.io.text import visible

RUN_FILES = ("best.npz", "last.npz")
KEPT, KEPT_NAME = "weights", re.compile(r"epoch-(\d+)\.npz")
_CONFIG = "config.json"
_ENTRIES = 1000  # of a folder that are looked at to say what it is
_ASKED = "a trained network is a run folder, a checkpoint (.npz) in one, or a published .pt file"

_KINDS = {  # first bytes, and what they are those of
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture", b"<svg": "a picture",
    b"%PDF": "a PDF file", b"\x89HDF\r\n\x1a\n": "an HDF5 file (data, recorded states or an error surface)",
    b"\x1f\x8b": "a gzip file (packed data)", b"MATLAB 5.0": "a MAT file (data)", b"RIFF": "a sound file",
    b"\x93NUMPY": "a single array (.npy)", b"<!doctype html": "a page of HTML", b"<html": "a page of HTML",
}  # fmt: skip
_ENDINGS = {
    ".json": "a JSON file", ".toml": "a TOML file", ".csv": "a table (.csv)", ".py": "Python source",
    ".svg": "a picture", ".md": "text", ".txt": "text",
}  # fmt: skip


class Described(Protocol):
    """A network that knows its weights."""

    def shapes(self) -> dict[str, tuple[int, ...]]: ...

    def check(self, weights: Mapping[str, NDArray]) -> None: ...


def kept_epoch(path: PathLike) -> tuple[Path, int] | None:
    """Run folder and epoch of a file of ``--keep-weights`` (``RUN/weights/epoch-0005.npz``); None for another path."""
    file = Path(path)
    match = KEPT_NAME.fullmatch(file.name)
    folder = file.absolute().parent
    if match is None or folder.name != KEPT or not any((folder.parent / name).is_file() for name in RUN_FILES):
        return None
    return (file.parent.parent if file.parent.name == KEPT else folder.parent), int(match[1])


def read_kept(path: PathLike, network: Described) -> dict[str, NDArray]:
    """The weights in a file of ``--keep-weights``, which holds an array each under its name and nothing else.

    Raises:
        BrfkitError: it cannot be read, or does not fit the network.
    """
    members, shapes = read_stored_zip(path), network.shapes()
    weights = {
        name: npy_array(data, f"{path}: {name}", KINDS["float"])
        for member, data in members.items()
        if (name := member.removesuffix(".npy")) in shapes
    }
    try:
        network.check(weights)
    except BrfkitError as error:
        raise BrfkitError(f"{path}: {error}") from None
    return {name: weights[name] for name in shapes}


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint of a run folder: ``best.npz``, else ``last.npz``.

    Raises:
        BrfkitError: there is neither; it says what the folder is.
    """
    for name in RUN_FILES:
        if (folder / name).is_file():
            return folder / name
    raise BrfkitError(f"{folder} {_folder(folder)}")


def refuse_other(file: Path) -> None:
    """Refuse a file that is certainly no checkpoint, and say what it is; leave all others to their reader.

    Raises:
        BrfkitError: it is of another kind.
    """
    what = _file(file)
    if what is None:
        return
    hint = _ASKED
    with suppress(OSError):
        if any((file.absolute().parent / name).is_file() for name in RUN_FILES):
            hint = f"name the folder of the run, {file.parent}"
    raise BrfkitError(f"{file} is {what}, not a trained network; {hint}")


def _file(file: Path) -> str | None:
    try:
        with open_file(file) as stream:
            head = stream.read(64)
    except BrfkitError:
        return None
    if head[:4] == b"PK\x03\x04":
        return _archive(file)
    for first, what in _KINDS.items():
        if head.lower().startswith(first.lower()):
            return what
    return _ENDINGS.get(file.suffix.lower()) if head else None


def _archive(file: Path) -> str | None:
    """What an archive of arrays without the text of a checkpoint is."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception:  # zipfile lets anything through that damaged headers provoke
        return None
    if not names or "meta" in names or len(names) > _ENTRIES:
        return None
    if all("." in name for name in names):
        return "the weights of one epoch outside its run folder (RUN/weights/epoch-0005.npz)"
    shown = visible(", ".join(names[:5])[:200])
    return f"an archive of arrays without the description of a network ({shown})"


def _folder(folder: Path) -> str:
    """What a folder without a checkpoint is, as the end of a sentence that begins with its name."""
    inside = sorted(islice(folder.iterdir(), _ENTRIES)) if _readable(folder) else []
    if not inside:
        return f"is an empty folder, not a trained network; {_ASKED}"
    kept = [path for path in inside if KEPT_NAME.fullmatch(path.name)]
    if kept:
        return f"holds the weights of {len(kept)} epochs; name one of them, such as {kept[-1]}"
    runs = [path for path in _below(inside) if any((path / name).is_file() for name in RUN_FILES)]
    if runs:
        seeds = "runs of several seeds" if runs[0].name.startswith("seed-") else "runs"
        return f"holds {seeds}, not one network; name one of them, such as {runs[0]}"
    neither = f"holds neither {' nor '.join(RUN_FILES)}"
    if (folder / _CONFIG).is_file():
        return f"{neither}; its run has not saved a checkpoint"
    return f"{neither}; it is not the folder of a run"


def _below(inside: list[Path]) -> Iterator[Path]:
    """Folders one and two levels down."""
    for path in inside:
        if path.is_dir() and _readable(path):
            yield path
            yield from (deeper for deeper in sorted(islice(path.iterdir(), _ENTRIES)) if deeper.is_dir())


def _readable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True
