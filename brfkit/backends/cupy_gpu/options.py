"""How the kernels are compiled, in one place for CuPy and for the checks without a device."""

from __future__ import annotations

import re

# Every operation rounds on its own, as the neuron's source has it; products of matrices ask for fma by name.
OPTIONS = ("--std=c++17", "--fmad=false")
# The oldest and newest architectures that are compiled in the tests.
TESTED_ARCHITECTURES = ("sm_80", "sm_90")
_KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')


def options(architecture: str) -> tuple[str, ...]:
    """Options of NVRTC for an architecture such as ``sm_90``."""
    return (*OPTIONS, f"--gpu-architecture={architecture}")


def kernel_names(source: str) -> list[str]:
    """The kernels that a source text defines."""
    return _KERNEL.findall(source)
