"""Compiled code on disk, for the next start.

What is read from here is executed, so a folder or file that another user could have written is refused, and nothing is
handed out whose checksum does not agree: a file that is empty, cut short or has a flipped bit is deleted and compiled
anew. A cache that cannot be written is done without. The section "Kernel cache" of docs/architecture.md has the rules.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from brfkit.errors import BrfkitError
from brfkit.io.atomic import atomic_path
from brfkit.io.paths import cache_dir

log = logging.getLogger(__name__)

MAGIC = b"brfkit compiled code 1\n"
DIGEST = hashlib.sha256().digest_size
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CodeCache:
    """Entries of bytes in one folder below the cache folder, which is made for the user alone (mode 700).

    Args:
        name: of the folder.
        suffix: of its files.
    """

    def __init__(self, name: str, suffix: str) -> None:
        self._name, self._suffix = name, suffix

    @property
    def folder(self) -> Path:
        return cache_dir() / self._name

    def key(self, title: str, parts: Iterable[str | bytes]) -> str:
        """The name of an entry: ``title`` and a digest of everything that its content depends on."""
        digest = hashlib.sha256()
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8, "little") + data)
        return f"{title}-{digest.hexdigest()[:40]}"

    def read(self, key: str) -> bytes | None:
        """The content of an entry; None where there is none, or none that can be trusted."""
        path = self._path(key)
        try:
            if not path.parent.exists() or not self._is_safe():
                return None
            content = _read_own(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.debug("%s cannot be read: %s", path, error)
            return None
        if content is None:
            self.discard(key, "it is refused")
            return None
        payload = content[len(MAGIC) + DIGEST :]
        if content[: len(MAGIC) + DIGEST] != MAGIC + _checksum(key, payload):
            self.discard(key, "it is damaged")
            return None
        return payload

    def write(self, key: str, payload: bytes) -> None:
        """Keep an entry. A folder that cannot be written costs one warning, not an error."""
        path = self._path(key)
        try:
            path.parent.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.parent.mkdir(mode=0o700)
            if not self._is_safe():
                return
            with atomic_path(path, force=True) as temporary:
                temporary.chmod(0o600)  # whatever the umask is: a file that others can write is not read again
                temporary.write_bytes(MAGIC + _checksum(key, payload) + payload)
        except (OSError, BrfkitError) as error:
            reason = _short(error.__cause__ or error)
            warn_once(f"compiled code cannot be kept in {path.parent} and is made anew at every start: {reason}")

    def discard(self, key: str, reason: str) -> None:
        """Delete an entry that cannot be used."""
        path = self._path(key)
        log.debug("%s is deleted and compiled anew: %s", path, reason)
        with suppress(OSError):
            path.unlink()

    def problem(self) -> str | None:
        """Why what lies in the folder is not used; None where it is, or where there is no folder yet."""
        try:
            return _written_by_others(self.folder.stat())
        except FileNotFoundError:
            return None
        except OSError as error:
            return _short(error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{self._suffix}"

    def _is_safe(self) -> bool:
        problem = _written_by_others(self.folder.stat())
        if problem:
            warn_once(f"the cache folder {self.folder} {problem}: it is not used, code is compiled anew at every start")
        return not problem


def _read_own(path: Path) -> bytes | None:
    """Content of an ordinary file that no other user can have written, checked once it is open; None if it is not."""
    if path.is_symlink():
        return None
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))  # not every system has them
    descriptor = os.open(path, os.O_RDONLY | sum(flags))
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        problem = _written_by_others(status) if stat.S_ISREG(status.st_mode) else "is not an ordinary file"
        if problem:
            warn_once(f"{path} {problem}: it is not used, the code is compiled anew")
            return None
        return stream.read()


def _written_by_others(status: os.stat_result) -> str | None:
    """Why someone but this user (or root, who can write anything) may have written what has this status."""
    if not hasattr(os, "geteuid"):  # the access rights of Windows are not in here
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return "belongs to another user"
    return "can be written by other users (chmod go-w)" if status.st_mode & OTHERS_WRITE else None


def _checksum(key: str, payload: bytes) -> bytes:
    """Covers the key too, so that a file that was renamed is not taken for another."""
    return hashlib.sha256(key.encode() + b"\n" + payload).digest()


def _short(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:300]


# Compiled kernels of the numba backend, and machine code of the CUDA backend.
KERNELS = CodeCache("kernels", ".kernel")
CUBINS = CodeCache("cuda", ".cubin")


@lru_cache(maxsize=64)
def warn_once(text: str) -> None:
    log.warning("%s", text)
