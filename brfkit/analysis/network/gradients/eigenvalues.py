"""Eigenvalues of the transition matrix of every neuron along a trajectory of a trained network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Input, state_names
from brfkit.codegen.linearise import linearise
from brfkit.events import Events
from brfkit.network import Layer, Network


def trajectory(network: Network, weights: Mapping[str, NDArray], x: Input, backend: Backend) -> dict[str, NDArray]:
    """Every state and spike after every step, ``<layer>.<state>`` [T, B, H]."""
    return backend.scan(network, weights, x, record=list(state_names(network))).records


def transitions(
    network: Network,
    weights: Mapping[str, NDArray],
    x: Input,
    records: Mapping[str, NDArray],
    layer: Layer,
    steps: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The transition matrices of the neurons of a layer, each by itself: [K, B, H, S, S].

    Args:
        network, weights, x: what was run.
        records: its :func:`trajectory`.
        layer: a spiking layer of the network.
        steps: (K,) the matrix of step t takes the state before it to the state after it.
    """
    index = network.layers.index(layer)
    dtype = next(iter(weights.values())).dtype
    below = records[f"{network.layers[index - 1].name}.z"] if index else x
    signal = below.dense(dtype) if isinstance(below, Events) else below

    def before(name: str) -> NDArray:
        values = records[f"{layer.name}.{name}"]
        found = values[np.maximum(steps - 1, 0)].astype(np.float64)
        found[steps == 0] = 0.0
        return found

    current = signal[steps] @ weights[f"{layer.name}.w_in"].T  # [K, B, H]
    if layer.recurrent:
        current = current + before("z") @ weights[f"{layer.name}.w_rec"].T
    current = current + weights.get(f"{layer.name}.bias", 0.0)
    parameters = {p.name: weights[f"{layer.name}.{p.name}"] for p in layer.parameters}
    return linearise(
        layer.neuron,
        parameters,
        {s: before(s) for s in layer.spec.states},
        network.dt,
        layer.options,
        current=current,
        constants=layer.constants,
        surrogate=layer.surrogate,
    ).transition


def eigenvalues(matrices: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Eigenvalues of matrices (..., S, S), the largest first: (..., S); NaN where a matrix is not finite."""
    finite = np.asarray(np.isfinite(matrices).all((-1, -2)))[..., None, None]
    values = np.linalg.eigvals(np.where(finite, matrices, 0.0)).astype(np.complex128)
    order = np.argsort(-np.abs(values), axis=-1)
    return np.where(finite[..., 0], np.take_along_axis(values, order, -1), np.nan)
