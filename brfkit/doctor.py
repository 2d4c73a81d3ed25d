"""What works on this machine: backends, drivers, versions, threads, folders."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import brfkit
from brfkit.backends import BACKENDS, available_backends, get_backend
from brfkit.backends.code_cache import CUBINS, KERNELS
from brfkit.backends.threads import default_threads
from brfkit.errors import BrfkitError
from brfkit.io.paths import cache_dir

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch", "h5py", "click", "rich", "matplotlib", "tensorboard")
# Under which names CuPy is distributed.
CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x", "cupy")
# numba's own layers for parallel loops, in the order in which it takes them. The scans of brfkit use none of them.
THREADING_LAYERS = {"tbb": "tbbpool", "omp": "omppool", "workqueue": "workqueue"}


def examine() -> dict[str, Any]:
    """Look around; nothing is changed but the cache folder, where kernels of the trial runs are kept.

    Returns:
        ``brfkit``, ``python``, ``system``, ``packages`` (version or None), ``cuda``, ``torch``, ``cpu`` (threads),
        ``folders``, ``backends`` (by name: ``ok`` or the reason why not), ``trials`` (a small network on every backend
        that is ok: seconds, or what went wrong) and ``auto``, the backend that ``auto`` takes.
    """
    backends = available_backends()
    return {
        "brfkit": brfkit.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages(),
        "cuda": cuda(),
        "torch": torch_facts(),
        "cpu": cpu(),
        "folders": folders(),
        "backends": backends,
        "trials": {name: trial(name) for name in BACKENDS if backends[name] == "ok"},
        "auto": "cupy" if backends["cupy"] == "ok" else "numba",
    }


def packages() -> dict[str, str | None]:
    """Versions without importing anything."""
    found = {name: _version(name) for name in PACKAGES}
    cupy = next((f"{version} ({name})" for name in CUPY if (version := _version(name))), None)
    return found | {"cupy": cupy}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cuda() -> dict[str, Any]:
    """The driver and its devices, asked without any package, and what CuPy found."""
    found: dict[str, Any] = {"driver": _kernel_driver(), "cuda_of_driver": None, "devices": []}
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return found | {"problem": "there is no CUDA driver (libcuda) here", "cupy": _cupy_facts()}
    number = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(number)) == 0:
        found["cuda_of_driver"] = f"{number.value // 1000}.{number.value % 1000 // 10}"
    code = driver.cuInit(0)
    if code != 0:
        return found | {"problem": f"the CUDA driver does not start (error {code})", "cupy": _cupy_facts()}
    driver.cuDeviceGetCount(ctypes.byref(number))
    found["devices"] = [_device_name(driver, index) for index in range(number.value)]
    return found | {"problem": None if found["devices"] else "there is no CUDA device", "cupy": _cupy_facts()}


def _device_name(driver: Any, index: int) -> str:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, len(name), handle)
    return name.value.decode(errors="replace")


def _kernel_driver() -> str | None:
    """Version of NVIDIA's driver, as Linux tells it."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else None


def _cupy_facts() -> dict[str, str | None]:
    """Versions of the CUDA libraries that CuPy uses; what fails shows CuPy's own error."""
    try:
        import cupy
    except Exception as error:  # CuPy raises more than ImportError where its libraries do not fit
        return {"problem": _line(error)}
    facts: dict[str, str | None] = {"problem": None}
    questions = {
        "runtime": lambda: _dotted(cupy.cuda.runtime.runtimeGetVersion()),
        "nvrtc": lambda: ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "cublas": lambda: str(cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle())),
    }
    for name, ask in questions.items():
        try:
            facts[name] = ask()
        except Exception as error:
            facts[name] = f"not usable: {_line(error)}"
    return facts


def _dotted(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def torch_facts() -> dict[str, Any]:
    """torch's own view of CUDA."""
    try:
        import torch
    except Exception as error:  # a broken installation raises OSError and others
        return {"problem": _line(error)}
    works = torch.cuda.is_available()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if works else []
    return {"problem": None, "cuda": torch.version.cuda, "devices": devices, "threads": torch.get_num_threads()}


def cpu() -> dict[str, Any]:
    """Threads: what brfkit takes, and numba's threading layer."""
    return {
        "processors": os.cpu_count(),
        "threads": default_threads(),
        "BRFKIT_THREADS": os.environ.get("BRFKIT_THREADS"),
        "numba_threading_layer": _threading_layer(),
    }


def _threading_layer() -> str | None:
    for name, module in THREADING_LAYERS.items():
        try:
            __import__(f"numba.np.ufunc.{module}")
        except Exception:  # the module is there, the library that it needs is not
            continue
        return name
    return None


def folders() -> dict[str, Any]:
    """The cache and the data sets."""
    from brfkit.data.files import data_folder

    cache, data = cache_dir(), data_folder()
    present = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
    size = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) if cache.is_dir() else 0
    return {
        "cache": str(cache),
        "cache_writable": _writable(cache),
        "cache_mib": round(size / 2**20, 1),
        "compiled_code": {"kernels": KERNELS.problem() or "ok", "cuda": CUBINS.problem() or "ok"},
        "data": str(data),
        "data_sets": present,
    }


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def trial(name: str) -> dict[str, Any]:
    """A small network, forward and back, on a backend."""
    import numpy as np

    from brfkit.network import recurrent_network

    network = recurrent_network(2, (5,), 3)
    start = time.perf_counter()
    try:
        backend = get_backend(name)
        trace = backend.scan(network, network.initialise(0), np.ones((4, 2, 2), np.float32), differentiate=True)
        gradients = backend.scan_vjp(trace, np.ones_like(trace.outputs))
        if not all(np.isfinite(value).all() for value in gradients.weights.values()):
            raise BrfkitError("its gradients are not finite")
    except Exception as error:  # whatever it is, the report says it
        return {"works": False, "problem": _line(error)}
    return {"works": True, "seconds": round(time.perf_counter() - start, 3)}


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
