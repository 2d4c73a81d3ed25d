"""Writing HDF5 files where the disk may be full, which would otherwise end the process inside the HDF5 library."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.io.atomic import PathLike, atomic_path

if TYPE_CHECKING:
    import h5py


class DiskFile(io.RawIOBase):
    """A file for the HDF5 library that never fails: from the first write on that the disk refuses, what is written is
    kept in memory, and :meth:`check` says so. The library is then closed in peace, and the file thrown away.

    Attributes:
        error: the first refusal, or None.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._at = 0
        self._size = 0
        self._kept: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the first refusal, if there was one."""
        if self.error is not None:
            raise self.error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def write(self, data: Any) -> int:
        content = memoryview(data).cast("B")
        done = 0
        if self.error is None:
            try:
                os.lseek(self._file, self._at, os.SEEK_SET)
                while done < len(content):
                    done += os.write(self._file, content[done:])
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._at + done, bytes(content[done:])))
        self._at += len(content)
        self._size = max(self._size, self._at)
        return len(content)

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        count = max(min(len(target), self._size - self._at), 0)
        target[:count] = bytes(count)
        os.lseek(self._file, self._at, os.SEEK_SET)
        done = 0
        while done < count and (part := os.read(self._file, count - done)):
            target[done : done + len(part)] = part
            done += len(part)
        for begin, data in self._kept:
            first, last = max(begin, self._at), min(begin + len(data), self._at + count)
            if first < last:
                target[first - self._at : last - self._at] = data[first - begin : last - begin]
        self._at += count
        return count

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._file, self._size)
            except OSError as error:
                self.error = error
        return self._size

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


@contextmanager
def written_hdf5(path: PathLike, force: bool = False, **options: Any) -> Iterator[tuple[h5py.File, DiskFile]]:
    """A new HDF5 file for writing, which appears under `path` whole or not at all.

    Args:
        path: the file.
        force: whether a file that is there may be overwritten.
        options: further arguments of ``h5py.File``.

    Yields:
        The open file, and what it is written through: long work asks its ``check()`` between portions.

    Raises:
        BrfkitError: see :func:`brfkit.io.atomic.atomic_path`; also where the disk is full.
    """
    import h5py

    with atomic_path(path, force) as temporary, DiskFile(temporary) as disk:
        with h5py.File(disk, "w", **options) as file:
            yield file, disk
        disk.check()
