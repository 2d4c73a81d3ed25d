"""What the tests of layers share: the same seed, and the backends behind one bridge."""

from __future__ import annotations

import pytest
import torch

from brfkit.nn import function
from tests.gpu import shim_device


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=["numba", "torch", "shim"])
def backend(request, monkeypatch) -> str:
    """The backend that layers compute with: fused on the CPU, eager, and the CUDA sources on the CPU."""
    if request.param != "shim":
        return request.param
    if problem := shim_device.missing():
        pytest.skip(problem)
    shim = shim_device.ShimBackend()
    monkeypatch.setattr(function, "choose", lambda *_: shim)
    return "numba"
