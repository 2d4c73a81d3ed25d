"""The CUDA backend in two forms: its sources on the CPU through the shim, and on a CUDA device where there is one."""

from __future__ import annotations

from functools import lru_cache

import pytest

from brfkit.backends import available_backends, get_backend
from brfkit.backends.base import Backend

from . import shim_device


@lru_cache(maxsize=1)
def _device_problem() -> str:
    return available_backends()["cupy"]


def make_backend(kind: str) -> Backend:
    """``shim`` or ``cuda``; skips the test where it cannot run."""
    if kind == "shim":
        if problem := shim_device.missing():
            pytest.skip(problem)
        return shim_device.ShimBackend()
    if _device_problem() != "ok":
        pytest.skip(_device_problem())
    return get_backend("cupy")


@pytest.fixture(params=["shim", "cuda"] if _device_problem() == "ok" else ["shim"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return make_backend(request.param)


@pytest.fixture
def shim() -> type[shim_device.ShimBackend]:
    if problem := shim_device.missing():
        pytest.skip(problem)
    return shim_device.ShimBackend
