"""A device for the tests: the CUDA sources, compiled by g++ over the headers in ``shim/`` and run on the CPU.

Arrays are a subclass of NumPy's that refuses to meet a plain array, as CuPy's do; fresh memory holds NaN, and guards
around every array notice what is written outside of it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.backends.cupy_gpu.backend import DeviceBackend
from brfkit.backends.cupy_gpu.device import Device
from brfkit.io.atomic import atomic_write
from brfkit.io.paths import cache_dir

SHIM = Path(__file__).parent / "shim"
GUARD = 256
PATTERN = 0xA5
ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
# The order of additions is the source's only if g++ does not contract them, as --fmad=false has it for CUDA.
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w"]


def missing() -> str | None:
    """Why the shim cannot work here; None where it can."""
    if not sys.platform.startswith("linux"):
        return "the shim that runs the kernels on the CPU needs Linux"
    return None if shutil.which("g++") else "g++ is not installed, which compiles the kernels for the CPU"


class DeviceArray(np.ndarray):
    """An array of the device: copied and cut, never computed with, for which CuPy would compile kernels of its own."""

    def __array_ufunc__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError("arithmetic with an array of the device")

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
            raise TypeError("an array of the device meets one of NumPy")
        super().__setitem__(key, value)


@lru_cache(maxsize=1)
def _fibers() -> ctypes.CDLL:
    text = (SHIM / "fibers.cpp").read_text() + (SHIM / "cuda_shim.h").read_text()
    return ctypes.CDLL(str(_build(text, SHIM / "fibers.cpp", [])), mode=ctypes.RTLD_GLOBAL)


@lru_cache(maxsize=1)
def _compiler() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _build(text: str, source: Path, more: list[str]) -> Path:
    folder = cache_dir() / "shim"
    folder.mkdir(parents=True, exist_ok=True)
    # By content, not by the place of the checkout, so that the next checkout finds it too.
    content = "\n".join((text, *FLAGS, _compiler()))
    library = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:20]}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}.tmp")  # other processes of the tests may build it too
        command = ["g++", *FLAGS, f"-I{SHIM}", str(source), *more, "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:4000]
        made.replace(library)
    return library


@lru_cache(maxsize=512)
def _library(source: str) -> ctypes.CDLL:
    _fibers()
    names = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(', source)
    assert names, "there is no kernel in this source"
    header = (SHIM / "cuda_shim.h").read_text()
    exports = "".join(f"SHIM_EXPORT({name})\n" for name in names)
    text = f'#include "cuda_shim.h"\n{source}\n{exports}'
    folder = cache_dir() / "shim"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.cpp"
    with atomic_write(path, "w", force=True) as stream:
        stream.write(text)
    return ctypes.CDLL(str(_build(text + header, path, [])))


class ShimKernel:
    def __init__(self, device: ShimDevice, source: str, name: str) -> None:
        library = _library(source)
        self._device, self._name = device, name
        self._call = ctypes.cast(getattr(library, f"shim_call_{name}"), ctypes.c_void_p)
        self._count = int(getattr(library, f"shim_arguments_{name}")())

    def __call__(self, blocks: int, threads: int, shared: int, *arguments: Any) -> None:
        assert len(arguments) == self._count, f"{self._name} takes {self._count} arguments, not {len(arguments)}"
        assert threads % 32 == 0, "a block must hold whole warps"
        if blocks == 0:
            return
        values = [self._value(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        launch = _fibers().shim_launch
        launch.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int]
        code = launch(self._call, blocks, threads, shared, pointers, ORDERS[self._device.order])
        self._device.launches.append((self._name, blocks, threads, shared))
        assert code == 0, f"{self._name}: the shim stopped with code {code}"
        self._device.check_guards()

    def _value(self, argument: Any) -> Any:
        if argument is None:
            return ctypes.c_void_p(0)
        if isinstance(argument, DeviceArray):
            assert argument.flags.c_contiguous, f"{self._name}: an array is not contiguous"
            return ctypes.c_void_p(argument.ctypes.data)
        assert not isinstance(argument, np.ndarray), f"{self._name}: an array of NumPy reached the device"
        return ctypes.c_longlong(int(argument)) if isinstance(argument, np.int64) else ctypes.c_int(argument)


class ShimDevice(Device):
    """The CPU as a device.

    Args:
        processors, shared_bytes: what it says of itself, so that blocks are cut as on a device of that size.
        order: in which order the threads of a block take turns.
    """

    def __init__(self, processors: int = 2, shared_bytes: int = 227 * 1024, order: str = "ascending") -> None:
        self.processors, self.shared_bytes, self.order = processors, shared_bytes, order
        self.launches: list[tuple[str, int, int, int]] = []
        self._guarded: list[np.ndarray] = []
        self._inside = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        self._inside += 1
        try:
            yield
            self.check_guards()
        finally:
            self._inside -= 1
            if not self._inside:
                self._guarded.clear()

    def owns(self, array: Any) -> bool:
        return isinstance(array, DeviceArray)

    def empty(self, shape: int | Sequence[int], dtype: Any) -> DeviceArray:
        assert self._inside, "memory was asked for while the device was not the current one"
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        whole = np.full(size + 2 * GUARD, PATTERN, np.uint8)
        whole[GUARD : GUARD + size] = 0xFF  # NaN, or -1
        self._guarded.append(whole)
        return whole[GUARD : GUARD + size].view(dtype).reshape(shape).view(DeviceArray)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        made = self.empty(array.shape, array.dtype)
        np.asarray(made)[...] = array
        return made

    def to_host(self, array: DeviceArray) -> np.ndarray:
        assert isinstance(array, DeviceArray)
        return np.array(array, order="C", subok=False)

    def kernel(self, source: str, name: str) -> ShimKernel:
        return ShimKernel(self, source, name)

    def matmul(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        assert self._inside
        assert isinstance(a, DeviceArray)
        assert isinstance(b, DeviceArray)
        return np.matmul(np.asarray(a), np.asarray(b)).view(DeviceArray)

    def matmul_of_stacks(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        assert a.flags.c_contiguous
        assert b.flags.c_contiguous
        return self.matmul(a.transpose(0, 2, 1), b)

    def check_guards(self) -> None:
        for whole in self._guarded:
            assert (whole[:GUARD] == PATTERN).all(), "written before an array"
            assert (whole[-GUARD:] == PATTERN).all(), "written behind an array"


class ShimBackend(DeviceBackend):
    """The CUDA backend on the shim."""

    device: ShimDevice

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(ShimDevice(**kwargs))
