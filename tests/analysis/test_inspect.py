"""Inside a trained network: figures that agree with what is known otherwise, files, pictures."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import brfkit
from brfkit.analysis.network.inspect.inspection import SATURATED, inspect_network
from brfkit.analysis.network.inspect.measures import data_spectrum, effective, resonance, weight_figures
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.cli import run
from brfkit.data import DenseSplit, load
from brfkit.network import Layer, recurrent_network
from brfkit.neurons import NEURONS
from brfkit.plotting.inspect import figures
from brfkit.runs.config import Config


def layer_with(neuron, **parameters):
    units = len(next(iter(parameters.values())))
    layer = Layer("n", neuron, units, recurrent=False)
    return layer, {f"n.{name}": np.array(value) for name, value in parameters.items()}


def test_resonance_of_brf_is_known():
    """At rest |λ| = 1 - δb' or so: exactly |1 + δ(p(ω) - b' + iω)|, and the angle is its argument."""
    omega, b = np.array([5.0, 20.0, 60.0, -20.0]), np.array([0.0, 1.0, 3.0, -1.0])
    layer, weights = layer_with("brf", omega=omega, b_offset=b)
    found = resonance(layer, weights, 0.01)
    w = np.abs(omega)
    p = (-1 + np.sqrt(1 - (0.01 * w) ** 2)) / 0.01
    pole = 1 + 0.01 * (p - np.abs(b) + 1j * w)
    np.testing.assert_allclose(found.magnitude, np.abs(pole), rtol=1e-12)
    np.testing.assert_allclose(found.omega, np.angle(pole) / 0.01, rtol=1e-9)
    assert found.memory[0] > 1e12  # |λ| = 1 up to rounding
    np.testing.assert_allclose(found.memory[1:], -1 / np.log(np.abs(pole[1:])), rtol=1e-9)


def test_memory_of_a_leaky_neuron_is_its_time_constant():
    layer, weights = layer_with("lif", tau_mem=[5.0, 20.0, -20.0])
    found = resonance(layer, weights, 0.01)
    np.testing.assert_allclose(found.memory, [5.0, 20.0, 20.0], rtol=1e-12)
    np.testing.assert_array_equal(found.omega, 0.0)


@pytest.mark.parametrize("neuron", [n for n, spec in NEURONS.items() if spec.spiking])
def test_every_neuron_has_a_resonance_and_parameters(neuron):
    layer = Layer("n", neuron, 7, recurrent=False)
    weights = {f"n.{p.name}": p.init.sample(np.random.default_rng(1), 7) for p in layer.spec.parameters}
    found = resonance(layer, weights, 0.01)
    assert found.omega.shape == found.memory.shape == (7,)
    assert np.isfinite(found.omega).all()
    negative = {name: -value for name, value in weights.items()}
    for name, value in effective(layer, negative, 0.01).items():
        np.testing.assert_array_equal(value, np.abs(weights[f"n.{name}"]))


def test_a_parameter_whose_sign_matters_keeps_it():
    layer, weights = layer_with("li-sigmoid", tau_mem=[-2.0, 3.0])
    np.testing.assert_array_equal(effective(layer, weights, 0.01)["tau_mem"], [-2.0, 3.0])


def test_weight_figures():
    network = recurrent_network(3, (4,), 2, "brf")
    weights = network.initialise(0, np.float64)
    weights["hidden0.w_rec"] = np.diag([3.0, -4.0, 1.0, 0.0])
    found = weight_figures(network, weights)
    assert list(found) == ["hidden0.w_in", "hidden0.w_rec", "readout.w_in"]
    assert found["hidden0.w_rec"]["norm"] == pytest.approx(np.sqrt(26))
    assert found["hidden0.w_rec"]["spectral_norm"] == found["hidden0.w_rec"]["spectral_radius"] == pytest.approx(4.0)


def test_spectrum_of_a_sine_has_its_peak_there():
    steps, dt = 200, 0.01
    t = dt * np.arange(steps)
    wave = 3.0 + np.stack([np.sin(2 * np.pi * 4 * t), 2 * np.cos(2 * np.pi * 10 * t)], 1)  # whole periods
    split = DenseSplit(np.stack([wave] * 3), np.zeros(3, np.int64))
    omega, power = data_spectrum(split, dt, 2)
    assert omega[-1] == pytest.approx(np.pi / dt)
    np.testing.assert_allclose(omega[power.argmax(0)], 2 * np.pi * np.array([4.0, 10.0]))
    # A sine of amplitude a has |X|² / T = a² T / 4 at its frequency.
    np.testing.assert_allclose(power.max(0), np.array([1.0, 4.0]) * steps / 4, rtol=1e-9)
    assert np.sort(power, axis=0)[-2].max() < 1e-9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network for the embedded data, with a neuron that never and one that nearly always spikes."""
    network = recurrent_network(4, (8, 5), 10, "lif", bias=True)
    weights = network.initialise(1)
    weights["hidden0.w_in"] *= 5.0
    weights["hidden0.bias"][:2] = (-1e6, 1e6)
    task = {"loss_on": "mean", "accuracy_from": "mean"}
    config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": "lif"}, "task": task})
    path = tmp_path_factory.mktemp("run") / "best.npz"
    save_checkpoint(path, Checkpoint(network, weights, {"config": config.to_dict()}))
    return str(path)


