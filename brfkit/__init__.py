"""brfkit: balanced resonate-and-fire spiking neurons.

Trained networks are objects: ``brfkit.load`` reads one, ``brfkit.TrainedNetwork.from_module`` takes one out of a module
of ``brfkit.nn``, ``brfkit.train`` makes one. ``evaluate``, ``inspect``, ``robustness``, ``gradients``, ``landscape``,
``frequency``, ``stability`` and ``report`` take it, or the path of one, and return objects with ``to_dict()``, which is
what the commands of those names print with ``--json``. Importing this imports neither torch nor numba.
"""

from __future__ import annotations

import importlib
from types import FunctionType
from typing import TYPE_CHECKING

from brfkit.errors import for_python

if TYPE_CHECKING:
    from brfkit.analysis.landscape.run import landscape
    from brfkit.analysis.network.evaluate import evaluate
    from brfkit.analysis.network.gradients.profile import gradient_flow, gradients
    from brfkit.analysis.network.inspect.inspection import inspect, inspect_network
    from brfkit.analysis.network.robustness import robustness
    from brfkit.analysis.network.simulate import simulate_network
    from brfkit.analysis.neuron.frequency.network import frequency
    from brfkit.analysis.neuron.frequency.response import frequency_response
    from brfkit.analysis.neuron.spectrogram.bank import spectrogram
    from brfkit.analysis.neuron.stability.map import stability, stability_map
    from brfkit.analysis.runs.compare import compare
    from brfkit.errors import BrfkitError
    from brfkit.experiment import sweep, train
    from brfkit.network import Layer, Network
    from brfkit.neurons import register
    from brfkit.reports.build import report
    from brfkit.simulation import simulate
    from brfkit.task import Task
    from brfkit.trained import TrainedNetwork, load

__version__ = "0.1.0"
_HOMES = {
    "BrfkitError": "brfkit.errors",
    "Layer": "brfkit.network",
    "Network": "brfkit.network",
    "Task": "brfkit.task",
    "TrainedNetwork": "brfkit.trained",
    "compare": "brfkit.analysis.runs.compare",
    "evaluate": "brfkit.analysis.network.evaluate",
    "frequency": "brfkit.analysis.neuron.frequency.network",
    "frequency_response": "brfkit.analysis.neuron.frequency.response",
    "gradient_flow": "brfkit.analysis.network.gradients.profile",
    "gradients": "brfkit.analysis.network.gradients.profile",
    "inspect": "brfkit.analysis.network.inspect.inspection",
    "inspect_network": "brfkit.analysis.network.inspect.inspection",
    "landscape": "brfkit.analysis.landscape.run",
    "load": "brfkit.trained",
    "register": "brfkit.neurons",
    "report": "brfkit.reports.build",
    "robustness": "brfkit.analysis.network.robustness",
    "simulate": "brfkit.simulation",
    "simulate_network": "brfkit.analysis.network.simulate",
    "spectrogram": "brfkit.analysis.neuron.spectrogram.bank",
    "stability": "brfkit.analysis.neuron.stability.map",
    "stability_map": "brfkit.analysis.neuron.stability.map",
    "sweep": "brfkit.experiment",
    "train": "brfkit.experiment",
}
_MODULES = ("nn", "data", "neurons", "network", "backends", "analysis")
__all__ = [
    "BrfkitError",
    "Layer",
    "Network",
    "Task",
    "TrainedNetwork",
    "__version__",
    "compare",
    "evaluate",
    "frequency",
    "frequency_response",
    "gradient_flow",
    "gradients",
    "inspect",
    "inspect_network",
    "landscape",
    "load",
    "register",
    "report",
    "robustness",
    "simulate",
    "simulate_network",
    "spectrogram",
    "stability",
    "stability_map",
    "sweep",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
        # One name for aliases, so that they stay one object.
        return for_python(found, found.__name__) if isinstance(found, FunctionType) else found
    if name in _MODULES:
        return importlib.import_module(f"brfkit.{name}")
    raise AttributeError(f"module 'brfkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]
