"""The running mean of a network's weights, which generalises better than the weights of single steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PREFIX = "trained/"


class WeightAverage:
    """Exponential moving average of weights (Polyak and Juditsky 1992).

    After step n the mean moves by 1 - min(decay, (1 + n) / (10 + n)) of the way to the weights, so that it leaves the
    initial values soon.

    Args:
        decay: share of the old mean that is kept in a step; about 1 / (1 - decay) steps are remembered.
        weights: by name; they are copied.
    """

    def __init__(self, decay: float, weights: Mapping[str, Tensor]) -> None:
        self.decay = decay
        self.steps = 0
        self._mean = {name: value.detach().clone() for name, value in weights.items()}

    def update(self, weights: Mapping[str, Tensor]) -> None:
        """Update the mean with the weights after a step."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in weights.items():
                self._mean[name].lerp_(value, 1.0 - keep)

    def weights(self) -> dict[str, NDArray]:
        """Copies of the mean by name."""
        return {name: value.numpy().copy() for name, value in self._mean.items()}

    def restore(self, mean: Mapping[str, NDArray], steps: int) -> None:
        for name, value in self._mean.items():
            value.copy_(torch.from_numpy(np.asarray(mean[name])))
        self.steps = steps


def pack(trained: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The weights that the optimiser works on, under names of their own: a checkpoint's weights are the mean."""
    return {_PREFIX + name: value for name, value in trained.items()}


def unpack(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """What :func:`pack` gave, found among other arrays."""
    return {name.removeprefix(_PREFIX): value for name, value in arrays.items() if name.startswith(_PREFIX)}
