"""From LLVM's intermediate representation to machine code, kept on disk as object files."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding as llvm
from llvmlite.binding import llvm_version_info

from brfkit.backends.code_cache import CodeCache

OBJECTS = CodeCache("objects", ".o")
OPTIMISATION = 2
# Functions of the C library that kernels call.
_LIBRARY = ("malloc", "free", "memset", "exp", "expf", "expm1", "expm1f", "log")


@lru_cache(maxsize=1)
def _start() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    library = ctypes.CDLL(None) if os.name != "nt" else ctypes.CDLL("ucrtbase")
    for name in _LIBRARY:
        llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)


@lru_cache(maxsize=1)
def processor() -> tuple[str, str]:
    """Name and features of this machine's processor."""
    try:
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # not every system tells its features
        return llvm.get_host_cpu_name(), ""


@lru_cache(maxsize=1)
def own_text() -> bytes:
    """The text of what makes machine code: it decides what is made of a kernel."""
    folder = Path(__file__).parent
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))


def key(title: str, parts: Iterable[str | bytes]) -> str:
    """The name of an entry of the cache: of its parts, and of everything else that machine code depends on."""
    versions = (llvmlite.__version__, repr(llvm_version_info), os.name, platform.machine(), *processor())
    return OBJECTS.key(title, (*parts, own_text(), str(OPTIMISATION), *versions))


def target_machine() -> Any:
    """For code that runs in this process, on this processor."""
    _start()
    target = llvm.Target.from_default_triple()
    name, features = processor()
    relocation = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=name, features=features, opt=OPTIMISATION, reloc=relocation, codemodel="jitdefault", jit=True
    )


def make_object(text: str) -> bytes:
    """An object file from LLVM's textual representation."""
    machine = target_machine()
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=OPTIMISATION)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    made: bytes = machine.emit_object(module)
    return made


class Library:
    """Machine code in memory.

    Args:
        content: an object file.
    """

    def __init__(self, content: bytes) -> None:
        machine = target_machine()
        empty = llvm.parse_assembly("")
        self._engine: Any = llvm.create_mcjit_compiler(empty, machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        found: int = self._engine.get_function_address(name)
        return found
