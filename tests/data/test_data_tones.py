"""The generated data set: reproducible, balanced, solvable by frequency and by nothing simpler."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data import DenseSplit, load
from brfkit.data.tones import DISTRACTOR_CHANNEL, DT, OMEGAS, PAIRS, generate

PINNED_LABELS = [2, 1, 7, 4, 7, 3, 6, 9]
PINNED_FIRST_STEP = [1.41368, -1.428505, -1.051391, 1.142267]


def power(x: NDArray, channels: list[int]) -> NDArray:
    """Power at each of the five frequencies, summed over `channels`: [N, 5]."""
    t = DT * np.arange(1, x.shape[1] + 1)
    wave = np.exp(-1j * np.outer(t, OMEGAS))  # [T, 5]
    return (np.abs(np.einsum("nti,tf->nif", x[:, :, channels], wave, optimize=True)) ** 2).sum(1)


def accuracy_of_the_two_strongest(split: DenseSplit, channels: list[int]) -> float:
    strongest = np.sort(np.argsort(power(split.x, channels), axis=1)[:, -2:], axis=1)
    return float((strongest == np.array(PAIRS)[split.y]).all(1).mean())


def test_shape_and_counts() -> None:
    data = load("tones", data_dir=Path("there is no such folder"))
    assert (len(data.train), len(data.test)) == (2000, 500)
    x, y = data.train.batch(range(2000))
    assert x.shape == (data.steps, 2000, data.channels) == (250, 2000, 4)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(np.bincount(y), [200] * 10)
    np.testing.assert_array_equal(np.bincount(data.test.y), [50] * 10)
    assert data.class_names[0] == "8+14"


def test_the_same_on_every_call_and_different_between_splits() -> None:
    first, again, test = generate("train"), generate("train"), generate("test")
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert not np.isclose(first.x[:500], test.x).all((1, 2)).any()


def test_pinned_values() -> None:
    """Networks are compared on this data, so it must not change; 1e-5 leaves room for another sine."""
    split = generate("test")
    np.testing.assert_array_equal(split.y[:8], PINNED_LABELS)
    np.testing.assert_allclose(split.x[0, 0], PINNED_FIRST_STEP, atol=1e-5)


def test_generated_in_well_under_a_second() -> None:
    start = time.process_time()
    generate("train")
    assert time.process_time() - start < 1


def test_frequencies_tell_the_class() -> None:
    assert accuracy_of_the_two_strongest(generate("test"), [0, 1, 2]) > 0.9


def test_the_distractor_has_to_be_ignored() -> None:
    split = generate("test")
    clean = accuracy_of_the_two_strongest(split, [0, 1, 2])
    assert accuracy_of_the_two_strongest(split, [0, 1, 2, DISTRACTOR_CHANNEL]) < clean - 0.15
    assert accuracy_of_the_two_strongest(split, [DISTRACTOR_CHANNEL]) < 0.2


def test_power_alone_does_not_tell_the_class() -> None:
    """Nearest class mean of the channels' mean and variance stays near the chance of 10 %."""
    train, test = generate("train"), generate("test")
    features = [np.concatenate([split.x.mean(1), split.x.var(1)], axis=1) for split in (train, test)]
    means = np.stack([features[0][train.y == k].mean(0) for k in range(10)])
    guess = ((features[1][:, None] - means) ** 2).sum(-1).argmin(1)
    assert (guess == test.y).mean() < 0.2
