"""From the text of kernels to machine code, kept on disk for the next start."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from brfkit.backends.code_cache import CUBINS
from brfkit.backends.cupy_gpu.options import options
from brfkit.errors import BrfkitError


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
    """A file with the machine code of a source text, compiled on the first call and then read from the cache folder.

    CuPy loads it by its path, so what the cache vouches for is put into a folder of this process.
    """
    version = ".".join(str(v) for v in _nvrtc().getVersion())
    key = CUBINS.key("cuda", (source, *options(architecture), version))
    code = CUBINS.read(key)
    if code is None:
        code = compile_cubin(source, architecture)
        CUBINS.write(key, code)
    path = Path(_own_folder().name) / f"{key}.cubin"
    path.write_bytes(code)
    return path


@lru_cache(maxsize=1)
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="brfkit-")
