"""Writing files whole or not at all, and reading archives without trusting them."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from brfkit.errors import BrfkitError
from brfkit.io.streams import check_ordinary

PathLike = str | os.PathLike[str]
DAY = 86_400.0  # seconds, longer than any file takes to be written


def check_writable(path: PathLike, force: bool = False) -> Path:
    """The place where `path` would be written, links followed; for asking before long work.

    A temporary file is made beside it and removed: permissions and kinds of file systems are found out in no other way.

    Raises:
        BrfkitError: the folder is missing or takes no files, there is a file already and `force` is not set, or what is
            there is no file.
    """
    target = _target(path, force)
    probe = _temporary(target)
    try:
        os.close(_create(probe))
        probe.unlink()
    except OSError as error:
        raise BrfkitError(f"{path} cannot be written: {_reason(error)}") from error
    return target


def _target(path: PathLike, force: bool) -> Path:
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
    what was at `path` before stays as it was. What processes that were killed here left behind is removed too.

    Raises:
        BrfkitError: see :func:`check_writable`; or the operating system refused to create, write or rename the file.
    """
    target = _target(path, force)
    remove_leftovers(target)
    temporary = _temporary(target)
    try:
        os.close(_create(temporary))
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        _target(path, force)
        temporary.replace(target)
    except OSError as error:
        if error.filename not in (None, str(temporary), os.fsencode(temporary)):
            raise  # about another file, which the caller touched meanwhile
        raise BrfkitError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")


def _create(path: Path) -> int:
    # os.open rather than tempfile: the permissions of the result follow the user's umask.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def remove_leftovers(target: Path) -> None:
    """Delete temporary files of `target` whose process was killed in the middle.

    They are those of processes of this machine that run no more, and any that is older than a day. Nothing is said
    where one cannot be deleted.
    """
    for path in target.parent.glob(f"{_prefix(target)}*{glob.escape(target.suffix)}"):
        with suppress(OSError, ValueError, OverflowError):  # also a name that only looks like ours
            if not _may_be_written(path):
                path.unlink()


def _prefix(target: Path) -> str:
    """What the temporary files of a target begin with; as short however long its name is."""
    return f".brfkit-{_digest(os.fsencode(target.name))}-"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


@lru_cache(maxsize=1)
def _machine() -> str:
    """Stands for the place where a process number means one process: one start of one kernel, one space of numbers."""
    facts = [os.fsencode(getattr(os, "uname", lambda: ("",) * 2)()[1])]
    with suppress(OSError):
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    with suppress(OSError):
        facts.append(os.fsencode(Path("/proc/self/ns/pid").readlink()))
    return _digest(b" ".join(facts))


def _may_be_written(path: Path) -> bool:
    """Whether the process that made a temporary file may still be writing it."""
    if time.time() - path.stat().st_mtime > DAY:
        return False
    machine, process = path.name.split("-")[2:4]
    if machine != _machine() or os.name != "posix":  # os.kill of another system would end the process
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    return True


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
        check_ordinary(Path(path))
        size = Path(path).stat().st_size
        if size == 0:
            raise BrfkitError(f"{path} is empty")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            if any(m.compress_type != zipfile.ZIP_STORED for m in members) or len(names) != len(members):
                raise zipfile.BadZipFile("compressed or repeated members")
            if sum(member.file_size for member in members) > size:
                raise zipfile.BadZipFile("members larger than the file")
            return {member.filename: archive.read(member) for member in members}
    except BrfkitError:
        raise
    except OSError as error:
        raise BrfkitError(f"{path} cannot be read: {_reason(error)}") from error
    except Exception as error:  # zipfile lets anything through that damaged headers provoke
        raise BrfkitError(f"{path} is damaged, cut short or of another format ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return text[:200] or type(error).__name__
