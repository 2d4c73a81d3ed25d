"""Custom data with nothing else set: neurons spike from the start, and the network learns what means do not show."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.runs.config import Config
from brfkit.runs.datasets import load_dataset
from brfkit.runs.resolve import resolve
from brfkit.simulation.calibration import calibrate_weights, channel_scale, search_gain, spiking_share
from brfkit.training.distributed import World
from brfkit.training.run import make_trainer, train
from brfkit.training.spectrum import period_range

BACKEND = get_backend("numba", threads=1)
CLASSES, SAMPLES = 3, 180


def waves(scale=1.0):
    """Sines of a frequency per class, of any phase: the mean over time says nothing. [N, T, I]"""
    rng = np.random.default_rng(0)
    y, t = np.arange(SAMPLES) % CLASSES, np.arange(60)
    phase = rng.uniform(0, 2 * np.pi, (SAMPLES, 1, 2))
    frequency = np.array([0.03, 0.07, 0.12])[y]
    x = np.sin(2 * np.pi * frequency[:, None, None] * t[:, None] + phase) + rng.normal(0, 0.3, (SAMPLES, 60, 2))
    return scale * x, y


def dense_file(path, scale=1.0):
    x, y = waves(scale)
    np.savez(path, x_train=x[:135], y_train=y[:135], x_test=x[135:], y_test=y[135:])
    return path


def event_file(path):
    """Volleys of four groups of channels, whose order is the class."""
    rng = np.random.default_rng(1)
    content = {"bin_width": 0.02, "steps": 50, "channels": 12}
    for part, samples in (("train", 150), ("test", 60)):
        y = np.arange(samples) % CLASSES
        times, units, offsets = [], [], [0]
        for label in y:
            order = [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)][label]
            for group, place in enumerate(order):
                times.append(rng.normal(0.15 + 0.2 * place, 0.02, 9))
                units.append(rng.permutation(np.repeat(np.arange(3 * group, 3 * group + 3), 3)))
            offsets.append(offsets[-1] + 36)
        content |= {f"times_{part}": np.clip(np.concatenate(times), 0, 1), f"units_{part}": np.concatenate(units)}
        content |= {f"offsets_{part}": np.array(offsets), f"y_{part}": y}
    np.savez(path, **content)
    return path


def linear_on_means(path):
    """Test accuracy (%) of least squares to one-hot labels on the means over time."""
    data = load(str(path))
    features = []
    for split in (data.train, data.test):
        x, y = split.batch(np.arange(len(split)), np.float64)
        mean = (x if isinstance(x, np.ndarray) else x.dense(np.float64)).mean(0)
        features.append((np.column_stack([mean, np.ones(len(mean))]), y))
    (a, y), (b, wanted) = features
    weights = np.linalg.lstsq(a, np.eye(data.classes)[y], rcond=None)[0]
    return 100.0 * ((b @ weights).argmax(1) == wanted).mean()


def trainer_for(config):
    return make_trainer(config, load_dataset(config.data, seed=config.training.seed), BACKEND, World(), False)


@pytest.mark.parametrize(("kind", "scale"), [("dense", 1e-4), ("dense", 1e4), ("events", 1.0)])
def test_defaults_spike_from_the_start_and_beat_a_linear_classifier(kind, scale, tmp_path):
    path = dense_file(tmp_path / "a.npz", scale) if kind == "dense" else event_file(tmp_path / "a.npz")
    config = resolve(str(path))
    result = train(config, tmp_path / "run", BACKEND)
    start = next(row for row in result.metrics if row.epoch == 0)
    assert start.spikes_per_sample > 0.5 * 0.4 * 64  # 0.4 of the neurons of the half that is asked for
    assert result.test_accuracy > max(90.0, linear_on_means(path))
    assert not result.silent
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert 0.4 < stored["w_in_init"]["hidden0"]["share"] < 0.6
    assert stored["omega_init"]["samples"] > 0


@pytest.mark.parametrize("neuron", ["rf", "brf", "bhrf", "lif", "alif", "se-adlif"])
def test_every_neuron_is_scaled(neuron, tmp_path):
    _, origin = trainer_for(resolve(str(dense_file(tmp_path / "a.npz", 1e-3)), neuron))
    assert 0.3 < origin["w_in_init"]["hidden0"]["share"] < 0.7
    assert ("omega_init" in origin) == (neuron in ("rf", "brf", "bhrf"))


def test_several_layers_are_scaled_one_after_the_other(tmp_path):
    config = resolve(str(dense_file(tmp_path / "a.npz")), overrides={"network": {"hidden": [16, 12]}})
    trainer, origin = trainer_for(config)
    weights = trainer.module.weights()
    x, _ = trainer.train_split.batch(np.arange(60))
    for name in ("hidden0", "hidden1"):
        assert spiking_share(trainer.network, weights, x, BACKEND, name) == pytest.approx(0.5, abs=0.15)
        assert origin["w_in_init"][name]["gain"] > 0


def test_published_data_sets_keep_their_initial_weights():
    for dataset in ("tones", "ecg", "smnist", "shd"):
        network = resolve(dataset).network
        assert (network.omega_init, network.w_in_init) == (None, None)


def test_what_is_given_is_kept(tmp_path):
    path = str(dense_file(tmp_path / "a.npz"))
    network = resolve(
        path, overrides={"network": {"init": {"omega": ["uniform", 5, 10], "w_in": ["normal", 0, 1]}}}
    ).network
    assert (network.omega_init, network.w_in_init) == (None, None)
    assert resolve(path, overrides={"network": {"w_in_init": "xavier"}}).network.w_in_init == "xavier"
    assert resolve(path, "lstm").network.w_in_init is None
    assert resolve(path, overrides={"network": {"start_from": "somewhere"}}).network.w_in_init is None
    with pytest.raises(BrfkitError, match=r"network\.w_in_init: neuron lstm has no spikes"):
        resolve(path, "lstm", overrides={"network": {"w_in_init": "data"}})


def test_a_stored_configuration_stays_what_it_is(tmp_path):
    path = str(dense_file(tmp_path / "a.npz"))
    old = Config().to_dict()
    del old["network"]["w_in_init"]
    old["data"]["dataset"] = path
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert resolve(path, file=tmp_path / "config.json") == Config.from_dict(old)


def test_labels_per_step_count_every_step(tmp_path):
    x, _ = waves()
    y = (x[:, :, 0] > 0).astype(int)
    np.savez(tmp_path / "a.npz", x_train=x[:100], y_train=y[:100], x_test=x[100:], y_test=y[100:])
    assert resolve(str(tmp_path / "a.npz")).task.accuracy_from == "every"
    assert resolve(str(dense_file(tmp_path / "b.npz"))).task.accuracy_from == "mean"


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_inputs_without_a_spectrum(steps, tmp_path):
    x = np.repeat(np.random.default_rng(2).standard_normal((40, 1, 3)), steps, 1)
    y = (x[:, 0, 0] > 0).astype(int)
    np.savez(tmp_path / "a.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    trainer, origin = trainer_for(resolve(str(tmp_path / "a.npz")))
    omega = trainer.module.weights()["hidden0.omega"]
    assert (omega > 0).all()
    assert (omega * 0.01 < 1).all()
    assert origin["w_in_init"]["hidden0"]["share"] > 0


def test_period_range_covers_one_to_four_periods():
    drawn = period_range(100, 0.01).draw(np.random.default_rng(0), 400)
    assert drawn.min() == pytest.approx(2 * np.pi, rel=0.1)
    assert drawn.max() == pytest.approx(4.5 * 2 * np.pi, rel=0.1)
    assert period_range(2, 0.01).draw(np.random.default_rng(0), 10).max() <= 50


def test_a_silent_network_is_noted_at_the_start_and_at_the_end(tmp_path, caplog):
    path = dense_file(tmp_path / "a.npz", 1e-9)
    settings = {"network": {"w_in_init": "xavier"}, "training": {"epochs": 1}}
    with caplog.at_level(logging.WARNING):
        result = train(resolve(str(path), overrides=settings), tmp_path / "run", BACKEND)
    assert result.silent
    end = (
        "no neuron of hidden0 spikes: its outputs do not depend on the input; --w-in-init data scales the input weights"
    )
    assert result.notes[-1].startswith(end)
    warned = [record.getMessage() for record in caplog.records]
    assert any(text.startswith(f"at the initial weights, {end}") for text in warned)
    assert warned[-1].startswith(end)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["silent"] is True


def test_sequences_shorter_than_a_period_are_noted(tmp_path):
    overrides = {"network": {"init": {"omega": ["uniform", 3, 5]}}, "training": {"epochs": 1}}
    result = train(resolve(str(dense_file(tmp_path / "a.npz")), overrides=overrides), tmp_path / "run", BACKEND)
    assert result.notes[0].startswith(
        "sequences of 60 steps last 0.6 (steps · δ, δ = 0.01), which is shorter than one period 2π/ω of 64 of the 64 "
        "neurons of hidden0"
    )


def test_search_gain_takes_the_nearest_of_a_jump():
    assert search_gain(lambda g: 0.2 if g < 7 else 0.9, 0.5)[1] == 0.2
    assert search_gain(lambda g: 0.0, 0.5) == (1.0, 0.0)
    gain, found = search_gain(lambda g: min(1.0, g / 100), 0.5)
    assert found == pytest.approx(0.5, rel=0.05)
    assert gain == pytest.approx(50, rel=0.05)


def test_calibration_changes_the_input_weights_by_one_number_only(tmp_path):
    config = resolve(str(dense_file(tmp_path / "a.npz")), overrides={"network": {"hidden": [8]}})
    data = load_dataset(config.data, seed=0)
    network = config.network.build(data.channels, data.classes)
    weights = network.initialise(0, np.float64)
    before = {name: value.copy() for name, value in weights.items()}
    x, _ = data.train.batch(np.arange(20), np.float64)
    (done,) = calibrate_weights(network, weights, x, BACKEND)
    np.testing.assert_array_equal(weights.pop("hidden0.w_in"), before.pop("hidden0.w_in") * done.gain)
    for name, value in weights.items():
        np.testing.assert_array_equal(value, before[name])


def test_channel_scale_is_the_root_mean_square():
    x = np.array([[[3.0, 0.0]], [[4.0, 0.0]]])
    np.testing.assert_allclose(channel_scale(x), [np.sqrt(12.5), 1.0])
