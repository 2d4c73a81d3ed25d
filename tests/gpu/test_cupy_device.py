"""What is handed to CuPy, with a module in its place that writes everything down."""

from __future__ import annotations

import ctypes
import importlib
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from brfkit.backends.cupy_gpu.options import options
from brfkit.errors import BrfkitError


class FakeArray(np.ndarray):
    device = types.SimpleNamespace(id=0)

    @property
    def data(self):  # type: ignore[override]
        return types.SimpleNamespace(ptr=self.ctypes.data)


class FakeFunction:
    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.allowed: list[int] = []

    max_dynamic_shared_size_bytes = property(fset=lambda self, value: self.allowed.append(value))  # type: ignore[arg-type]

    def __call__(self, grid, block, arguments, shared_mem) -> None:
        self.calls.append((grid, block, arguments, shared_mem))


def gemm(dtype):
    """cuBLAS' product of stacks on addresses, column-major: C[p] = op(A[p]) op(B[p])."""

    def run(handle, op_a, op_b, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, count):
        def matrix(address, p, stride, ld, columns):
            size = np.dtype(dtype).itemsize
            kind = ctypes.c_float if size == 4 else ctypes.c_double
            flat = np.ctypeslib.as_array((kind * (ld * columns)).from_address(address + p * stride * size))
            return flat.reshape(columns, ld).T  # column-major [ld, columns]

        one = matrix(alpha, 0, 0, 1, 1)[0, 0]
        zero = matrix(beta, 0, 0, 1, 1)[0, 0]
        for p in range(count):
            left = matrix(a, p, stride_a, lda, k if op_a == 0 else m)
            right = matrix(b, p, stride_b, ldb, n if op_b == 0 else k)
            target = matrix(c, p, stride_c, ldc, n)
            old = np.zeros_like(target) if zero == 0 else zero * target
            target[...] = one * ((left if op_a == 0 else left.T) @ (right if op_b == 0 else right.T)) + old

    return run


@pytest.fixture
def cupy(monkeypatch):
    """A module ``cupy`` with one H100-like device."""
    fake = types.ModuleType("cupy")
    attributes = {1: 132, 2: 232448}
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDevice=lambda: 0,
        deviceGetAttribute=lambda attribute, index: attributes[attribute],
        cudaDevAttrMultiProcessorCount=1,
        cudaDevAttrMaxSharedMemoryPerBlockOptin=2,
    )

    class Device:
        compute_capability = "90"

        def __init__(self, index: int) -> None:
            self.index = index

        def __enter__(self) -> None:
            entered.append(self.index)

        def __exit__(self, *_) -> None:
            entered.append(-1)

    entered: list[int] = []
    cublas = types.SimpleNamespace(
        CUBLAS_OP_N=0, CUBLAS_OP_T=1,
        sgemmStridedBatched=gemm(np.float32), dgemmStridedBatched=gemm(np.float64),
    )  # fmt: skip
    handles = types.SimpleNamespace(get_cublas_handle=lambda: 7)
    fake.cuda = types.SimpleNamespace(runtime=runtime, nvrtc=object(), cublas=cublas, Device=Device, device=handles)
    fake.ndarray = FakeArray
    fake.empty = lambda shape, dtype: np.empty(shape, dtype).view(FakeArray)
    fake.asarray = lambda a: np.asarray(a).view(FakeArray)
    fake.entered = entered
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.delitem(sys.modules, "brfkit.backends.cupy_gpu.cupy_device", raising=False)
    yield fake
    sys.modules.pop("brfkit.backends.cupy_gpu.cupy_device", None)


def module():
    return importlib.import_module("brfkit.backends.cupy_gpu.cupy_device")


def test_the_device(cupy):
    device = module().CupyDevice("cuda:1")
    assert (device.index, device.processors, device.shared_bytes, device.architecture) == (1, 132, 232448, "sm_90")
    with device.active():
        pass
    assert cupy.entered == [1, -1]
    assert module().CupyDevice("cuda").index == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cuda:2", "device cuda:2 does not exist; there are 2, counted from 0"),
        ("cpu", "computes on cuda or cuda:<number>, not on cpu"),
        ("cuda:x", "not on cuda:x"),
    ],
)
def test_devices_that_do_not_exist(cupy, name, reason):
    with pytest.raises(BrfkitError, match=reason):
        module().CupyDevice(name)


def test_missing_libraries_are_named_at_once(cupy, monkeypatch):
    class Cuda(types.SimpleNamespace):
        @property
        def cublas(self):
            raise ImportError("Failure finding libcublas.so.12")

    monkeypatch.setattr(cupy, "cuda", Cuda(nvrtc=object()))
    with pytest.raises(BrfkitError, match=r"does not find cuBLAS \(Failure finding libcublas.so.12\); pip install"):
        module().CupyDevice()


