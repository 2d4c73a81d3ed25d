"""One process at a time: a lock file that the operating system lets go of when its process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brfkit.errors import BrfkitError


@contextmanager
def exclusive(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path`, which is made for it and removed at the end.

    A system or file system without such locks (Windows, some network file systems) holds nothing.

    Args:
        path: of the lock file; its folder exists.
        busy: message of the error where another process holds the lock.

    Raises:
        BrfkitError: another process holds the lock, or the file cannot be made.
    """
    descriptor = _locked(path, busy)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()  # before it is let go of, so that nobody locks a file that is about to vanish
            os.close(descriptor)


def _locked(path: Path, busy: str) -> int | None:
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise BrfkitError(f"{path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise BrfkitError(busy) from None
        except FileNotFoundError:
            pass  # removed by its last holder after it was opened here
        except OSError:
            os.close(descriptor)
            return None
        os.close(descriptor)
