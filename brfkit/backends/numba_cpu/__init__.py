"""The fast CPU path: fused scans compiled by numba, vectorised by hand-placed SIMD, parallel over tiles of samples."""

from brfkit.backends.numba_cpu.backend import NumbaBackend

__all__ = ["NumbaBackend"]
