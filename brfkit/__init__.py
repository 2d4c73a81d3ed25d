"""brfkit: balanced resonate-and-fire spiking neurons.

``brfkit.simulate``, ``brfkit.train``, ``brfkit.evaluate`` and the functions of :mod:`brfkit.analysis` do what the
commands of those names do; ``brfkit.nn`` has the neurons as layers for torch. Importing this imports neither torch nor
numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brfkit.analysis.frequency import frequency_response
    from brfkit.analysis.gradients import gradient_flow
    from brfkit.analysis.inspect import inspect_network
    from brfkit.analysis.robustness import robustness
    from brfkit.analysis.spectrogram import spectrogram
    from brfkit.analysis.stability import stability_map
    from brfkit.api import evaluate, simulate, simulate_network, train

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "evaluate",
    "frequency_response",
    "gradient_flow",
    "inspect_network",
    "robustness",
    "simulate",
    "simulate_network",
    "spectrogram",
    "stability_map",
    "train",
]
_HOMES = {
    "frequency_response": "brfkit.analysis.frequency",
    "gradient_flow": "brfkit.analysis.gradients",
    "inspect_network": "brfkit.analysis.inspect",
    "robustness": "brfkit.analysis.robustness",
    "spectrogram": "brfkit.analysis.spectrogram",
    "stability_map": "brfkit.analysis.stability",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "brfkit.api")), name)
    if name in ("nn", "data", "neurons", "network", "backends", "analysis"):
        return importlib.import_module(f"brfkit.{name}")
    raise AttributeError(f"module 'brfkit' has no attribute {name!r}")
