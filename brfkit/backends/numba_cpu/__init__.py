"""The fast CPU path: fused scans compiled by numba, vectorised by hand-placed SIMD, parallel over tiles of samples."""

from brfkit.errors import BrfkitError

try:
    import numba  # noqa: F401
except ModuleNotFoundError:
    raise
except Exception as error:  # a setting in its environment that it refuses, or a library that does not fit
    reason = " ".join(str(error).split())
    raise BrfkitError(f"numba cannot be imported ({reason}); check the variables NUMBA_… of the environment") from None

from brfkit.backends.numba_cpu.backend import NumbaBackend

__all__ = ["NumbaBackend"]
