"""A network and its weights out of a module of :mod:`brfkit.nn`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights
from brfkit.nn.layers import NeuronLayer
from brfkit.nn.network import NetworkModule


def network_of(module: torch.nn.Module) -> tuple[Network, Weights]:
    """Description and a copy of the weights of a :class:`NetworkModule`, a layer, or a ``Sequential`` of layers.

    Layers are named ``hidden0``, ``hidden1``, …, a last one without spikes ``readout``.

    Raises:
        BrfkitError: the module is, or holds, something else, or its layers do not fit each other.
    """
    if isinstance(module, NetworkModule):
        return module.network, module.weights()
    modules = list(module) if isinstance(module, torch.nn.Sequential) else [module]
    layers: list[NeuronLayer] = []
    described: list[Layer] = []
    weights: Weights = {}
    for index, layer in enumerate(modules):
        if not isinstance(layer, NeuronLayer):
            place = f"module {index} of this Sequential" if len(modules) > 1 else "this module"
            raise BrfkitError(
                f"{place} is a {type(layer).__name__}; only NetworkModule, layers of brfkit.nn and a Sequential of "
                "such layers can be taken"
            )
        readout = not layer.layer.spec.spiking and index == len(modules) - 1
        name = "readout" if readout else f"hidden{index}"
        layers.append(layer)
        described.append(replace(layer.layer, name=name))
        weights |= {f"{name}.{key}": _array(value) for key, value in layer.named_parameters()}
    if not layers:
        raise BrfkitError("this Sequential is empty")
    _check(layers)
    return Network(layers[0].network.inputs, tuple(described), layers[0].network.dt), weights


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().copy()


def _check(layers: list[NeuronLayer]) -> None:
    """Refuse layers that do not fit each other."""
    for before, after in pairwise(layers):
        if after.network.inputs != before.layer.units:
            raise BrfkitError(
                f"a layer of {before.layer.units} neurons is followed by one with {after.network.inputs} inputs"
            )
        if after.network.dt != before.network.dt:
            raise BrfkitError(f"all layers need one time step; here are {before.network.dt:g} and {after.network.dt:g}")
