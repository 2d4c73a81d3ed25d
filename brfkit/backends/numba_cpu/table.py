"""Arrays of all tiles, and tables of the arguments with which kernels are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu.compile import Kernel
from brfkit.backends.numba_cpu.layout import ALIGNMENT, buffer


def address(array: NDArray) -> int:
    """Where an array begins in memory."""
    found: int = array.__array_interface__["data"][0]
    return found


class Block:
    """An array of ``size`` numbers for each of ``count`` tiles, every one of which starts at a multiple of 64 bytes.

    Attributes:
        rows: [count, size].
        stride: bytes from one to the next.
    """

    def __init__(self, count: int, size: int, dtype: Any, *, zeros: bool = False) -> None:
        item = np.dtype(dtype).itemsize
        padded = -(-max(size, 1) * item // ALIGNMENT) * ALIGNMENT // item
        self._flat = buffer(count * padded, dtype, zeros=zeros)
        self.stride = padded * item
        self.rows: NDArray = self._flat.reshape(count, padded)[:, :size]

    @property
    def address(self) -> int:
        return address(self._flat)


class Table:
    """The arguments of a kernel for all tiles, [tiles, slots].

    Args:
        kernel: which.
        tiles: how many.
    """

    def __init__(self, kernel: Kernel, tiles: int) -> None:
        self.kernel = kernel
        self._row = [0] * kernel.width
        self._steps = [0] * kernel.width
        self._tiles = tiles
        self._kept: list[object] = []  # arrays must outlive the calls
        self.values: NDArray[np.int64] = np.empty((0, 0), np.int64)

    def numbers(self, values: Mapping[str, int]) -> None:
        """Integers that are the same for all tiles."""
        slots, row = self.kernel.slots, self._row
        for name, value in values.items():
            row[slots[name]] = value

    def arrays(self, values: Mapping[str, NDArray]) -> None:
        """Arrays that are the same for all tiles."""
        slots, row = self.kernel.slots, self._row
        for name, value in values.items():
            row[slots[name]] = address(value)
        self._kept.append(values)

    def each(self, name: str, block: Block) -> None:
        """An array for each tile."""
        slot = self.kernel.slots[name]
        self._row[slot], self._steps[slot] = block.address, block.stride
        self._kept.append(block)

    def own(self, name: str, block: Block) -> None:
        """An array for each thread."""
        slot = self.kernel.slots[name]
        self._row[slot], self._row[slot + 1] = block.address, block.stride
        self._kept.append(block)

    def finish(self, columns: Mapping[str, NDArray[np.int64]]) -> None:
        """Fill the table in; ``columns`` are numbers that differ from tile to tile."""
        row, steps = np.array(self._row, np.int64), np.array(self._steps, np.int64)
        self.values = row + np.arange(self._tiles)[:, None] * steps
        for name, column in columns.items():
            self.values[:, self.kernel.slots[name]] = column

    @property
    def calls(self) -> NDArray[np.int64]:
        """Addresses of the function and of the table of each tile, [tiles, 2]."""
        found = np.empty((self._tiles, 2), np.int64)
        found[:, 0] = self.kernel.address
        found[:, 1] = address(self.values) + np.arange(self._tiles) * self.values.strides[0]
        return found