def test_counts_agree_with_evaluate_and_the_data(checkpoint):
    found = inspect_network(checkpoint, samples=70, backend="reference")
    plain = brfkit.evaluate(checkpoint, limit_test=70, backend="reference")
    assert found.accuracy == pytest.approx(plain["accuracy"])
    assert found.loss == pytest.approx(plain["loss"])
    assert found.spikes_per_sample == pytest.approx(plain["spikes_per_sample"])
    labels = load("tones", splits=("test",), limit_test=70).test.y
    np.testing.assert_array_equal(found.confusion.sum(1), np.bincount(labels, minlength=10))
    per_step = sum(float(layer.rate.sum()) for layer in found.layers)
    assert per_step == pytest.approx(plain["spikes_per_step"])
    first = found.layers[0]
    assert first.dead.tolist() == [0]
    assert 1 in first.saturated
    assert first.rate[1] > SATURATED
    share = np.bincount(labels, minlength=10) / 70
    np.testing.assert_allclose(share @ first.rate_by_class, first.rate)


def test_labels_per_step(reference_dir, data_dir):
    path = reference_dir / "checkpoints" / "ecg_alif.pt"
    found = inspect_network(path, "ecg", samples=20, data_dir=data_dir, threads=1)
    plain = brfkit.evaluate(path, "ecg", limit_test=20, data_dir=data_dir, threads=1)
    assert found.accuracy == pytest.approx(plain["accuracy"])
    assert found.confusion.sum() == 20 * 1290  # the first ten steps do not count for ALIF
    labels = load("ecg", splits=("test",), limit_test=20, data_dir=data_dir).test.y
    share = np.bincount(labels.ravel(), minlength=6) / labels.size
    np.testing.assert_allclose(share @ found.layers[0].rate_by_class, found.layers[0].rate)


def test_pictures_of_every_kind_can_be_drawn(checkpoint):
    found = inspect_network(checkpoint, samples=5, backend="reference")
    for name, draw in figures(found).items():
        axes = draw().axes
        assert axes, name
        for ax in axes:
            assert ax.get_xlabel() or ax.get_ylabel() or not ax.axison, name


def test_command_fills_a_folder(checkpoint, tmp_path, capfd):
    out = tmp_path / "inspection"
    arguments = ["inspect", checkpoint, "--samples", "6", "--show", "2", "--backend", "reference", "--out", str(out)]
    assert run([*arguments, "--format", "svg", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert sorted(facts["files"]) == sorted(path.name for path in out.iterdir())
    pictures = {"parameters.svg", "weights.svg", "activity.svg", "spectrum.svg", "confusion.svg", "sample-2.svg"}
    assert pictures <= set(facts["files"])
    assert "labels.svg" not in facts["files"]
    summary = json.loads((out / "inspection.json").read_text())
    assert summary["layers"]["hidden0"]["dead"] == facts["layers"]["hidden0"]["dead"] == [0]
    rows = list(csv.DictReader((out / "neurons.csv").open()))
    assert [row["layer"] for row in rows] == ["hidden0"] * 8 + ["hidden1"] * 5
    assert (rows[0]["dead"], rows[1]["dead"], rows[1]["saturated"]) == ("1", "0", "1")
    assert sum(1 for _ in (out / "confusion.csv").open()) == 11
    assert run(arguments) == 1
    assert "--force" in capfd.readouterr().err
    assert run([*arguments, "--force", "--show", ""]) == 0
    assert "hidden0" in capfd.readouterr().out
    assert run([*arguments, "--show", "a"]) == 2


def test_the_right_and_said_classes_over_the_signal(reference_dir, data_dir, tmp_path):
    path = str(reference_dir / "checkpoints" / "ecg_alif.pt")
    out = tmp_path / "ecg"
    arguments = ["inspect", path, "--dataset", "ecg", "--data-dir", str(data_dir), "--samples", "2", "--show", "0"]
    assert run([*arguments, "--threads", "1", "--out", str(out)]) == 0
    assert (out / "labels.png").read_bytes().startswith(b"\x89PNG")
