"""NVRTC without CuPy and without a device: the library of the wheel nvidia-cuda-nvrtc-cu12, through ctypes."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from brfkit.backends.code_cache import CodeCache
from brfkit.backends.cupy_gpu.options import options

RESULTS = CodeCache("nvrtc-tests", ".bin")

_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


@dataclass(frozen=True)
class Usage:
    """What ptxas reports of one kernel: registers per thread, bytes of stack and of spilled registers."""

    registers: int
    stack: int
    spilled: int


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """NVRTC of the wheel; None where it is not installed."""
    try:
        spec = find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        spec = None
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder, "lib").glob("libnvrtc.so*")):
            return ctypes.CDLL(str(path))
    return None


def compile_cubin(source: str, architecture: str) -> tuple[bytes, dict[str, Usage]]:
    """Machine code of a source text, and what its kernels use; a log of errors is an AssertionError.

    Both are kept in the cache folder under the digest of text, options and version.
    """
    key = RESULTS.key(architecture, (source, *options(architecture), _version()))
    kept = RESULTS.read(key)
    if kept is None:
        cubin, log = _compile(source, architecture)
        RESULTS.write(key, log.encode() + b"\0" + cubin)
    else:
        text, _, cubin = kept.partition(b"\0")
        log = text.decode()
    return cubin, _usage(log)


@lru_cache(maxsize=1)
def _version() -> str:
    nvrtc = library()
    assert nvrtc is not None
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(nvrtc, nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value} {nvrtc._name}"


def _compile(source: str, architecture: str) -> tuple[bytes, str]:
    """Machine code and the compiler's log."""
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None))
    try:
        given = [o.encode() for o in (*options(architecture), "--ptxas-options=-v")]
        code = nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
        log = _bytes(nvrtc, program, "ProgramLog").decode(errors="replace").strip("\0\n")
        assert code == 0, f"{architecture}: {log[:4000]}"
        return _bytes(nvrtc, program, "CUBIN"), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _usage(log: str) -> dict[str, Usage]:
    found, name, spills = {}, "", (0, 0, 0)
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            name = match[1]
        elif match := _SPILLS.search(line):
            spills = (int(match[1]), int(match[2]), int(match[3]))
        elif match := _USED.search(line):
            found[name] = Usage(int(match[1]), spills[0], spills[1] + spills[2])
    return found


def _bytes(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(nvrtc: ctypes.CDLL, code: int) -> None:
    assert code == 0, f"NVRTC returned {code}"
