"""How arrays lie in memory for the numba kernels: vector width, padding, tiles, segments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bytes of recomputed states and gradients of one segment that should stay in the second-level cache.
SEGMENT_BYTES = 256 * 1024
ALIGNMENT = 64  # bytes
BLOCKS = (8, 7, 6, 5, 4, 3, 2, 1)


@lru_cache(maxsize=1)
def vector_bytes() -> int:
    """Width of the processor's vector registers."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32


def buffer(count: int, dtype: Any, *, zeros: bool = False) -> NDArray:
    """A flat array that starts at a multiple of 64 bytes, so that no vector lies across two lines of the cache."""
    item = np.dtype(dtype).itemsize
    whole = (np.zeros if zeros else np.empty)(count + ALIGNMENT // item, dtype)
    start = -(whole.ctypes.data // item) % (ALIGNMENT // item)
    return whole[start : start + count]


@dataclass(frozen=True)
class Layout:
    """Padding of the units of one layer.

    Attributes:
        units: number of neurons H.
        lanes: numbers per vector.
        width: H padded to whole blocks of vectors.
        block: vectors whose sums are gathered together.
        columns: vectors per row of the matrix kernel.
        words: 64-bit words that hold the spikes of a sample at a step.
    """

    units: int
    lanes: int
    width: int
    block: int
    columns: int
    words: int

    @property
    def vectors(self) -> int:
        """Vectors per row."""
        return self.width // self.lanes

    @staticmethod
    def of(units: int, dtype: np.dtype) -> Layout:
        lanes = vector_bytes() // dtype.itemsize
        while lanes > 4 and units <= lanes // 2:
            lanes //= 2
        vectors = -(-units // lanes)
        if vectors > BLOCKS[0]:
            vectors = -(-vectors // 4) * 4
        block = next(b for b in BLOCKS if vectors % b == 0)
        columns = next(c for c in (2, 3, 1) if vectors % c == 0)
        width = vectors * lanes
        return Layout(units, lanes, width, block, columns, -(-width // 64))

    def rows(self, matrix: NDArray, spare: int = 0) -> NDArray:
        """A matrix (R, H) as flat padded rows [R][width], and `spare` rows of zeros."""
        flat = buffer((matrix.shape[0] + spare) * self.width, matrix.dtype, zeros=True)
        flat.reshape(-1, self.width)[: matrix.shape[0], : self.units] = matrix
        return flat

    def row(self, vector: NDArray) -> NDArray:
        return self.rows(vector[None])

    def unpack_rows(self, flat: NDArray) -> NDArray:
        """The inverse of :meth:`rows`: (R, H)."""
        return flat.reshape(-1, self.width)[:, : self.units]

    def pack_bits(self, z: NDArray) -> NDArray[np.uint64]:
        """Spikes (R, H) as words [R][words]."""
        padded = np.zeros((z.shape[0], self.words * 64), np.uint8)
        padded[:, : self.units] = z != 0
        return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)

    def unpack_bits(self, words: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """The inverse of :meth:`pack_bits`."""
        flat = np.ascontiguousarray(words).view(np.uint8).reshape(-1, self.words * 8)
        return np.unpackbits(flat, axis=1, bitorder="little")[:, : self.units]


def tile_size(batch: int) -> int:
    """Samples per tile. It depends on the batch only, so that the number of threads never changes a result."""
    return 8 if batch > 8 else 4 if batch > 2 else 2


def segment_length(steps: int, tile: int, width: int, states: int, dtype: Any) -> int:
    """Steps per segment of the backward scan."""
    per_step = tile * width * (states + 1) * np.dtype(dtype).itemsize
    return int(max(min(max(SEGMENT_BYTES // per_step, 4), 32, steps), 1))
