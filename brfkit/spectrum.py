"""Power of the input of a network over frequency. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.data import Split
from brfkit.events import Events

_BATCH = 16


@dataclass(frozen=True)
class InputPower:
    """Mean power of sequences of T steps.

    Attributes:
        power: [T // 2 + 1, I], mean over samples of |rfft|² of each channel without its mean over time; frequency k is
            k periods in T steps.
        steps: T.
        constant: whether no input changes in time.
    """

    power: NDArray[np.float64]
    steps: int
    constant: bool

    def omega(self, dt: float) -> NDArray[np.float64]:
        """The frequencies [T // 2 + 1] in rad per time unit of the step δ."""
        return np.arange(len(self.power), dtype=np.float64) * (2.0 * np.pi / (max(self.steps, 1) * dt))


def input_power(split: Split, samples: NDArray[np.intp]) -> InputPower:
    """The power of some samples of a split, by their numbers; there has to be one."""
    total: NDArray[np.float64] | None = None
    steps, constant = 0, True
    for start in range(0, len(samples), _BATCH):
        batch, _ = split.batch(samples[start : start + _BATCH], np.float64)
        x = batch.dense(np.float64) if isinstance(batch, Events) else batch  # [T, B, I]
        steps, constant = len(x), constant and not bool((x != x[:1]).any())
        part = (np.abs(np.fft.rfft(x - x.mean(0), axis=0)) ** 2).sum(1)
        total = part if total is None else total + part
    assert total is not None
    return InputPower(total / len(samples), steps, constant)
