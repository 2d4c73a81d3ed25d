"""Changed samples: a split whose batches pass through a function of their input and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.data import Split
from brfkit.data.base import sample_index
from brfkit.events import Events

# (x [T, B, I], y [B] or [T, B], numbers of the samples [B]) -> changed x and y; x may be overwritten
Change = Callable[[NDArray[Any], NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[Any], NDArray[np.int64]]]
# The random numbers of a sample.
Generator = Callable[[int], np.random.Generator]

WAVES = 4  # cosines that the speed of a warped sample is made of


class ChangedSplit(Split):
    """The samples of another split, changed.

    Events pass through the function as a dense array and become events again where they are still zeros and ones.

    Args:
        split: where the samples come from.
        change: what is done to a batch; it gets the numbers of the samples in `split`, so that the change of a sample
            does not depend on the batch in which it stands.
    """

    def __init__(self, split: Split, change: Change, numbers: NDArray[np.int64] | None = None) -> None:
        self._split, self._change = split, change
        self._numbers = np.arange(len(split)) if numbers is None else numbers
        self.y = split.y[self._numbers]
        self.groups = None if split.groups is None else split.groups[self._numbers]

    def select(self, indices: ArrayLike) -> ChangedSplit:
        return ChangedSplit(self._split, self._change, self._numbers[sample_index(indices, len(self))])

    def batch(self, indices: ArrayLike, dtype: DTypeLike = np.float32) -> tuple[Any, NDArray[np.int64]]:
        numbers = self._numbers[sample_index(indices, len(self))]
        x, y = self._split.batch(numbers, dtype)
        dense = x.dense(np.dtype(dtype)) if isinstance(x, Events) else x
        dense, y = self._change(dense, y, numbers)
        if isinstance(x, Events) and np.isin(dense, (0, 1)).all():
            return Events.from_dense(dense), y
        return np.ascontiguousarray(dense, dtype), y


def add_noise(
    x: NDArray[Any], y: NDArray[np.int64], numbers: NDArray[np.int64], sigma: float, generator: Generator
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """N(0, σ²) on every value."""
    for b, number in enumerate(numbers):
        x[:, b] += (sigma * generator(int(number)).standard_normal((x.shape[0], x.shape[2]))).astype(x.dtype)
    return x, y


def drop_channels(
    x: NDArray[Any], y: NDArray[np.int64], numbers: NDArray[np.int64], share: float, generator: Generator
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A share of the channels of each sample, rounded to a whole number of them, is 0."""
    silent = round(share * x.shape[2])
    for b, number in enumerate(numbers):
        x[:, b, generator(int(number)).permutation(x.shape[2])[:silent]] = 0
    return x, y


def drop_span(
    x: NDArray[Any], y: NDArray[np.int64], numbers: NDArray[np.int64], share: float, generator: Generator
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """One stretch of a share of the steps is 0; every place is equally likely."""
    steps = x.shape[0]
    length = round(share * steps)
    for b, number in enumerate(numbers):
        start = int(generator(int(number)).random() * (steps - length + 1))
        x[start : start + length, b] = 0
    return x, y


def warp(
    x: NDArray[Any], y: NDArray[np.int64], numbers: NDArray[np.int64], strength: float, generator: Generator
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Each sample at a speed that changes smoothly; labels of single steps go along.

    Step t shows step s(t) of the original, the nearest one: s runs from the first step to the last, its slope
    proportional to exp(strength · g(t)) with g a random sum of the first four cosines, of variance 1.
    """
    for b, number in enumerate(numbers):
        source = warped_steps(x.shape[0], strength, generator(int(number)))
        x[:, b] = x[source, b]
        if y.ndim == 2:
            y[:, b] = y[source, b]
    return x, y


def warped_steps(steps: int, strength: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """The step of the original that each step of a warped sample shows, (steps,)."""
    if steps < 2:
        return np.zeros(steps, np.intp)
    phase = np.pi * (np.arange(steps - 1) + 0.5) / (steps - 1)
    waves = np.cos(np.arange(1, WAVES + 1)[:, None] * phase)  # [waves, steps - 1]
    speed = np.exp(strength * np.sqrt(2.0 / WAVES) * (rng.standard_normal(WAVES) @ waves))
    place = np.concatenate([[0.0], np.cumsum(speed)])
    return np.rint(place * ((steps - 1) / place[-1])).astype(np.intp)


def round_input(x: NDArray[Any], bits: int) -> NDArray[Any]:
    """Values with so many fractional bits."""
    return np.ldexp(np.round(np.ldexp(x.astype(np.float64), bits)), -bits).astype(x.dtype)
