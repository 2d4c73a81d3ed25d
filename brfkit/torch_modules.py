"""A network and its weights out of a module of :mod:`brfkit.nn`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights

if TYPE_CHECKING:
    import torch

    from brfkit.nn import NeuronLayer


def network_of(module: torch.nn.Module) -> tuple[Network, Weights]:
    """Description and a copy of the weights of a ``NetworkModule``, a layer, or a ``Sequential`` of layers.

    Layers are named ``hidden0``, ``hidden1``, …, a last one without spikes ``readout``.

    Raises:
        BrfkitError: the module is, or holds, something else, or its layers do not fit each other.
    """
    from brfkit.nn import NetworkModule

    if isinstance(module, NetworkModule):
        return module.network, module.weights()
    modules = _layers(module)
    _check(modules)
    parts = [(found, index) for found in modules for index in range(len(found.network.layers))]
    described: list[Layer] = []
    weights: Weights = {}
    for number, (found, index) in enumerate(parts):
        layer = found.network.layers[index]
        name = "readout" if number == len(parts) - 1 and not layer.spec.spiking else f"hidden{number}"
        described.append(replace(layer, name=name))
        suffix = "" if index == 0 else f"_l{index}"  # of the weights of stacked layers
        for short in layer.shapes(found.network.fan_in(index)):
            weights[f"{name}.{short}"] = _array(getattr(found, f"{short}{suffix}"))
    return Network(modules[0].network.inputs, tuple(described), modules[0].network.dt), weights


def _layers(module: torch.nn.Module) -> list[NeuronLayer]:
    import torch

    from brfkit.nn import NeuronLayer

    modules = list(module) if isinstance(module, torch.nn.Sequential) else [module]
    if not modules:
        raise BrfkitError("this Sequential is empty")
    found: list[NeuronLayer] = []
    for index, one in enumerate(modules):
        place = f"module {index} of this Sequential" if isinstance(module, torch.nn.Sequential) else "this module"
        if not isinstance(one, NeuronLayer):
            raise BrfkitError(
                f"{place} is a {type(one).__name__}; only NetworkModule, layers of brfkit.nn and a Sequential of "
                "such layers can be taken"
            )
        if getattr(one, "bidirectional", False):
            raise BrfkitError(f"{place} is bidirectional, which a network of brfkit is not")
        found.append(one)
    return found


def _array(value: torch.Tensor) -> np.ndarray:
    tensor = value.detach().cpu()
    return np.array((tensor if tensor.element_size() >= 4 else tensor.float()).numpy())


def _check(modules: list[NeuronLayer]) -> None:
    """Refuse layers that do not fit each other."""
    for before, after in pairwise(module.network for module in modules):
        if after.inputs != before.outputs:
            raise BrfkitError(f"a layer of {before.outputs} neurons is followed by one with {after.inputs} inputs")
        if after.dt != before.dt:
            raise BrfkitError(f"all layers need one time step; here are {before.dt:g} and {after.dt:g}")
