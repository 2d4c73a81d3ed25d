"""What the commands do, with the CUDA sources behind them: simulating, evaluating, training.

They hand arrays of NumPy to the backend. float64, so that the course of a training is that of the reference.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from brfkit.analysis.network.evaluate import evaluate as evaluate_network
from brfkit.backends import get_backend
from brfkit.data import load
from brfkit.evaluation import evaluate
from brfkit.network import Layer, Network, recurrent_network
from brfkit.neurons import Normal
from brfkit.runs.resolve import resolve
from brfkit.simulation import simulate
from brfkit.task import Task
from brfkit.training.trainer import Trainer

SETTINGS = {
    "training": {"epochs": 2, "batch_size": 16, "dtype": "float64"},
    "data": {"limit_train": 40, "limit_test": 12},
    "network": {"hidden": [20]},
}


@pytest.mark.parametrize("neuron", ["brf", "alif"])
def test_simulate(backend, neuron):
    x = 60 * np.sin(np.arange(300) * 0.1)
    got, wanted = (
        simulate(neuron, steps=300, neurons=3, stimulus=x, dtype="float64", backend=engine)
        for engine in (backend, get_backend("reference"))
    )
    assert got.spikes == wanted.spikes > 0
    for name, value in wanted.states.items():
        np.testing.assert_allclose(got.states[name], value, rtol=0, atol=1e-10 * np.abs(value).max())


def test_evaluate(backend):
    data = load("tones", splits=("test",), limit_test=24)
    network = recurrent_network(data.channels, (20,), data.classes, "brf")
    weights = network.initialise(0, np.float64)
    weights["hidden0.w_in"] = weights["hidden0.w_in"] * 40
    got, wanted = (
        evaluate(network, weights, data.test, Task(), engine, batch_size=10)
        for engine in (backend, get_backend("reference"))
    )
    assert got.accuracy == wanted.accuracy
    assert got.loss == pytest.approx(wanted.loss, rel=1e-10)
    assert got.spikes_per_sample == wanted.spikes_per_sample > 0


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # of the reference
@pytest.mark.parametrize("tbptt", [None, 20])
def test_train(backend, tbptt):
    """Two epochs, also with truncated gradients and the state handed on: the same figures and the same weights."""
    training = {**SETTINGS["training"], "tbptt": tbptt} if tbptt else SETTINGS["training"]
    config = resolve("tones", "brf", overrides={**SETTINGS, "training": training})
    data = load("tones", splits=("train", "test"), limit_train=40, limit_test=12)
    network = recurrent_network(data.channels, (20,), data.classes, "brf")
    weights = network.initialise(0, np.float64)
    weights["hidden0.w_in"] = weights["hidden0.w_in"] * 40
    trainers = [Trainer(config, data, network, weights, engine) for engine in (backend, get_backend("reference"))]
    for _ in range(2):
        got, wanted = (trainer.train_epoch() for trainer in trainers)
        assert got.loss == pytest.approx(wanted.loss, rel=1e-7)
        assert got.accuracy == wanted.accuracy
        assert got.spikes_per_sample == wanted.spikes_per_sample > 0
    found, expected = (trainer.module.weights() for trainer in trainers)
    for name, value in expected.items():
        assert not np.array_equal(value, weights[name]), name
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("neuron", ["brf", "alif"])
def test_published_networks(monkeypatch, backend, reference_dir, data_dir, neuron):
    """The published ECG networks on their whole test set, in float32.

    Single spikes that rounding turns move the loss: the published code's own is 0.5 % off its float64 value.
    """
    published = json.loads((reference_dir / "published.json").read_text())["checkpoints"][f"ecg_{neuron}"]
    path = reference_dir / "checkpoints" / f"ecg_{neuron}.pt"
    found = evaluate_network(path, "ecg", neuron=neuron, data_dir=data_dir, backend=backend)
    assert found["samples"] == published["test_samples"]
    assert found["accuracy"] == pytest.approx(published["accuracy"], abs=0.2)
    assert found["loss"] == pytest.approx(published["loss"], rel=0.01)
    assert found["spikes_per_sample"] == pytest.approx(published["spikes_per_sample"], rel=0.002)


@pytest.mark.parametrize("on_device", [False, True])
def test_gradients_of_masked_weights_are_0(backend, on_device):
    layers = (Layer("a", "brf", 13, density=0.5), Layer("b", "alif", 7, False), Layer("out", "li", 3, recurrent=False))
    network = Network(4, layers)
    weights = network.initialise(1, np.float64, {"a.w_in": Normal(0.0, 60.0), "b.w_in": Normal(1.0, 1.0)})
    rng = np.random.default_rng(0)
    x, bar = rng.normal(size=(30, 3, 4)), rng.normal(size=(30, 3, 3))
    put = backend.put if on_device else np.asarray
    trace = backend.scan(network, {name: put(w) for name, w in weights.items()}, put(x), differentiate=True)
    got = backend.scan_vjp(trace, put(bar)).weights
    reference = get_backend("reference")
    wanted = reference.scan_vjp(reference.scan(network, weights, x, differentiate=True), bar).weights
    for name, value in wanted.items():
        found = backend.get(got[name]) if on_device else got[name]
        np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(value).max()))
        assert not found[~network.masks().get(name, np.ones(value.shape, bool))].any()
    assert np.any(wanted["a.w_rec"] != 0)
