"""Input weights scaled to data, so that the neurons of every layer spike in a set share of the samples.

Data-dependent initialisation in the manner of LSUV (Mishkin and Matas 2016): layer by layer, each on what the scaled
layers before it give. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Input
from brfkit.events import Events
from brfkit.network import Network, Weights

SHARE = 0.5  # of the neurons, in a sample
GAINS = (1e-6, 1e9)
SEARCH_STEPS = 30
TOLERANCE = 0.05  # of what is wanted
_LARGEST_RECORD = 1 << 26  # values


@dataclass(frozen=True)
class Calibration:
    """What was done to the input weights of one layer.

    Attributes:
        layer: its name.
        gain: by which ``w_in`` was multiplied.
        share: of its neurons that then spike at least once in a sample, on average.
    """

    layer: str
    gain: float
    share: float


def search_gain(
    measure: Callable[[float], float], wanted: float, *, gains: tuple[float, float] = GAINS, steps: int = SEARCH_STEPS
) -> tuple[float, float]:
    """The gain whose measured value is closest to the one wanted, by bisection of its logarithm from gain 1.

    Args:
        measure: value of a gain; taken to rise with it.
        wanted: value to come close to; within :data:`TOLERANCE` of it the search ends.
        gains: the smallest and the largest that are tried.
        steps: most measurements.

    Returns:
        Gain and value. The value is 0 where no gain gives anything.
    """
    low, high = np.log(gains)
    gain, tried = 1.0, {}
    for _ in range(steps):
        tried[gain] = found = measure(gain)
        if abs(found - wanted) <= TOLERANCE * wanted:
            break
        if found < wanted:
            low = np.log(gain)
        else:
            high = np.log(gain)
        gain = float(np.exp(0.5 * (low + high)))
    if not any(tried.values()):
        return 1.0, 0.0
    best = min(tried, key=lambda g: (abs(tried[g] - wanted), g))
    return best, tried[best]


def spiking_share(network: Network, weights: Mapping[str, NDArray], x: Input, backend: Backend, layer: str) -> float:
    """Share of the neurons of a layer that spike at least once in a sample, mean over the samples."""
    z = backend.scan(network, weights, x, record=(f"{layer}.z",)).records[f"{layer}.z"]  # [T, B, H]
    return float((z != 0).any(0).mean()) if z.size else 0.0


def calibrate_weights(
    network: Network, weights: Weights, x: Input, backend: Backend, *, share: float = SHARE
) -> tuple[Calibration, ...]:
    """Multiply ``w_in`` of every spiking layer, in place, by one positive number each; nothing else changes.

    Args:
        network, weights: what to scale.
        x: typical input, [T, B, I] or events.
        backend: computes the scans.
        share: of the neurons that is to spike in a sample.

    Returns:
        One entry per spiking layer; its share is 0, and the weights are as they were, where no gain makes it spike.
    """
    done = []
    for layer in network.spiking_layers:
        name = f"{layer.name}.w_in"
        start = weights[name]

        def measure(gain: float, name: str = name, start: NDArray = start, layer: str = layer.name) -> float:
            return spiking_share(network, {**weights, name: start * start.dtype.type(gain)}, x, backend, layer)

        gain, found = search_gain(measure, share)
        weights[name] = start * start.dtype.type(gain)
        done.append(Calibration(layer.name, gain, found))
    return tuple(done)


def channel_scale(x: Input) -> NDArray[np.float64] | None:
    """Root mean square [I] of the channels of a dense input, 1 where a channel is 0 throughout; None for events."""
    if isinstance(x, Events):
        return None
    scale = np.sqrt(np.square(x, dtype=np.float64).mean((0, 1)))
    return np.where(scale > 0, scale, 1.0)


def samples_for(network: Network, steps: int, most: int) -> int:
    """How many samples can be looked at together without keeping too many spikes."""
    widest = max((layer.units for layer in network.spiking_layers), default=1)
    return max(1, min(most, _LARGEST_RECORD // max(1, steps * widest)))
