"""Frequency response of the neurons of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from brfkit.analysis.neuron.frequency.response import ResponseOptions, frequency_response
from brfkit.analysis.neuron.frequency.result import FrequencyResponse
from brfkit.errors import BrfkitError
from brfkit.network import Layer
from brfkit.trained import NetworkLike, TrainedNetwork, as_network

if TYPE_CHECKING:
    from typing_extensions import Unpack


def frequency(
    network: NetworkLike, layer: str | None = None, *, neuron: str | None = None, **options: Unpack[ResponseOptions]
) -> FrequencyResponse:
    """Frequency response of every neuron of a layer, with the parameters that it has after training.

    Args:
        network: a trained network, or the path of one.
        layer: name of a spiking layer; None takes the first.
        neuron: for the path of a published file, which neuron it holds.
        options: see :func:`brfkit.frequency_response`.

    Raises:
        BrfkitError: the network cannot be read or has no such layer, or none of its neurons comes to rest.
    """
    trained = as_network(network, neuron)
    part = _layer(trained, layer)
    parameters = {p.name: trained.weights[f"{part.name}.{p.name}"].astype(np.float64) for p in part.parameters}
    return frequency_response(
        part.neuron,
        parameters=parameters,
        constants=part.constants,
        options=part.options,
        dt=trained.network.dt,
        **options,
    )


def _layer(trained: TrainedNetwork, name: str | None) -> Layer:
    layers = {layer.name: layer for layer in trained.network.spiking_layers}
    if not layers:
        raise BrfkitError(f"{trained.name} has no spiking layer")
    if name is not None and name not in layers:
        raise BrfkitError(f"{trained.name} has no spiking layer {name!r}; there are {', '.join(layers)}")
    return layers[name] if name is not None else next(iter(layers.values()))
