"""The few operations that the host code needs of a device, so that it runs on CuPy and, in the tests, on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

# An array in the memory of the device. It has NumPy's attributes and methods: shape, dtype, reshape, slices, T, fill.
Array = Any


class Kernel(Protocol):
    """A compiled kernel on a device."""

    def __call__(self, blocks: int, threads: int, shared: int, *arguments: Array | int | None) -> None:
        """Launch on the current stream.

        Args:
            blocks, threads: one-dimensional; 0 blocks launch nothing.
            shared: bytes of dynamic shared memory.
            arguments: arrays become pointers, None a null pointer; a Python int is a C ``int``, ``np.int64`` a
                ``long long``.
        """


class Device(ABC):
    """Memory, kernels and matrix products of one device.

    Attributes:
        processors: multiprocessors.
        shared_bytes: dynamic shared memory that a block may have.
    """

    processors: int
    shared_bytes: int

    @abstractmethod
    def active(self) -> AbstractContextManager[Any]:
        """Makes this device the current one, and restores what was before. Its current stream stays what it is."""

    @abstractmethod
    def owns(self, array: Any) -> bool:
        """Whether this is an array of the device rather than of NumPy; one of another device is an error."""

    @abstractmethod
    def empty(self, shape: int | Sequence[int], dtype: DTypeLike) -> Array: ...

    @abstractmethod
    def to_device(self, array: NDArray) -> Array: ...

    @abstractmethod
    def to_host(self, array: Array) -> NDArray: ...

    @abstractmethod
    def kernel(self, source: str, name: str) -> Kernel:
        """A kernel of a source text, compiled once."""

    @abstractmethod
    def matmul(self, a: Array, b: Array) -> Array:
        """Product of two matrices, in the arrays' own precision."""

    @abstractmethod
    def matmul_of_stacks(self, a: Array, b: Array) -> Array:
        """The products a[p]ᵀ b[p] [P, M, N] of contiguous stacks [P, K, M] and [P, K, N], K, M, N at least 1."""

    def zeros(self, shape: int | Sequence[int], dtype: DTypeLike) -> Array:
        array = self.empty(shape, dtype)
        array.fill(0)
        return array

    def put(self, array: Any, dtype: DTypeLike) -> Array:
        """An array of NumPy or of the device as a contiguous device array of this dtype, shared where it can be."""
        if self.owns(array):
            return array.astype(dtype, order="C", copy=False)
        return self.to_device(np.ascontiguousarray(array, dtype))
