"""From the text of a kernel to compiled functions, kept on disk for the next start."""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from numba.core.dispatcher import Dispatcher

from brfkit.backends.numba_cpu.cache import KernelCache, simd_text
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.shape import Shape, check_filled
from brfkit.codegen.model import Model


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
    """The names that a generated module defines; its functions compile on their first call.

    Those that Python can call are kept in the cache folder, with the others compiled into them.
    """
    name = f"kernel_{hashlib.sha256(text.encode() + simd_text()).hexdigest()[:20]}"
    module = types.ModuleType(name)
    sys.modules[name] = module  # a function that comes from the cache finds its globals by the module's name
    file = f"<brfkit {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for tracebacks
    scope: dict[str, Any] = module.__dict__
    exec(compile(check_filled(text), file, "exec"), scope)  # the text is our own
    for value in list(scope.values()):
        if isinstance(value, Dispatcher) and not value.targetoptions.get("no_cpython_wrapper"):
            value._cache = KernelCache(value.py_func, text)  # type: ignore[attr-defined]
    return scope
