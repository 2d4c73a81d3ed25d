"""brfkit: balanced resonate-and-fire spiking neurons.

``brfkit.simulate``, ``brfkit.train`` and ``brfkit.evaluate`` do what the commands of those names do; ``brfkit.nn`` has
the neurons as layers for torch. Importing this imports neither torch nor numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brfkit.api import evaluate, simulate, simulate_network, train

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "simulate", "simulate_network", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("brfkit.api"), name)
    if name in ("nn", "data", "neurons", "network", "backends"):
        return importlib.import_module(f"brfkit.{name}")
    raise AttributeError(f"module 'brfkit' has no attribute {name!r}")
