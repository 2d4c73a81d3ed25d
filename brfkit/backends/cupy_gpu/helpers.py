"""Launching the kernels of ``helpers.cu``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from brfkit.backends.cupy_gpu.device import Array, Device, Kernel
from brfkit.backends.cupy_gpu.layout import WARP, pad
from brfkit.backends.cupy_gpu.source import helper_source

THREADS = 256  # as in helpers.cu
# How much of a signal is unpacked for a product at a time: so many bytes, or this share of the gradient it meets.
UNPACKED_BYTES, UNPACKED_SHARE = 8 * 2**20, 1 / 8
# The long sum of a weight gradient is cut into up to this many products of at least this many rows, side by side: one
# product of a few hundred columns would leave most of the device idle.
PARTS, PART_ROWS = 64, 256


def blocks_of_rows(rows: int, units: int) -> int:
    """Blocks for the kernels that handle one row of ``units`` columns after the other (``place`` in helpers.cu)."""
    return -(-rows // (THREADS // min(pad(units), THREADS)))


def blocks_of(count: int) -> int:
    return -(-count // THREADS)


class Helpers:
    """The kernels around the scans, in one precision."""

    def __init__(self, device: Device, dtype: str) -> None:
        self.device, self.dtype = device, np.dtype(dtype)
        self._source = helper_source(dtype)

    def _kernel(self, name: str) -> Kernel:
        return self.device.kernel(self._source, name)

    def arrange(self, matrices: Array, shape: tuple[int, int], transpose: bool = False) -> Array:
        """Matrices [..., M, N], or their transposes, in the corners of padded ones of this shape; 0 elsewhere."""
        *leading, rows, columns = matrices.shape
        count = int(np.prod(leading))
        result = self.device.empty((*leading, *shape), self.dtype)
        self._kernel("arrange")(
            blocks_of(count * shape[0] * shape[1]), THREADS, 0, matrices, result, count, rows, columns, *shape,
            int(transpose),
        )  # fmt: skip
        return result

    def gather_events(self, indptr: Array, indices: Array, w_in: Array, bias: Array | None) -> Array:
        """Currents [T, sets * B, H] of the events of B samples; ``w_in`` is [sets, I, H]."""
        samples, steps = indptr.shape[0], indptr.shape[1] - 1
        sets, channels, units = w_in.shape
        batch = sets * samples
        currents = self.device.empty((steps, batch, units), self.dtype)
        blocks = blocks_of_rows(steps * batch, units)
        self._kernel("gather_events")(
            blocks, THREADS, 0, indptr, indices, w_in, bias, currents, steps, batch, samples, channels, units
        )
        return currents

    def gather_spikes(self, bits: Array, w_in: Array, bias: Array | None) -> Array:
        """Currents [T, sets * B, H] of spikes [T, sets * B, words]; ``w_in`` is [sets, units below, H]."""
        steps, batch, _ = bits.shape
        sets, below, units = w_in.shape
        currents = self.device.empty((steps, batch, units), self.dtype)
        blocks = blocks_of_rows(steps * batch, units)
        self._kernel("gather_spikes")(
            blocks, THREADS, 0, bits, w_in, bias, currents, np.int64(steps * batch), batch, batch // sets, below, units
        )
        return currents

    def unpack_spikes(self, bits: Array, units: int) -> Array:
        """Spikes [..., words] as 0 and 1 [..., units]."""
        shape = (*bits.shape[:-1], units)
        rows = int(np.prod(shape[:-1]))
        z = self.device.empty(shape, self.dtype)
        self._kernel("unpack_spikes")(blocks_of_rows(rows, units), THREADS, 0, bits, z, np.int64(rows), units)
        return z

    def pack_spikes(self, z: Array, bits: Array) -> None:
        """The inverse, into ``bits``; anything but 0 is a spike."""
        rows, units = z.shape
        self._kernel("pack_spikes")(blocks_of(rows * pad(units) // WARP), THREADS, 0, z, bits, rows, units)

    def spread_events(self, indptr: Array, indices: Array, first: int, last: int, channels: int) -> Array:
        """Events of the steps ``first`` … ``last`` - 1 as a dense array [last - first, B, I]."""
        batch, steps = indptr.shape[0], indptr.shape[1] - 1
        x = self.device.zeros((last - first, batch, channels), self.dtype)
        blocks = blocks_of((last - first) * batch)
        self._kernel("spread_events")(
            blocks, THREADS, 0, indptr, indices, x, first, last - first, steps, batch, channels
        )
        return x

    def count_spikes(self, counts: Array) -> Array:
        """Spikes of each sample, int64 [B], from those of every 32 units [B, words]."""
        batch, words = counts.shape
        totals = self.device.empty(batch, np.int64)
        self._kernel("count_spikes")(blocks_of(batch), THREADS, 0, counts, totals, batch, words)
        return totals

    def keep_masked(self, values: Array, mask: Array) -> Array:
        """The values, 0 where the mask of the same shape and dtype is 0."""
        kept, count = self.device.empty(values.shape, self.dtype), int(np.prod(values.shape))
        self._kernel("keep_masked")(blocks_of(count), THREADS, 0, values, mask, kept, np.int64(count))
        return kept

    def add(self, a: Array, b: Array) -> Array:
        """Sum of two arrays of one shape."""
        both = self.device.empty((2, *a.shape), self.dtype)
        both[0], both[1] = a, b
        return self.sum_rows(both)

    def sum_rows(self, matrix: Array) -> Array:
        """Sum over the first axis, in an order that depends on the shape only."""
        columns = int(np.prod(matrix.shape[1:]))
        result = self.device.empty(matrix.shape[1:], self.dtype)
        shared = THREADS * self.dtype.itemsize
        self._kernel("sum_rows")(-(-columns // WARP), THREADS, shared, matrix, result, matrix.shape[0], columns)
        return result

    def weight_gradients(
        self, targets: Sequence[tuple[Array, int]], factor: Callable[[int, int], Array], columns: int, cut: bool
    ) -> list[Array]:
        """Gradients of weight matrices that have the same presynaptic signal.

        Args:
            targets: gradients of the postsynaptic currents [T, B, H], each with the shift of the signal in time.
            factor: makes the signal of the steps first … last - 1, [last - first, B, columns].
            columns: presynaptic units or channels.
            cut: whether the signal is made piece by piece.

        Returns:
            For each target the sum over steps and samples of x_bar[t, b, h] signal[t + shift, b, j], [H, columns].
        """
        steps, batch = targets[0][0].shape[:2]
        shifts = [shift for _, shift in targets]
        allowed = max(UNPACKED_BYTES, int(UNPACKED_SHARE * targets[0][0].nbytes))
        pieces = -(-steps * batch * columns * self.dtype.itemsize // allowed) if cut else 1
        size = max(-(-steps // max(pieces, 1)), 1)
        sums: list[list[Array]] = [[] for _ in targets]
        for first in range(0, steps if batch else 0, size):
            last = min(first + size, steps)
            signal = factor(first + min(shifts), last + max(shifts))
            for found, (x_bar, shift) in zip(sums, targets, strict=True):
                offset = shift - min(shifts)
                found += self._products(x_bar[first:last], signal[offset : offset + last - first])
        return [self._total(s, (x_bar.shape[2], columns)) for s, (x_bar, _) in zip(sums, targets, strict=True)]

    def _products(self, x_bar: Array, signal: Array) -> list[Array]:
        """Gradients [H, J] whose sum is that of the steps of one piece."""
        steps, batch, units = x_bar.shape
        each = steps // _parts(steps, batch)
        sums = []
        for first, last in ((0, steps // each * each), (steps // each * each, steps)):
            if last > first:
                count = max((last - first) // each, 1)
                a = x_bar[first:last].reshape(count, -1, units)
                b = signal[first:last].reshape(count, -1, signal.shape[2])
                stack = self.device.matmul_of_stacks(a, b)
                sums.append(self.sum_rows(stack) if count > 1 else stack[0])
        return sums

    def _total(self, sums: list[Array], shape: tuple[int, int]) -> Array:
        if len(sums) == 1:
            return sums[0]
        joined = self.device.zeros((max(len(sums), 1), *shape), self.dtype)
        for i, value in enumerate(sums):
            joined[i] = value
        return self.sum_rows(joined)


@lru_cache(maxsize=64)
def _parts(steps: int, batch: int) -> int:
    """Into how many products the sum over some steps is cut; a divisor of the steps where one comes near."""
    most = int(min(max(steps * batch // PART_ROWS, 1), PARTS, steps))
    divisor = max(n for n in range(1, most + 1) if steps % n == 0)
    return divisor if 2 * divisor > most else most
