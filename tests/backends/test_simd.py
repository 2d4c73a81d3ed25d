"""What the numba kernels are made of: the exponential against double precision, bits, denormals, alignment."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.numba_cpu import simd
from brfkit.backends.numba_cpu.layout import ALIGNMENT, buffer
from brfkit.network import recurrent_network


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


@numba.njit(error_model="numpy")
def less_one(x, out, out_libm):
    for i in range(0, len(x), 8):
        simd.store(out, i, simd.vexpm1(simd.load(x, i, 8)))
        simd.store(out_libm, i, simd.vexpm1_libm(simd.load(x, i, 8)))


def test_error_of_expm1():
    """Relative to exp(x) - 1, which is tiny near 0: rounding of r, of the polynomial and of the sum make 2e-7."""
    near = np.geomspace(1e-30, 88.0, 100_000)
    x = np.concatenate([near, -near[near < 87.3], np.linspace(-2, 2, 100_002)]).astype(np.float32)
    x = x[: len(x) // 8 * 8]
    got, by_library = np.empty_like(x), np.empty_like(x)
    less_one(x, got, by_library)
    exact = np.expm1(x.astype(np.float64))
    assert (exact != 0).all()
    for values, bound in ((got, 2e-7), (by_library, 1.2e-7)):
        assert np.abs(values / exact - 1).max() < bound


def test_ends_of_expm1():
    x = np.array([0, -0.0, -1e30, -np.inf, -20, np.nan, 1e30, 88], np.float32)
    got = np.empty_like(x)
    less_one(x, got, np.empty_like(x))
    assert (got[:2] == 0).all()
    np.testing.assert_array_equal(got[2:5], np.float32(-1))
    assert np.isnan(got[5])
    assert (got[6:] > 1e38).all()


@numba.njit(error_model="numpy")
def places(bits):
    return [simd.count_trailing_zeros(b) for b in bits]


def test_lowest_bit():
    """A word without spikes gives 64, which kernels count on when they gather spikes of several samples together."""
    bits = np.array([1, 2, 12, 1 << 63, 0], np.uint64)
    assert list(places(bits)) == [0, 1, 2, 63, 64]


@numba.njit(error_model="numpy")
def halved(x, out):
    before = simd.flush_denormals()
    for i in range(0, len(x), 8):
        simd.store(out, i, simd.load(x, i, 8) * simd.broadcast(np.float32(0.5), 8))
    simd.restore_denormals(before)


@pytest.mark.skipif(not simd.X86, reason="denormals are left as they are on this processor")
def test_denormals_are_flushed_for_the_time_of_a_kernel():
    x = np.full(8, np.finfo(np.float32).tiny, np.float32)
    out = np.ones(8, np.float32)
    halved(x, out)
    assert (out == 0).all()
    assert (x * np.float32(0.5) > 0).all()  # NumPy in the same thread computes as before


def test_kernels_leave_the_thread_as_it_was():
    network = recurrent_network(2, [5], 3)
    backend = get_backend("numba", threads=1)
    trace = backend.scan(network, network.initialise(0), np.ones((4, 3, 2), np.float32), differentiate=True)
    backend.scan_vjp(trace, np.ones_like(trace.outputs))
    assert np.full(8, np.finfo(np.float32).tiny, np.float32)[0] * np.float32(0.5) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 7, 16, 1000])
def test_buffers_start_at_lines_of_the_cache(count, dtype):
    made = [buffer(count, dtype, zeros=zeros) for zeros in (False, True)]
    for array in made:
        assert array.ctypes.data % ALIGNMENT == 0
        assert (array.size, array.dtype) == (count, dtype)
    assert not made[1].any()
