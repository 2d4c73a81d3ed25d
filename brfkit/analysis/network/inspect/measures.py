"""What can be read off a trained network without running it, and off its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.reference import derive_values
from brfkit.codegen.linearise import linearise
from brfkit.codegen.model import build_model
from brfkit.data import Split
from brfkit.network import Layer, Network
from brfkit.spectrum import input_power


@dataclass(frozen=True)
class Resonance:
    """The neurons of a layer at rest, from the eigenvalues λ of the generated step; (H,) arrays.

    Attributes:
        omega: angle of λ over δ, rad per unit time: the frequency at which the discrete neuron turns; 0 where it does
            not turn.
        magnitude: the largest |λ|, by which what is in the neuron shrinks in a step.
        memory: steps after which 1/e of it is left; infinite where nothing is lost.
    """

    omega: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    memory: NDArray[np.float64]


def effective(layer: Layer, weights: Mapping[str, NDArray], dt: float) -> dict[str, NDArray[np.float64]]:
    """The neurons' own parameters (H,) by name, as |·| where their sign makes no difference to the neuron."""
    model = build_model(layer.neuron, layer.options)
    names = {p: f"{layer.name}.{p}" for p in model.parameters}
    with np.errstate(divide="ignore"):
        before = derive_values(model, layer, weights, dt)[0]
        found: dict[str, NDArray[np.float64]] = {}
        for parameter, name in names.items():
            values = weights[name].astype(np.float64)
            after = derive_values(model, layer, {**weights, name: -values}, dt)[0]
            even = all(np.array_equal(before[d], after[d]) for d in model.derived)
            found[parameter] = np.abs(values) if even else values
    return found


def resonance(layer: Layer, weights: Mapping[str, NDArray], dt: float) -> Resonance:
    """Frequency and memory of every neuron of a layer, of the states that a current reaches, below threshold."""
    parameters = {p.name: weights[f"{layer.name}.{p.name}"] for p in layer.parameters}
    step = linearise(
        layer.neuron, parameters, None, dt, layer.options, constants=layer.constants, sub_threshold=True
    )  # fmt: skip
    step = step.restricted(step.reached())
    values = np.linalg.eigvals(np.broadcast_to(step.transition, (layer.units, *step.transition.shape[-2:])))
    magnitude = np.abs(values).max(-1)
    with np.errstate(divide="ignore"):
        memory = np.where(magnitude < 1.0, -1.0 / np.log(np.minimum(magnitude, 1.0)), np.inf)
    return Resonance(np.abs(np.angle(values)).max(-1) / dt, magnitude, memory)


def weight_figures(network: Network, weights: Mapping[str, NDArray]) -> dict[str, dict[str, float]]:
    """Of every matrix and bias: Frobenius norm, mean, standard deviation, largest magnitude; of matrices the largest
    singular value; of W_rec the spectral radius."""
    figures: dict[str, dict[str, float]] = {}
    for layer in network.layers:
        for short in ("w_in", "w_rec", "bias"):
            name = f"{layer.name}.{short}"
            if name not in weights:
                continue
            value = weights[name].astype(np.float64)
            figures[name] = {
                "norm": float(np.linalg.norm(value)),
                "mean": float(value.mean()),
                "std": float(value.std()),
                "largest": float(np.abs(value).max()),
            }
            if value.ndim == 2:
                figures[name]["spectral_norm"] = float(np.linalg.norm(value, 2))
            if short == "w_rec":
                figures[name]["spectral_radius"] = float(np.abs(np.linalg.eigvals(value)).max())
    return figures


def data_spectrum(split: Split, dt: float, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power of the input over frequency.

    Args:
        split: its first `samples` samples are taken.
        dt: time step δ.

    Returns:
        ω (F,) in rad per unit time, without 0, up to π/δ; and (F, I) |X|² / T of each channel, its mean over time taken
        away, averaged over samples.
    """
    found = input_power(split, np.arange(min(samples, len(split))))
    return found.omega(dt)[1:], found.power[1:] / found.steps
