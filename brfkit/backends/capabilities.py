"""What each backend can do, without importing it. Whoever depends on a property of a backend asks for it here or at
``Backend.capabilities``; nothing outside this package compares the names of backends."""

from __future__ import annotations

from dataclasses import dataclass

FLOATS = ("float32", "float64")
PRECISIONS = ("float32", "bfloat16")  # of the operands of products in the backward scan


@dataclass(frozen=True)
class Capabilities:
    """Properties of a backend.

    Attributes:
        dtypes: in which it computes.
        device: kind of device whose tensors ``brfkit.nn`` hands over without a copy, as torch names it.
        spike_mask: ``scan`` takes ``spike_mask``: dropped hidden spikes, with gradients.
        own_threads: scans spread over threads of their own, so that torch's are better left at one, and several scans
            may run at once in threads of the caller.
        compiled: kernels are compiled for the width of a layer, so that few different widths are faster.
        reductions: populations can be reduced to sums while they run (:mod:`brfkit.simulation.reduce`).
        bfloat16_gradients: products of the backward scan may have operands in bfloat16.
        counted: :mod:`brfkit.bench.roofline` counts the work of its scans.
    """

    dtypes: tuple[str, ...] = FLOATS
    device: str = "cpu"
    spike_mask: bool = False
    own_threads: bool = False
    compiled: bool = False
    reductions: bool = False
    bfloat16_gradients: bool = False
    counted: bool = False

    @property
    def default_dtype(self) -> str:
        """float32, or what it has."""
        return self.dtypes[0]


CAPABILITIES: dict[str, Capabilities] = {
    "numba": Capabilities(
        spike_mask=True, own_threads=True, compiled=True, reductions=True, bfloat16_gradients=True, counted=True
    ),
    "cupy": Capabilities(device="cuda", compiled=True),
    "torch": Capabilities(spike_mask=True),
    "reference": Capabilities(dtypes=("float64",), reductions=True),
}


def capabilities(name: str) -> Capabilities:
    """Those of a backend by its name; those that every backend with fused scans has for ``auto``."""
    return CAPABILITIES.get(name, Capabilities())


def backends_with(capability: str) -> list[str]:
    """Names of the backends that have a capability, for messages."""
    return [name for name, found in CAPABILITIES.items() if getattr(found, capability)]
