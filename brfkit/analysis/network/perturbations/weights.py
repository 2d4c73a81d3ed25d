"""Changed weights: noise on synapses, fixed-point numbers, few bits per weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.reference import derive_values
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights

BISECTIONS = 70  # more than the 64 bits of a float64


def with_synaptic_noise(weights: Mapping[str, NDArray], sigma: float, rng: np.random.Generator) -> Weights:
    """Every weight w of every matrix becomes w + σ w ε with ε ~ N(0, 1), in the order of the weights."""

    def noisy(value: NDArray) -> NDArray:
        return (value * (1.0 + sigma * rng.standard_normal(value.shape))).astype(value.dtype)

    return {name: noisy(value) if value.ndim == 2 else value for name, value in weights.items()}


def quantised(weights: Mapping[str, NDArray], bits: int) -> Weights:
    """Every matrix as whole numbers of `bits` bits times one scale: symmetric, one scale per matrix.

    The scale is max|w| / (2^(bits-1) - 1), so 8 bits use -127 … 127 and 4 bits -7 … 7; W_in, W_rec and W_out have a
    scale each. Biases and the neurons' own parameters stay as they are.
    """
    top = 2 ** (bits - 1) - 1

    def levels(value: NDArray) -> NDArray:
        scale = float(np.abs(value).max()) / top
        return value if scale == 0.0 else (np.round(value.astype(np.float64) / scale) * scale).astype(value.dtype)

    return {name: levels(value) if value.ndim == 2 else value for name, value in weights.items()}


def rounded(network: Network, weights: Mapping[str, NDArray], bits: int) -> Weights:
    """All weights and parameters, and the decay of the readout, as round(2^f x) / 2^f with f = `bits`.

    The readout's time constant is rounded, its decay α made from it, and α rounded again; the network gets the time
    constant whose decay that is.
    """
    result = {name: _round(value, bits) for name, value in weights.items()}
    last = network.layers[-1]
    if last.spec.spiking or len(last.spec.parameters) != 1:
        return result
    name = f"{last.name}.{last.spec.parameters[0].name}"
    with np.errstate(divide="ignore"):  # a time constant of 0 has the decay 0
        (decay,) = derive_values(build_model(last.neuron, last.options), last, result, network.dt)[0].values()
    result[name] = parameter_of(last, _round(decay, bits), network.dt).astype(weights[name].dtype)
    return result


def _round(value: NDArray, bits: int) -> NDArray:
    return np.ldexp(np.round(np.ldexp(value.astype(np.float64), bits)), -bits).astype(value.dtype)


def parameter_of(layer: Layer, wanted: NDArray[Any], dt: float) -> NDArray[np.float64]:
    """The parameter of a layer from which its specification derives `wanted`, (H,).

    The layer has one parameter and one derived value, which rises with the parameter where that is positive and, if
    smaller values come from negative parameters, there too. Found by bisection over the floating-point numbers, as
    near as float32 comes.

    Raises:
        BrfkitError: no parameter gives such a value.
    """
    name = f"{layer.name}.{layer.spec.parameters[0].name}"
    model = build_model(layer.neuron, layer.options)
    one = Layer(
        layer.name, layer.neuron, len(wanted), recurrent=False, options=layer.options, constants=layer.constants
    )

    def value(parameter: NDArray) -> NDArray:
        with np.errstate(all="ignore"):
            (found,) = derive_values(model, one, {name: parameter}, dt)[0].values()
        return np.broadcast_to(found, wanted.shape)

    top = np.full(wanted.shape, float(np.finfo(np.float32).max))
    tiny = np.full(wanted.shape, float(np.finfo(np.float32).tiny))
    negative = wanted < value(tiny)
    # Between -top and -tiny, or between tiny and top, on a logarithmic scale.
    low, high = np.log(tiny), np.log(top)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        parameter = np.where(negative, -np.exp(middle), np.exp(middle))
        raise_it = (value(parameter) < wanted) != negative
        low, high = np.where(raise_it, middle, low), np.where(raise_it, high, middle)
    result = np.where(negative, -1.0, 1.0) * np.exp(high)
    # Rounding of parameter and decay in float32 leaves a few units in the last place.
    if not np.allclose(value(result), wanted, rtol=0, atol=1e-6):
        raise BrfkitError(f"layer {layer.name}: no {name} gives the rounded values {wanted}")
    return result


__all__ = ["parameter_of", "quantised", "rounded", "with_synaptic_noise"]
