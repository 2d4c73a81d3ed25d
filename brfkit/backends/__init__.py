"""The backends by name. Importing this imports neither numba nor torch; :func:`get_backend` imports what it returns."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging

from brfkit.backends.base import Backend
from brfkit.backends.capabilities import CAPABILITIES, Capabilities, capabilities
from brfkit.backends.threads import MOST_THREADS
from brfkit.errors import BrfkitError

log = logging.getLogger(__name__)

BACKENDS = tuple(CAPABILITIES)
_CUDA_MODULE = "brfkit.backends.cupy_gpu"
_INSTALL_CUPY = "install it with pip install 'brfkit[cuda12]' or 'brfkit[cuda13]', as the driver's CUDA version asks"


def get_backend(name: str, *, threads: int | None = None, device: str | None = None) -> Backend:
    """The backend of that name.

    Args:
        name: ``numba`` (fused scans on the CPU), ``cupy`` (fused scans on a CUDA device), ``torch`` (eager PyTorch, any
            device), ``reference`` (NumPy float64), or ``auto``: cupy where it works, else numba; the choice is logged.
        threads: CPU threads for numba and torch; None takes what the process may use (numba) or torch's own setting.
        device: ``cpu``, ``cuda``, ``cuda:1``, …; None takes the backend's own. ``auto`` takes numba for ``cpu`` and
            cupy for ``cuda``.

    Raises:
        BrfkitError: unknown name, a backend that cannot work here (the message says why and what to do), or a device
            that is not the backend's. Another backend is never taken in place of the one that was asked for.
    """
    if name == "auto":
        name = _choose(device)
    if name not in BACKENDS:
        near = difflib.get_close_matches(name, (*BACKENDS, "auto"), 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BrfkitError(f"unknown backend {name!r}; {hint}there are auto, {', '.join(BACKENDS)}")
    problem = _problem(name)
    if problem is not None:
        raise BrfkitError(f"backend {name}: {problem}")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise BrfkitError(f"threads must be 1 … {MOST_THREADS}, not {threads}")
    if name == "torch":
        from brfkit.backends.torch_bptt import TorchBackend

        return TorchBackend(device or "cpu", threads)
    if name == "cupy":
        return importlib.import_module(_CUDA_MODULE).CupyBackend(device or "cuda")
    if device not in (None, "cpu"):
        raise BrfkitError(f"backend {name} computes on the CPU, not on {device}; take backend cupy or torch")
    if name == "numba":
        from brfkit.backends.numba_cpu import NumbaBackend

        return NumbaBackend(threads)
    from brfkit.backends.reference import ReferenceBackend

    return ReferenceBackend()


def available_backends() -> dict[str, str]:
    """Every backend with ``ok`` or the reason why it cannot be used here."""
    return {name: _problem(name) or "ok" for name in BACKENDS}


def _choose(device: str | None) -> str:
    if device is not None:
        kind = device.split(":")[0]
        if kind not in ("cpu", "cuda"):
            raise BrfkitError(f"backend auto knows the devices cpu and cuda, not {device}; backend torch takes others")
        return "numba" if kind == "cpu" else "cupy"
    problem = _problem("cupy")
    log.info("backend auto: %s", "cupy" if problem is None else f"numba (cupy: {problem})")
    return "cupy" if problem is None else "numba"


def _problem(name: str) -> str | None:
    """Why a backend cannot be used here; None where it can."""
    if name == "cupy":
        return _cupy_problem()
    if name in ("numba", "torch") and importlib.util.find_spec(name) is None:
        return f"{name} is not installed; pip install {name}"
    return None


def _cupy_problem() -> str | None:
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:  # a CuPy that does not fit the machine raises more than ImportError
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        own = " ".join(str(error).split())[:300]
        return f"CuPy {'is not installed' if missing else f'cannot be imported ({own})'}; {_INSTALL_CUPY}"
    try:
        devices = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:  # CuPy raises its own classes, which differ with its version
        return f"no CUDA device works here ({str(error).splitlines()[0]})"
    if devices == 0:
        return "there is no CUDA device"
    if importlib.util.find_spec(_CUDA_MODULE) is None:
        return "the CUDA backend is not part of this version; take backend torch with device cuda"
    return None


__all__ = ["BACKENDS", "Backend", "Capabilities", "available_backends", "capabilities", "get_backend"]
