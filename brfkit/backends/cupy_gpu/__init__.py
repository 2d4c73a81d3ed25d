"""Fused scans on a CUDA device, through CuPy."""

from brfkit.backends.cupy_gpu.backend import CupyBackend

__all__ = ["CupyBackend"]
