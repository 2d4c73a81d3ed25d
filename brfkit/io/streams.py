"""Reading files as streams without trusting their size: plain, gzip or zip, with one line for what is wrong."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from brfkit.errors import BrfkitError

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_CHUNK = 1 << 20

MAX_UNPACKED = 1 << 33
"""Largest content of any file, three times that of SSC's training part."""


def read_bytes(path: Path, limit: int) -> bytearray:
    """The whole file, which must not be larger than `limit` bytes; BrfkitError where that fails."""
    with open_file(path) as stream:
        content = read_exactly(stream, limit + 1)
    if len(content) > limit:
        raise BrfkitError(f"{path} is larger than the {limit} bytes that this kind of file can have")
    return content


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens an ordinary file for reading.

    Raises:
        BrfkitError: it cannot be read, or is none: a pipe waits for ever, a device has no end.
    """
    with readable(path):
        check_ordinary(path)
        with path.open("rb") as stream:
            yield stream


def check_ordinary(path: Path) -> None:
    """Refuse what is there and is no ordinary file; OSError where nothing is there."""
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL in the name
        raise BrfkitError(f"{path} cannot be read: {one_line(error)}") from None
    if stat.S_ISDIR(mode):
        raise BrfkitError(f"{path} cannot be read: {os.strerror(errno.EISDIR)}")
    if not stat.S_ISREG(mode):
        raise BrfkitError(f"{path} cannot be read: it is no ordinary file")


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for reading, through gzip or as the one member of a zip archive where its first bytes say so.

    Raises:
        BrfkitError: the file cannot be read, or its packed data is damaged; also while the caller reads it.
    """
    with open_file(path) as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic[:2] == _GZIP_MAGIC:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield cast("IO[bytes]", stream)
        elif magic == _ZIP_MAGIC:
            with _zip_member(raw, path) as member:
                yield member
        else:
            yield raw


@contextmanager
def _zip_member(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    try:
        archive = zipfile.ZipFile(raw)
        members = [
            info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX")
        ]
    except Exception as error:  # zipfile lets anything through that damaged headers provoke
        raise BrfkitError(f"{path}: damaged zip archive ({one_line(error)}); fetch the file anew") from error
    if len(members) != 1:
        raise BrfkitError(f"{path}: a zip archive of {len(members)} files, one is needed")
    try:
        with archive.open(members[0]) as stream:
            yield stream
    except (RuntimeError, NotImplementedError, ValueError, struct.error) as error:
        raise BrfkitError(f"{path}: unreadable zip archive ({one_line(error)}); fetch the file anew") from error


def is_packed(path: Path) -> bool:
    """Whether the file's first bytes are those of a gzip or zip file."""
    with open_file(path) as raw:
        magic = raw.read(4)
    return magic[:2] == _GZIP_MAGIC or magic == _ZIP_MAGIC


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
    """MD5 of the file's content as hexadecimal digits, unpacked where it is a gzip or a zip of one file."""
    with open_unpacked(path) as stream:
        return _digest(stream, "md5", path)


def file_digest(path: Path, algorithm: str = "md5") -> str:
    """Hash of the file as it is; `algorithm` is a name that hashlib knows. BrfkitError where it cannot be read."""
    with open_file(path) as stream:
        return _digest(stream, algorithm, path)


def _digest(stream: IO[bytes], algorithm: str, path: Path) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = 0
    while part := stream.read(_CHUNK):
        size += len(part)
        if size > MAX_UNPACKED:
            raise BrfkitError(f"{path}: unpacks to more than {MAX_UNPACKED} bytes")
        digest.update(part)
    return digest.hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise BrfkitError(f"{path}: damaged gzip or zip data ({one_line(error)}); fetch the file anew") from error
    except OSError as error:
        raise BrfkitError(f"{path} cannot be read: {error.strerror or one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The text of an exception on one line, shortened."""
    return " ".join(str(error).split())[:120] or type(error).__name__
