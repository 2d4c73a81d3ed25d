"""Writing files whole or not at all, and reading archives without trusting them."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from brfkit.errors import BrfkitError

PathLike = str | os.PathLike[str]


def check_writable(path: PathLike, force: bool = False) -> Path:
    """The place where `path` would be written, links followed; for asking before long work.

    Raises:
        BrfkitError: the folder is missing, there is a file already and `force` is not set, or what is there is no file.
    """
    try:
        target = Path(path).expanduser().resolve()
        if target.is_dir():
            raise BrfkitError(f"{path} is a folder; name a file in it")
        if target.exists() and not target.is_file():
            raise BrfkitError(f"{path} is not an ordinary file and is not replaced; name another file")
        if target.exists() and not force:
            raise BrfkitError(f"{path} exists; --force overwrites it")
        if not target.parent.is_dir():
            raise BrfkitError(f"{path} cannot be written: there is no folder {target.parent}")
    except (OSError, ValueError, RuntimeError) as error:
        raise BrfkitError(f"{str(path)!r} cannot be written: {_reason(error)}") from error
    return target


@contextmanager
def atomic_path(path: PathLike, force: bool = False) -> Iterator[Path]:
    """Yields a path beside `path` with the same suffix, to be written by the caller, and then renames it to `path`.

    The temporary file exists and is empty when it is yielded. On any failure, also of the caller, it is removed and
    what was at `path` before stays as it was.

    Raises:
        BrfkitError: see :func:`check_writable`; or the operating system refused to create, write or rename the file.
    """
    target = check_writable(path, force)
    temporary = target.with_name(f".brfkit-{secrets.token_hex(8)}{target.suffix}")
    try:
        # os.open rather than tempfile: the permissions of the result follow the user's umask.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        check_writable(path, force)
        temporary.replace(target)
    except OSError as error:
        if error.filename not in (None, str(temporary), os.fsencode(temporary)):
            raise  # about another file, which the caller touched meanwhile
        raise BrfkitError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_write(path: PathLike, mode: Literal["w", "wb"] = "wb", force: bool = False) -> Iterator[IO[Any]]:
    """Like :func:`atomic_path`, with the temporary file opened for writing.

    Text is UTF-8, and line ends are written as given.
    """
    text: dict[str, str] = {} if mode == "wb" else {"encoding": "utf-8", "newline": ""}
    with atomic_path(path, force) as temporary, temporary.open(mode, **text) as stream:  # type: ignore[call-overload]
        yield stream


def read_stored_zip(path: PathLike) -> dict[str, bytes]:
    """The members of an uncompressed zip archive by name, every checksum checked; memory is bounded by the file's size.

    Raises:
        BrfkitError: the file cannot be read, is not such an archive, or is damaged.
    """
    try:
        size = Path(path).stat().st_size
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            if any(m.compress_type != zipfile.ZIP_STORED for m in members) or len(names) != len(members):
                raise zipfile.BadZipFile("compressed or repeated members")
            if sum(member.file_size for member in members) > size:
                raise zipfile.BadZipFile("members larger than the file")
            return {member.filename: archive.read(member) for member in members}
    except OSError as error:
        raise BrfkitError(f"{path} cannot be read: {_reason(error)}") from error
    except Exception as error:  # zipfile lets anything through that damaged headers provoke
        raise BrfkitError(f"{path} is damaged, cut short or of another format ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return text[:200] or type(error).__name__
