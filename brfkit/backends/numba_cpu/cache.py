"""numba's compiled functions in brfkit's own cache: one file for each function and signature, named by its content.

numba's own cache unpickles whatever lies in its folder. Here the bytes are checked first
(:mod:`brfkit.backends.code_cache`), and whatever still goes wrong with them means compiling anew.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite.binding import llvm_version_info
from numba.core import config
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from brfkit.backends.code_cache import KERNELS

# numba's settings that change the machine code of the same text.
SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "ENABLE_AVX", "USING_SVML")


@lru_cache(maxsize=1)
def simd_text() -> bytes:
    """What every kernel is compiled with."""
    from brfkit.backends.numba_cpu import simd

    folder = Path(simd.__file__).parent
    return b"".join(path.read_bytes() for path in (*sorted(folder.glob("*.py")), folder.parent / "native" / "emit.py"))


def _surroundings(codegen: Any) -> tuple[str, ...]:
    """Everything outside the text that machine code depends on: versions, processor and numba's settings."""
    settings = [f"{name}={getattr(config, name, None)}" for name in SETTINGS]
    versions = [numba.__version__, llvmlite.__version__, repr(llvm_version_info), sys.version]
    machine = [os.name, platform.machine()]
    processor = repr(codegen.magic_tuple())  # name and features
    return (*versions, *machine, processor, *settings)


class KernelCache(_Cache):
    """The cache of one function, as numba's dispatcher asks for it.

    Args:
        function: the compiled function's Python function.
        text: of the whole module in which it stands.
    """

    def __init__(self, function: Any, text: str) -> None:
        self._function, self._text = function, text
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(KERNELS.folder)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Nothing: an entry whose text has changed has another name."""

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        if not self._enabled:
            return None
        target_context.refresh()
        key = self._key(sig, target_context.codegen())
        payload = KERNELS.read(key)
        if payload is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception as error:  # whatever it is, the text can be compiled
            KERNELS.discard(key, f"{type(error).__name__}: {error}")
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if self._enabled and not data.library.has_dynamic_globals:
            KERNELS.write(self._key(sig, data.codegen), dumps(data._reduce()))

    def _key(self, sig: Any, codegen: Any) -> str:
        name = self._function.__name__
        return KERNELS.key(name, (self._text, simd_text(), name, str(sig), *_surroundings(codegen)))
