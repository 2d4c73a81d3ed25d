"""Where data files lie, and reading them without trusting their size."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from brfkit.data.base import DataFile
from brfkit.errors import BrfkitError
from brfkit.paths import cache_dir

ENVIRONMENT_VARIABLE = "BRFKIT_DATA_DIR"
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds one folder per data set.

    `data_dir` if given, else the environment variable ``BRFKIT_DATA_DIR``, else ``data`` in the user's cache folder.
    The folder need not exist.
    """
    chosen = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return cache_dir() / "data"


def locate(folder: Path, file: DataFile, dataset: str) -> Path:
    """The path of `file` in `folder` under its name or one of its other names.

    Raises:
        BrfkitError: it is not there.
    """
    path = find(folder, file)
    if path is None:
        raise BrfkitError(
            f"{dataset}: {file.name} is not in {folder}; run `brfkit data fetch {dataset}`, put the file there, "
            f"or set --data-dir or {ENVIRONMENT_VARIABLE}"
        )
    return path


def find(folder: Path, file: DataFile) -> Path | None:
    """Like `locate`, with None for a missing file."""
    for name in (file.name, *file.also):
        with _readable(folder / name):
            if (folder / name).is_file():
                return folder / name
    return None


def read_bytes(path: Path, limit: int) -> bytearray:
    """The whole file, which must not be larger than `limit` bytes; BrfkitError where that fails."""
    with _readable(path), path.open("rb") as stream:
        content = read_exactly(stream, limit + 1)
    if len(content) > limit:
        raise BrfkitError(f"{path} is larger than the {limit} bytes that this kind of file can have")
    return content


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for reading, through gzip where its first bytes say so.

    Raises:
        BrfkitError: the file cannot be read, or its gzip data is damaged; also while the caller reads it.
    """
    with _readable(path), path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast("IO[bytes]", stream)


def read_exactly(stream: IO[bytes], size: int) -> bytearray:
    """Up to `size` bytes, fewer at the end of the file; memory grows with what is there, not with `size`."""
    parts = bytearray()
    while len(parts) < size:
        part = stream.read(min(_CHUNK, size - len(parts)))
        if not part:
            break
        parts += part
    return parts


def content_md5(path: Path) -> str:
    """MD5 of the file's content as hexadecimal digits, unpacked where it is a gzip."""
    digest = hashlib.md5(usedforsecurity=False)
    with open_unpacked(path) as stream:
        while part := stream.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BrfkitError(f"{path}: damaged gzip data ({one_line(error)}); fetch the file anew") from error
    except OSError as error:
        raise BrfkitError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The text of an exception on one line, shortened."""
    return " ".join(str(error).split())[:120] or type(error).__name__
