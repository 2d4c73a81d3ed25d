"""Spikes that are dropped: which ones, decided by a hash, so that every backend drops the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


# Compiled into kernels from its source, so it may use nothing but np.
def spike_hash(key, step, layer, neuron):  # type: ignore[no-untyped-def]
    bits = (step + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + layer * np.uint64(0x165667B19E3779F9)
    bits = bits + neuron * np.uint64(0xC2B2AE3D27D4EB4F)
    for _ in range(2):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = (bits ^ (bits >> np.uint64(31))) ^ key
    return bits


@dataclass(frozen=True)
class SpikeMask:
    """Each spike of a spiking layer is dropped with the same probability, before anything uses it.

    Whether a spike is dropped follows from a hash of sample, layer, step and neuron (two rounds of the finaliser of
    SplitMix64, Steele et al. 2014): it depends neither on the batch nor on other spikes.

    Attributes:
        probability: of a spike to be dropped.
        keys: uint64 [B], one per sample.
    """

    probability: float
    keys: NDArray[np.uint64]

    @staticmethod
    def of_samples(probability: float, key: int, first: int, count: int) -> SpikeMask:
        """For samples numbered from `first` on; `key` chooses the spikes."""
        return SpikeMask.of_numbers(probability, key, np.arange(first, first + count))

    @staticmethod
    def of_numbers(probability: float, key: int, numbers: NDArray[np.int64]) -> SpikeMask:
        """For samples of any numbers [B]; `key` chooses the spikes."""
        start, none = np.array([key], np.uint64), np.zeros(1, np.uint64)
        return SpikeMask(probability, spike_hash(start, numbers.astype(np.uint64), none, none))

    def after(self, steps: int) -> SpikeMask:
        """For a part of a sequence that begins after so many steps, which drops other spikes than the first part."""
        if steps == 0:
            return self
        none = np.zeros(1, np.uint64)
        return SpikeMask(self.probability, spike_hash(self.keys, np.array([steps], np.uint64), none, none))

    @property
    def bound(self) -> np.uint64:
        """A spike is dropped where the upper 53 bits of its hash are below this number."""
        return np.uint64(round(self.probability * 2.0**53))

    def dropped(
        self, samples: NDArray[np.int64], layer: int, step: int, neurons: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether spikes are dropped: of `neurons` (n,) in `samples` (n,) of the batch at a step."""
        place = np.array([step], np.uint64), np.array([layer], np.uint64)
        bits: NDArray[np.uint64] = spike_hash(self.keys[samples], *place, neurons.astype(np.uint64))
        return (bits >> np.uint64(11)) < self.bound

    def kept(self, layer: int, steps: int, units: int) -> NDArray[np.bool_]:
        """Which spikes of a layer would be kept, [T, B, H]."""
        place = np.arange(steps, dtype=np.uint64)[:, None, None], np.array([layer], np.uint64)
        bits: NDArray[np.uint64] = spike_hash(self.keys[:, None], *place, np.arange(units, dtype=np.uint64))
        return (bits >> np.uint64(11)) >= self.bound
