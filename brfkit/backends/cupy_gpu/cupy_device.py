"""A CUDA device through CuPy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import cupy
import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.backends.cupy_gpu.device import Array, Device, Kernel
from brfkit.backends.cupy_gpu.module import compiled
from brfkit.errors import BrfkitError

# Dynamic shared memory that every kernel may have; more must be asked for.
USUAL_SHARED_BYTES = 48 * 1024
_NULL = np.uint64(0)


class _Kernel:
    """A kernel of CuPy under the protocol of :class:`Kernel`."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._allowed = USUAL_SHARED_BYTES

    def __call__(self, blocks: int, threads: int, shared: int, *arguments: Array | int | None) -> None:
        if blocks == 0:
            return
        if shared > self._allowed:
            self._function.max_dynamic_shared_size_bytes = shared
            self._allowed = shared
        values = tuple(
            _NULL if a is None else np.int32(a) if type(a) is int else a  # a Python int would become 64 bits wide
            for a in arguments
        )
        self._function((blocks,), (threads,), values, shared_mem=shared)


def _check_libraries() -> None:
    """Refuse a CuPy that lacks the libraries that the scans need; CuPy itself would say so in the middle of a scan."""
    for what, library in (("NVRTC, the compiler of CUDA kernels", "nvrtc"), ("cuBLAS", "cublas")):
        try:
            getattr(cupy.cuda, library)
        except Exception as error:  # its class differs with CuPy's version
            reason = " ".join(str(error).split())[:300]
            raise BrfkitError(
                f"CuPy does not find {what} ({reason}); pip install 'cupy-cuda12x[ctk]' or 'cupy-cuda13x[ctk]'"
            ) from None


class CupyDevice(Device):
    """One CUDA device; work goes to CuPy's current stream.

    Args:
        name: ``cuda`` (CuPy's current device) or ``cuda:<number>``.

    Raises:
        BrfkitError: not a CUDA device, or there is none of that number.
    """

    def __init__(self, name: str = "cuda") -> None:
        kind, _, number = name.partition(":")
        if kind != "cuda" or not (number == "" or number.isdigit()):
            raise BrfkitError(f"backend cupy computes on cuda or cuda:<number>, not on {name}")
        _check_libraries()
        count = cupy.cuda.runtime.getDeviceCount()
        self.index = int(number) if number else int(cupy.cuda.runtime.getDevice())
        if self.index >= count:
            raise BrfkitError(f"device {name} does not exist; there are {count}, counted from 0")
        runtime = cupy.cuda.runtime
        self.processors = int(runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, self.index))
        self.shared_bytes = int(runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, self.index))
        self.architecture = f"sm_{cupy.cuda.Device(self.index).compute_capability}"
        self._modules: dict[str, Any] = {}
        self._kernels: dict[tuple[str, str], Kernel] = {}

    def active(self) -> AbstractContextManager[Any]:
        return cupy.cuda.Device(self.index)

    def owns(self, array: Any) -> bool:
        if not isinstance(array, cupy.ndarray):
            return False
        if array.device.id != self.index:
            raise BrfkitError(f"an array is on cuda:{array.device.id}, the backend computes on cuda:{self.index}")
        return True

    def empty(self, shape: int | Sequence[int], dtype: DTypeLike) -> Array:
        return cupy.empty(shape, dtype)

    def to_device(self, array: NDArray) -> Array:
        return cupy.asarray(array)

    def to_host(self, array: Array) -> NDArray:
        return cupy.asnumpy(array)

    def kernel(self, source: str, name: str) -> Kernel:
        key = (source, name)
        if key not in self._kernels:
            if source not in self._modules:
                self._modules[source] = cupy.RawModule(path=str(compiled(source, self.architecture)))
            self._kernels[key] = _Kernel(self._modules[source].get_function(name))
        return self._kernels[key]

    def matmul(self, a: Array, b: Array) -> Array:
        return cupy.matmul(a, b)

    def matmul_of_stacks(self, a: Array, b: Array) -> Array:
        """As the base class has it; ``cupy.matmul`` would copy the transposed stack."""
        (parts, k, m), n = a.shape, b.shape[2]
        result = cupy.empty((parts, m, n), a.dtype)
        one, zero = np.ones(1, a.dtype), np.zeros(1, a.dtype)
        cublas = cupy.cuda.cublas
        product = cublas.sgemmStridedBatched if a.dtype == np.float32 else cublas.dgemmStridedBatched
        # cuBLAS sees every matrix transposed: C^T [N, M] = B^T [N, K] (A^T)^T [K, M].
        product(
            cupy.cuda.device.get_cublas_handle(), cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_T, n, m, k,
            one.ctypes.data, b.data.ptr, n, k * n, a.data.ptr, m, k * m,
            zero.ctypes.data, result.data.ptr, n, m * n, parts,
        )  # fmt: skip
        return result
