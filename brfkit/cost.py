"""What a network costs per sample: synaptic operations and firing rate. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brfkit.data import Split
from brfkit.events import Events


@dataclass(frozen=True)
class Cost:
    """Figures per sample.

    Attributes:
        firing_rate: share of the spiking neurons that spike at a step.
        effective: synaptic operations that are done: one for each synapse that an input other than 0, or a spike,
            reaches.
        dense: synaptic operations of the same network without regard to zeros: all synapses at every step.
    """

    firing_rate: float
    effective: float
    dense: float


def active_inputs(split: Split, chunk: int = 256) -> float:
    """Input values other than 0, or events, per sample."""
    found = 0
    for start in range(0, len(split), chunk):
        x, _ = split.batch(np.arange(start, min(start + chunk, len(split))), np.float32)
        found += int((x.indptr[:, -1] - x.indptr[:, 0]).sum() if isinstance(x, Events) else np.count_nonzero(x))
    return found / max(len(split), 1)


def cost(
    hidden: Sequence[int],
    outputs: int,
    recurrent: Sequence[bool],
    steps: int,
    channels: int,
    active: float,
    spikes: Mapping[int, float],
    density: Sequence[Mapping[str, float]] = (),
) -> Cost:
    """Cost of a network of spiking layers in a row and a readout.

    Args:
        hidden: units of the spiking layers.
        outputs: units of the readout.
        recurrent: whether each of the spiking layers has recurrent weights.
        steps, channels: T and I of the input.
        active: input values other than 0 per sample.
        spikes: per sample, by the number of the layer.
        density: of each spiking layer, the share of ``w_in`` and ``w_rec`` that connects where it is not all; neurons
            count as connected alike.
    """
    sizes = [*hidden, outputs]
    shares = [*density, *({} for _ in range(len(sizes) - len(density)))]
    fan_in = sizes[0] * shares[0].get("w_in", 1.0)
    effective, dense = active * fan_in, float(steps * channels * fan_in)
    for index, units in enumerate(hidden):
        fan_out = sizes[index + 1] * shares[index + 1].get("w_in", 1.0) + (
            units * shares[index].get("w_rec", 1.0) if recurrent[index] else 0
        )
        effective += spikes[index] * fan_out
        dense += steps * units * fan_out
    rate = sum(spikes.values()) / (steps * sum(hidden))
    return Cost(rate, effective, dense)
