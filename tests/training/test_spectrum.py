"""Initial ω from the spectrum of the data: what the spectrum is, how it is drawn from, what a run keeps of it."""

import json

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.data import DenseSplit, EventSplit, load
from brfkit.data.tones import OMEGAS
from brfkit.errors import BrfkitError
from brfkit.neurons.oscillator import BOUND
from brfkit.runs.resolve import resolve
from brfkit.training.run import train
from brfkit.training.spectrum import Spectrum, initialise_omega, input_spectrum


def sines(frequencies, steps=200, dt=0.01, channels=2, offset=5.0):
    """Two samples; in each channel one sine on a constant, in steps of whole periods."""
    time = dt * np.arange(steps)
    x = offset + np.sin(np.array(frequencies).reshape(2, 1, channels) * time[:, None])  # [N, T, I]
    return DenseSplit(x, np.zeros(2, np.int64))


def test_power_by_hand():
    """A sine of k whole periods has |rfft|² = (T/2)² at k and nothing elsewhere; the constant has none."""
    step = 2 * np.pi / (200 * 0.01)
    spectrum = input_spectrum(sines([3 * step, 8 * step, 3 * step, 20 * step]), 0.01, 0)
    assert (spectrum.samples, spectrum.highest) == (2, BOUND / 0.01)
    np.testing.assert_allclose(spectrum.omega, step * np.arange(1, len(spectrum.omega) + 1), rtol=1e-12)
    assert spectrum.omega[-1] < spectrum.highest <= spectrum.omega[-1] + step
    wanted = np.zeros(len(spectrum.omega))
    wanted[[2, 7, 19]] = 100.0**2 * np.array([2, 1, 1]) / 4
    np.testing.assert_allclose(spectrum.power, wanted, atol=1e-9 * 100.0**2)


def test_omega_is_in_the_time_unit_of_delta():
    split = sines([np.pi, 2 * np.pi, np.pi, 2 * np.pi])
    coarse, fine = input_spectrum(split, 0.02, 0), input_spectrum(split, 0.01, 0)
    np.testing.assert_allclose(coarse.omega, fine.omega[: len(coarse.omega)] / 2, rtol=1e-12)
    assert coarse.highest == fine.highest / 2


@pytest.mark.parametrize("size", [1, 7, 400])
def test_density_is_the_power_within_the_bounds(rng, size):
    spectrum = Spectrum(np.array([2.0, 4.0, 6.0, 8.0]), np.array([3.0, 0.0, 4.0, 1.0]), 1, 8.5)
    omega = spectrum.draw(rng, size)
    assert omega.shape == (size,)
    assert (np.diff(omega) > 0).all()
    assert omega.min() >= 2.0
    assert omega.max() <= 8.5
    counts = np.histogram(omega, [2.0, 3.0, 5.0, 7.0, 8.5])[0]
    # Every equal part of the cumulative power has one value, so a count is off by less than one at either end.
    np.testing.assert_allclose(counts, size * spectrum.power / 8.0, atol=1.999)


def test_omega_follows_the_tones():
    data = load("tones", splits=("train",))
    spectrum = input_spectrum(data.train, 0.01, 0)
    step = spectrum.omega[0]
    network = resolve("tones", "brf", overrides={"network": {"hidden": [200, 50]}}).network.build(4, 10)
    weights = network.initialise(1, np.float64)
    before = {name: value.copy() for name, value in weights.items()}
    recorded = initialise_omega(network, weights, data.train, 1)
    for name, value in weights.items():
        if not name.endswith(".omega"):
            np.testing.assert_array_equal(value, before[name], err_msg=name)
            continue
        near = np.abs(value[:, None] - np.array(OMEGAS)).min(1) < 1.05 * step
        # Two or three of the 39 frequencies lie that near to each of the five tones; all else is noise.
        assert near.mean() > 0.6
        for omega in OMEGAS:
            assert (np.abs(value - omega) < 1.05 * step).mean() > 0.08
        assert recorded[name] == [value.min(), np.median(value), value.max()]
    assert set(recorded) == {"samples", "hidden0.omega", "hidden1.omega"}
    again = network.initialise(1, np.float64)
    initialise_omega(network, again, data.train, 1)
    np.testing.assert_array_equal(again["hidden1.omega"], weights["hidden1.omega"])
    initialise_omega(network, again, data.train, 2)
    assert not np.array_equal(again["hidden1.omega"], weights["hidden1.omega"])


def test_events_have_the_spectrum_of_their_array(rng):
    x = (rng.random((5, 40, 3)) < 0.3).astype(float)
    sample, step, channel = np.nonzero(x)
    starts = np.searchsorted(sample, np.arange(5))
    indptr = np.array([[np.searchsorted(step[sample == n], t) for t in range(41)] for n in range(5)], np.int32)
    y = np.zeros(5, np.int64)
    events = EventSplit(channel.astype(np.uint16), starts, indptr, np.arange(5), y, 3, 0.004)
    a, b = input_spectrum(events, 0.01, 3), input_spectrum(DenseSplit(x, y), 0.01, 3)
    np.testing.assert_array_equal(a.power, b.power)


@pytest.mark.parametrize(("x", "text"), [
    (np.full((2, 50, 1), 0.1), "do not change"),
    (np.arange(12.0).reshape(2, 6, 1), "6 steps hold no frequency"),
    (np.zeros((1, 1, 1)), "1 steps hold no frequency"),
])  # fmt: skip
def test_inputs_without_a_spectrum_are_refused(x, text):
    with pytest.raises(BrfkitError, match=text):
        input_spectrum(DenseSplit(x, np.zeros(len(x), np.int64)), 0.01, 0)


def test_a_run_draws_from_its_training_part_and_says_so(tmp_path):
    def config(**network):
        small = {"data": {"limit_train": 60, "limit_test": 20}, "training": {"epochs": 1, "keep_weights": True}}
        return resolve("tones", "brf", overrides=small | {"network": {"hidden": [12], **network}})

    backend = get_backend("numba", threads=1)
    train(config(omega_init="spectrum"), tmp_path / "a", backend)
    train(resolve(file=tmp_path / "a" / "config.json"), tmp_path / "b", backend)
    train(config(), tmp_path / "plain", backend)
    recorded = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("a", "b", "plain")]
    assert recorded[0]["omega_init"] == recorded[1]["omega_init"]
    assert recorded[0]["omega_init"]["samples"] == 54
    assert "omega_init" not in recorded[2]
    first = [np.load(tmp_path / name / "weights" / "epoch-0000.npz") for name in ("a", "b", "plain")]
    assert float(first[0]["hidden0.omega"].min()) == recorded[0]["omega_init"]["hidden0.omega"][0]
    for name in first[0].files:
        np.testing.assert_array_equal(first[0][name], first[1][name])
        assert np.array_equal(first[0][name], first[2][name]) == (name != "hidden0.omega")
