"""From the text of kernels to machine code, kept on disk for the next start."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from brfkit.backends.cupy_gpu.options import options
from brfkit.errors import BrfkitError
from brfkit.io.paths import cache_dir

log = logging.getLogger(__name__)


def compile_cubin(source: str, architecture: str) -> bytes:
    """Machine code of a source text, by the NVRTC that CuPy found.

    Raises:
        BrfkitError: NVRTC is missing or does not know the architecture; the compiler's own words are in the message.
    """
    nvrtc = _nvrtc()
    program = nvrtc.createProgram(source, "brfkit.cu", (), ())
    try:
        nvrtc.compileProgram(program, options(architecture))
        return nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError as error:
        text = str(nvrtc.getProgramLog(program)).strip() or str(error)
        raise BrfkitError(f"the CUDA kernels cannot be compiled for {architecture}: {text}") from None
    finally:
        nvrtc.destroyProgram(program)


def _nvrtc() -> Any:
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # its class differs with CuPy's version
        reason = " ".join(str(error).split())
        raise BrfkitError(
            f"CuPy does not find NVRTC, the compiler of CUDA kernels ({reason}); "
            "pip install nvidia-cuda-nvrtc-cu12, or nvidia-cuda-nvrtc for CUDA 13"
        ) from None
    return nvrtc


def compiled(source: str, architecture: str) -> Path:
    """A file with the machine code of a source text, compiled on the first call and then read from the cache folder."""
    version = ".".join(str(v) for v in _nvrtc().getVersion())
    text = "\n".join((source, *options(architecture), version))
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.cubin"
    path = cache_dir() / "cuda" / name
    if path.exists():
        return path
    code = compile_cubin(source, architecture)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write(path, code)
    except OSError as error:
        log.warning("kernels are compiled anew at every start: %s cannot be written (%s)", path.parent, error)
        return _write(Path(_own_folder()) / name, code)


@lru_cache(maxsize=1)
def _own_folder() -> str:
    return tempfile.mkdtemp(prefix="brfkit-")


def _write(path: Path, code: bytes) -> Path:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(code)
    Path(temporary).replace(path)
    return path
