"""Negative log-likelihood of log-softmax with its gradient in one pass.

torch's cross_entropy forward and backward took a quarter of an ECG training step once the scans were fused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu.compile import compile_text
from brfkit.backends.numba_cpu.shape import fill
from brfkit.backends.threads import parallel

LANES = 16
CHUNK = 4096  # rows per piece of work

# Rows go through in groups of LANES, class by class, so that every vector holds one class of many rows.
_TEXT = '''"""Generated from brfkit/backends/numba_cpu/loss.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE


@numba.njit(nogil=True, error_model="numpy")
def nll(outputs, labels, grad, begin, end, share):
    values = np.zeros(@UNITS * @LANES, real)
    highest = np.zeros(@LANES, real)
    winner = np.zeros(@LANES, real)
    sums = np.ones(@LANES, real)
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
    return total, correct
'''


@lru_cache(maxsize=16)
def _kernel(dtype: str, classes: int) -> Callable[..., tuple[float, int]]:
    exp = "vexp" if dtype == "float32" else "vexp_libm"
    return compile_text(fill(_TEXT, dtype=dtype, lanes=LANES, exp=exp, units=classes))["nll"]


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
    kernel = _kernel(str(outputs.dtype), classes)
    share = outputs.dtype.type(1.0 / max(rows, 1))

    def chunk(index: int) -> tuple[float, int]:
        begin, end = index * CHUNK, min((index + 1) * CHUNK, rows)
        return kernel(outputs.reshape(-1), labels, grad.reshape(-1), begin, end, share)

    parts = parallel(chunk, -(-rows // CHUNK), threads)
    return float(sum(total for total, _ in parts)), grad, int(sum(correct for _, correct in parts))
