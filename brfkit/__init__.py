"""brfkit: balanced resonate-and-fire spiking neurons.

``brfkit.simulate``, ``brfkit.train``, ``brfkit.evaluate`` and the functions of :mod:`brfkit.analysis` do what the
commands of those names do; ``brfkit.nn`` has the neurons as layers for torch. Importing this imports neither torch nor
numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brfkit.analysis.network.gradients.profile import gradient_flow
    from brfkit.analysis.network.inspect.inspection import inspect_network
    from brfkit.analysis.network.robustness import robustness
    from brfkit.analysis.neuron.frequency.response import frequency_response
    from brfkit.analysis.neuron.spectrogram.bank import spectrogram
    from brfkit.analysis.neuron.stability.map import stability_map
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
    "frequency_response": "brfkit.analysis.neuron.frequency.response",
    "gradient_flow": "brfkit.analysis.network.gradients.profile",
    "inspect_network": "brfkit.analysis.network.inspect.inspection",
    "robustness": "brfkit.analysis.network.robustness",
    "spectrogram": "brfkit.analysis.neuron.spectrogram.bank",
    "stability_map": "brfkit.analysis.neuron.stability.map",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "brfkit.api")), name)
    if name in ("nn", "data", "neurons", "network", "backends", "analysis"):
        return importlib.import_module(f"brfkit.{name}")
    raise AttributeError(f"module 'brfkit' has no attribute {name!r}")
