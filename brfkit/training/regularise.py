"""Regularisers that need nothing but the scans: dropout of input and of spikes, and a firing-rate penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.backends.base import Backend, check_spike_mask
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network

_DROPOUT_STREAM, _SPIKE_STREAM = 3, 6


def drop_input(
    x: NDArray | Events, samples: NDArray[np.int64], probability: float, seed: int, epoch: int
) -> NDArray | Events:
    """The input without a share of its values or events, drawn anew in every epoch.

    Which values of a sample are dropped follows from seed, epoch and its number alone, not from the batch. Nothing is
    scaled here: the weights of the input are, by 1 / (1 - probability).

    Args:
        x: [T, B, I] or events.
        samples: [B], numbers of the samples in the training set.
    """
    streams = [np.random.default_rng([seed, _DROPOUT_STREAM, epoch, int(sample)]) for sample in samples]
    if not isinstance(x, Events):
        kept = np.stack([rng.random((x.shape[0], x.shape[2])) >= probability for rng in streams], 1)  # [T, B, I]
        return x * kept
    indices, indptr, start = [], np.zeros_like(x.indptr), 0
    for b, rng in enumerate(streams):
        first, last = int(x.indptr[b, 0]), int(x.indptr[b, -1])
        kept = rng.random(last - first) >= probability
        before = np.concatenate([[0], np.cumsum(kept)])
        indptr[b] = start + before[x.indptr[b] - first]
        indices.append(x.indices[first:last][kept])
        start += int(before[-1])
    return Events(indptr, np.concatenate(indices), x.channels)


def drop_spikes(samples: NDArray[np.int64], probability: float, seed: int, epoch: int) -> SpikeMask:
    """Which hidden spikes are dropped, drawn anew in every epoch; it follows from seed, epoch and number of the sample.

    Args:
        samples: [B], numbers of the samples in the training set.
    """
    key = np.random.SeedSequence([seed, _SPIKE_STREAM, epoch]).generate_state(1, np.uint64)[0]
    return SpikeMask.of_numbers(probability, int(key), samples)


def check_spike_dropout(network: Network, backend: Backend, tbptt: int | None) -> None:
    """Refuse dropout of spikes where it cannot be computed, or not as it should."""
    check_spike_mask(backend)
    # Between two windows there is one z, but the neuron's own is that of all its spikes.
    keeping = [layer.neuron for layer in network.layers if "z" in layer.spec.states]
    if tbptt is not None and keeping:
        raise BrfkitError(
            f"training.spike_dropout does not go with tbptt for {keeping[0]}, whose states hold its last spike"
        )


def rescale_for_dropout(network: Network, weights: Mapping[str, Tensor], probability: float) -> dict[str, Tensor]:
    """The weights with those of spikes, all but the input's, divided by ``1 - probability``."""
    names = {f"{layer.name}.w_rec" for layer in network.layers} | {f"{x.name}.w_in" for x in network.layers[1:]}
    return {name: w / (1.0 - probability) if name in names else w for name, w in weights.items()}


class RateProbe:
    """A network whose readout has one more unit, which gives the firing rate of the last hidden layer.

    The unit takes the mean of all spikes and keeps nothing between steps, so that the gradient of a penalty on the rate
    is computed by the same fused scan as the rest.

    Args:
        network: one or several hidden layers and a leaky-integrator readout; with several, only the spikes of the last
            one would be penalised, so that is refused.
    """

    def __init__(self, network: Network) -> None:
        readout = network.layers[-1]
        if len(network.layers) != 2 or not readout.spec.memoryless:
            raise BrfkitError("training.rate_penalty needs one hidden layer and a leaky-integrator readout")
        self._name, self._memoryless = readout.name, readout.spec.memoryless
        self.network = replace(network, layers=(network.layers[0], replace(readout, units=readout.units + 1)))

    def extend(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the network with the further unit, which is not trained."""
        w_in = weights[f"{self._name}.w_in"]
        hidden = w_in.shape[1]
        more = {
            "w_in": torch.full((1, hidden), 1.0 / hidden, dtype=w_in.dtype),
            **{name: torch.full((1,), value, dtype=w_in.dtype) for name, value in self._memoryless.items()},
            "bias": torch.zeros(1, dtype=w_in.dtype),
        }
        names = {f"{self._name}.{name}": value for name, value in more.items()}
        return {name: torch.cat([w, names[name]]) if name in names else w for name, w in weights.items()}


def firing_rate_penalty(rate: Tensor, weight: float, target: float) -> Tensor:
    """``weight`` times the mean excess of the firing rates of the samples [B] over ``target``."""
    return weight * torch.clamp(rate - target, min=0.0).mean()