def test_arguments_of_kernels(cupy):
    function = FakeFunction()
    kernel = module()._Kernel(function)
    array = cupy.empty(3, "float32")
    kernel(0, 32, 0, array)
    assert function.calls == []
    kernel(5, 64, 1000, array, None, 7, np.int64(8), True)
    grid, block, arguments, shared = function.calls[0]
    assert (grid, block, shared) == ((5,), (64,), 1000)
    assert arguments[0] is array
    # A null pointer has 8 bytes, an int 4, a long long 8.
    assert [a.dtype.itemsize for a in arguments[1:4]] == [8, 4, 8]
    assert [int(a) for a in arguments[1:4]] == [0, 7, 8]
    assert function.allowed == []
    for shared in (60_000, 50_000, 100_000, 100_000):
        kernel(1, 32, shared)
    assert function.allowed == [60_000, 100_000], "asked for only where it is not allowed yet"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 5, 4, 2), (2, 7, 1, 3)])
def test_products_of_stacks(cupy, dtype, sizes):
    """cuBLAS takes columns first; the product must be that of NumPy all the same."""
    parts, k, m, n = sizes
    rng = np.random.default_rng(0)
    a, b = (rng.normal(0, 1, (parts, k, size)).astype(dtype).view(FakeArray) for size in (m, n))
    found = module().CupyDevice().matmul_of_stacks(a, b)
    np.testing.assert_allclose(found, np.matmul(np.swapaxes(a, 1, 2), b), rtol=1e-5)
    assert found.dtype == dtype


def test_arrays_of_another_device(cupy):
    device = module().CupyDevice("cuda:1")
    with pytest.raises(BrfkitError, match="an array is on cuda:0, the backend computes on cuda:1"):
        device.owns(cupy.empty(1, "float32"))
    assert not device.owns(np.zeros(1))


def test_kernels_are_compiled_once_and_kept(cupy, monkeypatch, tmp_path):
    """In the cache folder, named by text, options and compiler, and compiled anew where the file is damaged or
    the folder cannot be written."""
    from brfkit.backends.cupy_gpu import module as modules

    made: list[tuple[str, tuple[str, ...]]] = []
    nvrtc = types.SimpleNamespace(
        NVRTCError=RuntimeError,
        getVersion=lambda: (12, 9),
        createProgram=lambda text, *_: text,
        compileProgram=lambda program, given: made.append((program, given)),
        getCUBIN=lambda program: b"code of " + program.encode(),
        destroyProgram=lambda program: None,
    )
    monkeypatch.setattr(modules, "_nvrtc", lambda: nvrtc)
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "cache"))
    cupy.RawModule = lambda path: types.SimpleNamespace(get_function=lambda name: (path, name))
    device = module().CupyDevice()
    first = device.kernel("text", "scan")
    assert device.kernel("text", "scan") is first
    assert module().CupyDevice().kernel("text", "scan") is not first
    assert made == [("text", options("sm_90"))]
    (file,) = (tmp_path / "cache" / "cuda").iterdir()
    assert file.read_bytes().endswith(b"code of text")
    assert Path(first._function[0]).read_bytes() == b"code of text"
    made.clear()
    file.write_bytes(file.read_bytes()[:-1])
    assert modules.compiled("text", "sm_90").read_bytes() == b"code of text"
    assert made == [("text", options("sm_90"))]
    assert modules.compiled("text", "sm_90").read_bytes() == b"code of text"
    assert len(made) == 1
    nvrtc.getVersion = lambda: (12, 10)
    modules.compiled("text", "sm_90")
    assert len(made) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert modules.compiled("text", "sm_90").read_bytes() == b"code of text"


def test_errors_of_the_compiler_are_shown(monkeypatch):
    from brfkit.backends.cupy_gpu import module as modules

    def fail(program, given):
        raise RuntimeError("NVRTC_ERROR_COMPILATION")

    nvrtc = types.SimpleNamespace(
        NVRTCError=RuntimeError,
        createProgram=lambda *_: 1,
        compileProgram=fail,
        getProgramLog=lambda program: "brfkit.cu(1): error",
        destroyProgram=lambda program: None,
    )
    monkeypatch.setattr(modules, "_nvrtc", lambda: nvrtc)
    with pytest.raises(BrfkitError, match=r"cannot be compiled for sm_90: brfkit.cu\(1\): error"):
        modules.compile_cubin("text", "sm_90")


@pytest.mark.parametrize("newer", [True, False])
def test_the_stream_of_torch(cupy, monkeypatch, newer):
    from brfkit.nn import cuda

    used: list[object] = []

    class Stream:
        null = nullcontext("null")

        @staticmethod
        def external(source, index=None):
            used.append(source.__cuda_stream__() if newer else (source, index))
            return nullcontext()

    if newer:
        Stream.from_external = Stream.external
    cupy.cuda.Stream, cupy.cuda.ExternalStream = Stream, Stream.external
    handle = types.SimpleNamespace(cuda_stream=1234)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: handle)
    with cuda.on_torch_stream(torch.device("cuda:1")):
        assert cupy.entered == [1]
    assert used == [(0, 1234) if newer else (1234, 1)]
    handle.cuda_stream = 0
    with cuda.on_torch_stream(torch.device("cuda:1")):
        pass
    assert len(used) == 1, "torch's default stream is CuPy's"
