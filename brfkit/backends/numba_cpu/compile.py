"""From the text of a kernel to compiled functions, kept on disk for the next start.

The scans' own kernels go through :mod:`brfkit.backends.numba_cpu.native`, other generated text through numba.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from numba.core.dispatcher import Dispatcher

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.cache import KernelCache, simd_text
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.native import build
from brfkit.backends.numba_cpu.native.lower import ModuleCompiler, compile_kernel, slots
from brfkit.backends.numba_cpu.native.types import NUMBERS, Array, Number, Type
from brfkit.backends.numba_cpu.shape import Shape, check_filled
from brfkit.codegen.model import Model


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel: ``address`` is a function that takes a table of 64-bit arguments and a worker's number.

    ``slots`` says where in the table each parameter stands, ``width`` how long it is. ``library`` holds the code.
    """

    address: int
    slots: Mapping[str, int]
    width: int
    library: build.Library


@lru_cache(maxsize=256)
def forward_kernel(model: Model, shape: Shape) -> Kernel:
    """The forward scan of a neuron in a shape, compiled or read from the cache folder."""
    return compile_native(KernelText(model, shape).module(), "forward")


@lru_cache(maxsize=256)
def backward_kernel(model: Model, shape: Shape) -> Kernel:
    """The backward scan, likewise."""
    return compile_native(KernelText(model, shape).module(), "backward")


def compile_native(text: str, name: str, types: Mapping[str, Type] | None = None) -> Kernel:
    """The function ``name`` of a text as a kernel.

    Args:
        text: of a module, in the subset of Python that :mod:`brfkit.backends.numba_cpu.native.lower` compiles.
        name: of one of its functions.
        types: of parameters that are not int64; None takes those of the scans.
    """
    module = ModuleCompiler(text)
    types = scan_types(module.numbers["real"]) if types is None else types
    own = templates.OWN
    parameters = [a.arg for a in module.functions[name].args.args]
    key = build.key(name, (text, repr(sorted(types.items())), repr(sorted(own))))
    content = build.OBJECTS.read(key)
    if content is None:
        compile_kernel(module, name, types, own)
        content = build.make_object(str(module.module))
        build.OBJECTS.write(key, content)
    library = build.Library(content)
    places = slots(parameters, own)
    width = len(parameters) + len(own.intersection(parameters))
    return Kernel(library.address(name), places, width, library)


def scan_types(real: Number) -> dict[str, Type]:
    """Types of the parameters of the scans' kernels."""
    dtypes = {"real": real, **NUMBERS}
    types: dict[str, Type] = {name: NUMBERS[dtype] for name, dtype in templates.NUMBERS.items()}
    for dtype, names in templates.ARRAYS.items():
        types |= {name: Array(dtypes[dtype]) for name in names.split()}
    return types


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
