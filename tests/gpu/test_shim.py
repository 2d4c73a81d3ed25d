"""The shim itself: it must notice what it is there to notice."""

from __future__ import annotations

import numpy as np
import pytest

from . import shim_device
from .shim_device import DeviceArray, ShimDevice

pytestmark = pytest.mark.skipif(shim_device.missing() is not None, reason=str(shim_device.missing()))

HEAD = 'extern "C" __global__ void f(float* a, int n) {\n    const int i = threadIdx.x;\n'
SHARED = (
    "    extern __shared__ __align__(16) unsigned char shared[];\n    float* s = reinterpret_cast<float*>(shared);\n"
)


def run(body: str, threads: int = 64, order: str = "ascending", shared: int = 256, blocks: int = 2) -> np.ndarray:
    device = ShimDevice(order=order)
    with device.active():
        a = device.to_device(np.arange(blocks * threads, dtype=np.float32))
        device.kernel(HEAD + SHARED + body + "}\n", "f")(blocks, threads, shared, a, threads)
        return np.asarray(a).copy()


NEIGHBOUR = "    s[i] = a[blockIdx.x * n + i];\n{barrier}    a[blockIdx.x * n + i] = s[(i + 1) % n];\n"
ROLLED = np.roll(np.arange(128, dtype=np.float32).reshape(2, 64), -1, 1).reshape(-1)


@pytest.mark.parametrize("order", shim_device.ORDERS)
def test_barriers(order):
    np.testing.assert_array_equal(run(NEIGHBOUR.format(barrier="    __syncthreads();\n"), order=order), ROLLED)


def test_a_missing_barrier_is_seen():
    found = [run(NEIGHBOUR.format(barrier=""), order=order) for order in shim_device.ORDERS]
    assert all(not np.array_equal(f, ROLLED) for f in found)
    assert np.isnan(found[0]).any(), "shared memory that nothing was written to must be NaN"


def test_a_barrier_that_some_threads_miss_is_seen():
    with pytest.raises(AssertionError, match="code 2"):
        run("    if (i < 32) __syncthreads();\n    __syncthreads();\n")


def test_too_little_shared_memory_is_seen():
    with pytest.raises(AssertionError, match="code 3"):
        run("    s[i] = 1.0f;\n", shared=128)


@pytest.mark.parametrize("place", ["-1", "2 * n"])
def test_writing_outside_an_array_is_seen(place):
    with pytest.raises(AssertionError, match=r"written (before|behind) an array"):
        run(f"    if (i == 0) a[{place}] = 1.0f;\n")


@pytest.mark.parametrize("order", shim_device.ORDERS)
def test_ballots_are_per_warp(order):
    found = run("    a[blockIdx.x * n + i] = __popc(__ballot_sync(0xffffffffu, i >= 32 || i % 4 == 0));\n", order=order)
    np.testing.assert_array_equal(found.reshape(2, 2, 32)[0], [[8] * 32, [32] * 32])


def test_arguments_are_counted_and_arrays_kept_apart():
    device = ShimDevice()
    with device.active():
        kernel = device.kernel(HEAD + "}\n", "f")
        with pytest.raises(AssertionError, match="takes 2 arguments, not 1"):
            kernel(1, 32, 0, device.empty(3, "float32"))
        with pytest.raises(AssertionError, match="an array of NumPy reached the device"):
            kernel(1, 32, 0, np.zeros(3, np.float32), 1)
        there = device.zeros(3, "float32")
        with pytest.raises(TypeError, match="arithmetic with an array of the device"):
            there + there
        with pytest.raises(TypeError, match="meets one of NumPy"):
            there[:] = np.ones(3, np.float32)
        assert isinstance(there[1:], DeviceArray)
    with pytest.raises(AssertionError, match="not the current one"):
        device.empty(3, "float32")
