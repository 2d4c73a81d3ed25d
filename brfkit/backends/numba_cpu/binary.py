"""Finds out whether a dense input is zeros and few ones, and packs it into bits then, as spikes are kept.

Rows of W_in are gathered for the ones alone, which for sparse input takes a fraction of a product's time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu.compile import Kernel, compile_native
from brfkit.backends.numba_cpu.native.driver import drive
from brfkit.backends.numba_cpu.native.types import INT64, NUMBERS, UINT64, Array, Type
from brfkit.backends.numba_cpu.shape import fill
from brfkit.backends.numba_cpu.table import Block, Table

LANES = 16
MOST_ONES = 0.25  # share of ones up to which gathering is faster than a product
_SAMPLE = 512  # numbers looked at first

# Numbers are 0 or 1 where taking off what greater() says leaves neither more nor less than 0, and are no NaN.
_TEXT = '''"""Generated from brfkit/backends/numba_cpu/binary.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE
WORDS = @WORDS
TILE = @TILE


@numba.njit(nogil=True, error_model="numpy")
def pack(x, bits, ones, tile, first, count, batch, steps, inputs):
    half = simd.broadcast(real(0.5), @LANES)
    one = simd.broadcast(real(1.0), @LANES)
    zero = simd.broadcast(real(0.0), @LANES)
    minus = simd.broadcast(real(-1.0), @LANES)
    every = (np.uint64(1) << np.uint64(@LANES)) - np.uint64(1)
    total = 0
    t = 0
    wrong = np.uint64(0)
    while t < steps and wrong == 0:
        for i in range(TILE * WORDS):
            simd.put(bits, (t + 1) * TILE * WORDS + i, np.uint64(0))
        for s in range(count):
            row = (t * batch + first + s) * inputs
            place = ((t + 1) * TILE + s) * WORDS
            for i in range(0, inputs - @LANES + 1, @LANES):
                value = simd.load(x, row + i, @LANES)
                above = simd.greater(value, half)
                rest = value - simd.select(above, one, zero)
                wrong |= simd.bits(simd.greater(rest, zero)) | simd.bits(simd.greater(zero, rest))
                wrong |= simd.bits(simd.greater(simd.vabs(value), minus)) ^ every
                found = simd.bits(above)
                w = place + (i >> 6)
                simd.put(bits, w, simd.get(bits, w) | found << np.uint64(i & 63))
                total += simd.popcount(found)
            for i in range(inputs // @LANES * @LANES, inputs):
                if x[row + i] == real(1.0):
                    w = place + (i >> 6)
                    simd.put(bits, w, simd.get(bits, w) | np.uint64(1) << np.uint64(i & 63))
                    total += 1
                else:
                    wrong |= np.uint64(x[row + i] != real(0.0))
        t += 1
    ones[tile] = total if wrong == 0 else -1
'''


@lru_cache(maxsize=32)
def _kernel(dtype: str, words: int, tile: int) -> Kernel:
    types: dict[str, Type] = {"x": Array(NUMBERS[dtype]), "bits": Array(UINT64), "ones": Array(INT64)}
    return compile_native(fill(_TEXT, dtype=dtype, lanes=LANES, words=words, tile=tile), "pack", types)


def pack_binary(x: NDArray, tile: int, threads: int) -> Block | None:
    """Bits of a dense input [T, B, I], contiguous, in tiles of ``tile`` samples: [time + 1][sample][word] each, the
    first step empty. None where a number is neither 0 nor 1, or too many are 1."""
    steps, batch, inputs = x.shape
    flat = x.reshape(-1)
    sample = flat[:: max(flat.size // _SAMPLE, 1)]
    if flat.size == 0 or not ((sample == 0) | (sample == 1)).all():
        return None
    words, tiles = -(-inputs // 64), -(-batch // tile)
    bits = Block(tiles, (steps + 1) * tile * words, np.uint64)
    ones = np.zeros(tiles, np.int64)
    table = Table(_kernel(str(x.dtype), words, tile), tiles)
    table.arrays({"x": x, "ones": ones})
    table.each("bits", bits)
    table.numbers({"batch": batch, "steps": steps, "inputs": inputs})
    first = np.arange(tiles) * tile
    table.finish({"tile": np.arange(tiles), "first": first, "count": np.minimum(batch - first, tile)})
    drive(np.arange(tiles + 1), table.calls.reshape(-1, 2), threads)
    return bits if ones.min() >= 0 and ones.sum() <= MOST_ONES * flat.size else None
