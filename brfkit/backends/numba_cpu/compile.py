"""From the text of a kernel to compiled functions, kept on disk for the next start."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.shape import Shape
from brfkit.codegen.model import Model
from brfkit.io.paths import cache_dir

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """Compiled kernels of one layer."""

    forward: Callable[..., None]
    backward: Callable[..., None]


@lru_cache(maxsize=128)
def compile_kernels(model: Model, shape: Shape) -> Kernels:
    """The kernels of a neuron in a shape; compiled on their first call, or read from the cache folder."""
    scope = compile_text(KernelText(model, shape).module())
    return Kernels(scope["forward"], scope["backward"])


def compile_text(text: str) -> dict[str, Any]:
    """The names that a generated module defines; its functions compile on their first call."""
    path = _source_file(text)
    module = types.ModuleType(path.stem if path else f"kernel_{_digest(text)}")
    sys.modules[module.__name__] = module  # numba's cache finds a function again by its module
    scope: dict[str, Any] = module.__dict__
    scope["CACHE"] = path is not None
    # The text is our own; the file only gives numba's cache and tracebacks a place.
    exec(compile(text, str(path or "<brfkit kernel>"), "exec"), scope)
    return scope


@lru_cache(maxsize=1)
def _simd_text() -> bytes:
    from brfkit.backends.numba_cpu import simd

    folder = Path(simd.__file__).parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode() + _simd_text()).hexdigest()[:20]


def _source_file(text: str) -> Path | None:
    """A file that holds ``text``, named by its content, or None where the cache folder cannot be written."""
    folder = cache_dir() / "kernels"
    path = folder / f"kernel_{_digest(text)}.py"
    try:
        if path.exists() and path.read_text() == text:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        # Older versions of numba cache for one time of the source; two processes that write it give it the same one.
        os.utime(temporary, (0, 0))
        Path(temporary).replace(path)
    except OSError as error:
        log.warning("kernels are compiled anew at every start: %s cannot be written (%s)", folder, error)
        return None
    return path
