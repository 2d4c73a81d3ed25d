"""torch tensors on a CUDA device as arrays of CuPy and back: the same memory, torch's stream, no copies.

Nothing here imports CuPy before a CUDA tensor is met.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from brfkit.backends import Backend, available_backends, get_backend


class _TorchStream:
    """A stream of torch under the protocol by which CuPy takes over foreign streams."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle


@contextmanager
def on_torch_stream(device: torch.device) -> Iterator[None]:
    """CuPy works on torch's current stream of a CUDA device; torch's own device and stream stay what they are."""
    import cupy

    handle = int(torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index):
        if handle == 0:
            stream = cupy.cuda.Stream.null
        elif hasattr(cupy.cuda.Stream, "from_external"):
            stream = cupy.cuda.Stream.from_external(_TorchStream(handle))
        else:  # before CuPy 14
            stream = cupy.cuda.ExternalStream(handle, device.index)
        with stream:
            yield


def to_cupy(tensor: Tensor) -> Any:
    """A tensor's memory as an array of CuPy, copied only where it is not contiguous."""
    import cupy

    return cupy.asarray(tensor.detach().contiguous())  # through __cuda_array_interface__


def to_torch(array: Any) -> Tensor:
    """An array of CuPy as a tensor on the same device, which keeps the memory alive."""
    return torch.from_dlpack(array)


@lru_cache(maxsize=16)
def cuda_backend(index: int) -> Backend:
    """The fused backend of a CUDA device, with the kernels that it has loaded."""
    return get_backend("cupy", device=f"cuda:{index}")


@lru_cache(maxsize=1)
def cupy_works() -> bool:
    """Whether the fused backend can be used on CUDA devices here."""
    return available_backends()["cupy"] == "ok"
