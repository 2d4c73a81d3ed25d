"""One layer class per neuron of the registry, made when this is imported.

``classes.pyi`` says the same to type checkers; :mod:`brfkit.nn.generate` says how it is written.
"""

from __future__ import annotations

from brfkit.neurons import NEURONS
from brfkit.nn.generate import NAMES, layer_class

globals().update({name: layer_class(NEURONS[neuron], name) for neuron, name in NAMES.items()})
