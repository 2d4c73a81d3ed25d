"""Negative log-likelihood of log-softmax with its gradient in one pass.

torch's cross_entropy forward and backward took a quarter of an ECG training step once the scans were fused.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu.compile import Kernel, compile_native
from brfkit.backends.numba_cpu.native.driver import drive
from brfkit.backends.numba_cpu.native.types import FLOAT64, INT64, NUMBERS, Array, Type
from brfkit.backends.numba_cpu.shape import fill
from brfkit.backends.numba_cpu.table import Table

LANES = 16
CHUNK = 4096  # rows per piece of work

# Rows go through in groups of LANES, class by class, so that every vector holds one class of many rows.
_TEXT = '''"""Generated from brfkit/backends/numba_cpu/loss.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE


@numba.njit(nogil=True, error_model="numpy")
def nll(outputs, labels, grad, totals, part, begin, end, share):
    values = np.zeros(@UNITS * @LANES, real)
    highest = np.zeros(@LANES, real)
    winner = np.zeros(@LANES, real)
    sums = np.full(@LANES, real(1.0), real)
    total = 0.0
    correct = 0
    for first in range(begin, end, @LANES):
        count = min(@LANES, end - first)
        for lane in range(count):
            for o in range(@UNITS):
                values[o * @LANES + lane] = outputs[(first + lane) * @UNITS + o]
        top = simd.load(values, 0, @LANES)
        best = simd.broadcast(real(0.0), @LANES)
        for o in range(1, @UNITS):
            value = simd.load(values, o * @LANES, @LANES)
            above = simd.greater(value, top)
            top = simd.select(above, value, top)
            best = simd.select(above, simd.broadcast(real(o), @LANES), best)
        summed = simd.broadcast(real(0.0), @LANES)
        for o in range(@UNITS):
            value = simd.@EXP(simd.load(values, o * @LANES, @LANES) - top)
            simd.store(values, o * @LANES, value)
            summed = summed + value
        inverse = simd.broadcast(share, @LANES) / summed
        for o in range(@UNITS):
            simd.store(values, o * @LANES, simd.load(values, o * @LANES, @LANES) * inverse)
        simd.store(highest, 0, top)
        simd.store(winner, 0, best)
        simd.store(sums, 0, summed)
        product = 1.0
        for lane in range(count):
            row = (first + lane) * @UNITS
            label = labels[first + lane]
            total -= outputs[row + label] - highest[lane]
            correct += winner[lane] == label
            product *= sums[lane]
            for o in range(@UNITS):
                grad[row + o] = values[o * @LANES + lane]
            grad[row + label] -= share
        total += np.log(product)
    totals[2 * part] = total
    totals[2 * part + 1] = np.float64(correct)
'''


@lru_cache(maxsize=16)
def _kernel(dtype: str, classes: int) -> Kernel:
    exp = "vexp" if dtype == "float32" else "vexp_libm"
    real = NUMBERS[dtype]
    types: dict[str, Type] = {
        "outputs": Array(real),
        "grad": Array(real),
        "labels": Array(INT64),
        "totals": Array(FLOAT64),
        "share": real,
    }
    return compile_native(fill(_TEXT, dtype=dtype, lanes=LANES, exp=exp, units=classes), "nll", types)


def nll(outputs: NDArray, labels: NDArray[np.int64], threads: int = 1) -> tuple[float, NDArray, int]:
    """Sum of the losses, the gradient of their mean, and the number of rows whose largest output is the label's.

    Args:
        outputs: [R, O], contiguous, float32 or float64.
        labels: [R], in ``range(O)``.
        threads: CPU threads; the result does not depend on them.
    """
    rows, classes = outputs.shape
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError("a label lies outside the classes")
    grad = np.empty_like(outputs)
    parts = -(-rows // CHUNK)
    totals = np.zeros((parts, 2))
    table = Table(_kernel(str(outputs.dtype), classes), parts)
    table.arrays({"outputs": outputs, "labels": labels, "grad": grad, "totals": totals})
    share = np.float64(outputs.dtype.type(1.0 / max(rows, 1)))
    table.numbers({"share": int(share.view(np.int64))})
    begin = np.arange(parts) * CHUNK
    table.finish({"part": np.arange(parts), "begin": begin, "end": np.minimum(begin + CHUNK, rows)})
    drive(np.arange(parts + 1), table.calls.reshape(-1, 2), threads)
    total, correct = totals.sum(0) if parts else (0.0, 0.0)
    return float(total), grad, int(correct)
