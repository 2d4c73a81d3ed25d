"""The neurons of a trained network in the ω–b plane, before and after training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.stability.plane import B_OFFSET, OMEGA, Plane
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Weights
from brfkit.neurons.spec import TRAIN
from brfkit.trained import NetworkLike, TrainedNetwork, as_network


@dataclass(frozen=True)
class NetworkNeurons:
    """Neurons of all resonator layers, (H,) each.

    Attributes:
        omega: |ω|, rad per unit time.
        b: damping at q = 0, 1 per unit time.
        radius: spectral radius of a step.
        layers: name of the layer of each.
    """

    omega: NDArray[np.float64]
    b: NDArray[np.float64]
    radius: NDArray[np.float64]
    layers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "neurons": len(self.omega),
            "stable": int((self.radius < 1.0).sum()),
            "largest_radius": float(self.radius.max()),
            "omega": [float(self.omega.min()), float(self.omega.max())],
            "b": [float(self.b.min()), float(self.b.max())],
        }


def network_neurons(source: NetworkLike, neuron: str | None, dtype: str) -> tuple[Plane, dict[str, NetworkNeurons]]:
    """The plane of a network's neurons, and the neurons ``after`` training and, where the settings of its training
    are known, ``before`` it: the initial weights follow from the seed.

    Raises:
        BrfkitError: the network cannot be read, or has no resonators, or several kinds.
    """
    trained = as_network(source, neuron)
    layers = [layer for layer in trained.network.spiking_layers if {OMEGA, B_OFFSET} <= _names(layer)]
    if not layers:
        kinds = ", ".join(sorted({layer.neuron for layer in trained.network.spiking_layers}))
        raise BrfkitError(f"{trained.name} is a network of {kinds}, which has no ω and b, so no ω–b plane")
    first = layers[0]
    if any(
        (one.neuron, one.options, one.constants) != (first.neuron, first.options, first.constants) for one in layers
    ):
        raise BrfkitError(f"the layers of {trained.name} hold different neurons; each has an ω–b plane of its own")
    # Trained constants act on spikes, not on the oscillation.
    options = {name: value for name, value in first.options.items() if not name.startswith(TRAIN)}
    plane = Plane(first.neuron, trained.network.dt, options, dict(first.constants), dtype)
    found = {"after": _neurons(plane, layers, trained.weights)}
    initial = initial_weights(trained)
    if initial is not None:
        found = {"before": _neurons(plane, layers, initial), **found}
    return plane, found


def initial_weights(trained: TrainedNetwork) -> Weights | None:
    """The weights with which the training of a network began; None where its settings are not known."""
    config = trained.config
    if config is None:
        return None
    training = config.training
    return trained.network.initialise(training.seed, training.dtype, config.network.initial_distributions())


def _names(layer: Layer) -> set[str]:
    return {parameter.name for parameter in layer.parameters}


def _neurons(plane: Plane, layers: list[Layer], weights: Weights) -> NetworkNeurons:
    omega, b_offset = (
        np.concatenate([weights[f"{layer.name}.{name}"] for layer in layers]).astype(np.float64)
        for name in (OMEGA, B_OFFSET)
    )
    b = plane.own_damping(omega, b_offset)
    names = tuple(layer.name for layer in layers for _ in range(layer.units))
    return NetworkNeurons(np.abs(omega), b, plane.radius(omega, b), names)
