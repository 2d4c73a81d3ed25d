"""Evaluation: the authors' trained networks on whole test sets, and what the figures mean."""

import json

import numpy as np
import pytest

import brfkit
from brfkit.backends import get_backend
from brfkit.data import DenseSplit
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.network import recurrent_network
from brfkit.task import Task

# Accuracy in points: rounding turns single spikes, and with them single predictions.
CHECKPOINTS = [
    ("ecg_brf", "ecg", "brf", 0.05),
    ("ecg_alif", "ecg", "alif", 0.05),
    ("smnist_brf", "smnist", "brf", 0.1),
    ("smnist_alif", "smnist", "alif", 0.1),
]


@pytest.mark.parametrize(("name", "dataset", "neuron", "points"), CHECKPOINTS, ids=[c[0] for c in CHECKPOINTS])
def test_published_networks_in_float32(name, dataset, neuron, points, reference_dir, data_dir):
    published = json.loads((reference_dir / "published.json").read_text())["checkpoints"][name]
    path = reference_dir / "checkpoints" / f"{name}.pt"
    result = brfkit.evaluate(path, dataset, neuron=neuron, backend="numba", data_dir=data_dir)
    assert result["samples"] == published["test_samples"]
    assert abs(result["accuracy"] - published["accuracy"]) <= points
    assert result["loss"] == pytest.approx(published["loss"], rel=0.005)
    assert result["spikes_per_sample"] == pytest.approx(published["spikes_per_sample"], rel=0.002)


@pytest.fixture
def small():
    network = recurrent_network(2, [9], 3)
    weights = network.initialise(0)
    weights["hidden0.w_in"] *= 40
    rng = np.random.default_rng(0)
    split = DenseSplit(rng.normal(size=(11, 20, 2)).astype(np.float32), rng.integers(0, 3, 11))
    return network, weights, split


def test_batch_size_does_not_change_the_figures(small):
    network, weights, split = small
    results = [evaluate(network, weights, split, Task(), get_backend("numba"), batch_size=b) for b in (1, 4, 11, 100)]
    for result in results[1:]:
        assert result.accuracy == results[0].accuracy
        assert result.loss == pytest.approx(results[0].loss, rel=1e-12)
        assert result.spikes_per_sample == results[0].spikes_per_sample > 0


def test_rates_follow_from_the_spikes(small):
    network, weights, split = small
    result = evaluate(network, weights, split, Task(), get_backend("reference"))
    assert result.spikes_per_step == pytest.approx(result.spikes_per_sample / 20)
    assert result.firing_rate == pytest.approx(result.spikes_per_sample / 20 / 9)
    assert result.samples == 11


def test_nothing_to_evaluate(small):
    network, weights, split = small
    with pytest.raises(BrfkitError, match="no samples"):
        evaluate(network, weights, split.select([]), Task(), get_backend("numba"))


def test_network_that_diverges_has_figures_and_no_crash(small):
    network, weights, split = small
    wild = {**weights, "hidden0.w_in": weights["hidden0.w_in"] * np.float32(1e30)}
    result = evaluate(network, wild, split, Task(), get_backend("numba"))
    assert result.samples == 11


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shd_reaches_the_published_implementation(seed, tmp_path, data_dir):
    settings = {"training": {"epochs": 10, "seed": seed}}
    result = brfkit.train("shd", "brf", run_dir=tmp_path / "run", settings=settings, data_dir=data_dir)
    assert result.test_accuracy >= 78.0  # the published code on the same files: 78 to 82 %


@pytest.mark.slow
def test_ecg_reaches_the_published_accuracy(tmp_path, data_dir):
    result = brfkit.train("ecg", "brf", run_dir=tmp_path / "run", data_dir=data_dir)
    assert result.test_accuracy >= 83.5  # five published seeds lie between 84.4 and 86.2 %
