"""The vector exponential of the numba kernels against double precision."""

from __future__ import annotations

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd


@numba.njit(error_model="numpy")
def exponential(x, out):
    for i in range(0, len(x), 8):
        simd.store(out, i, simd.vexp(simd.load(x, i, 8)))


def vexp(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    exponential(x, out)
    return out


def test_error_of_the_float32_exponential():
    """Half a unit in the last place is 6e-8; the bound of the docstring is 2e-7."""
    x = np.linspace(-87.3, 88.7, 400_000, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.abs(vexp(x) / exact - 1).max() < 2e-7


def test_ends_of_the_float32_exponential():
    x = np.array([0, -1e30, -np.inf, -88, 1e30, np.nan, -0.0, 88.7], np.float32)
    got = vexp(x)
    assert got[0] == got[6] == 1
    assert (got[1:4] < 1.3e-38).all()
    assert (got[1:4] >= 0).all()
    assert got[4] > 3e38
    assert np.isnan(got[5])
