"""The public functions: trained networks as objects go in, objects with ``to_dict()`` come out."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import brfkit
from brfkit import nn
from brfkit.backends import get_backend
from brfkit.cli import run
from brfkit.data import load as load_dataset
from brfkit.setups import load_data
from brfkit.task import Task

SMALL = {
    "data": {"limit_train": 60, "limit_test": 30},
    "network": {"hidden": [8]},
    "training": {"epochs": 1, "batch_size": 20},
}
SCRIPT = """
import numpy as np
import torch

import brfkit
from brfkit import nn

torch.manual_seed(0)
rng = np.random.default_rng(0)
ecg = rng.random((6, 40, 4)) < 0.2, rng.integers(0, 6, (6, 40))  # x (N, T, I) and a label per step (N, T)
module = torch.nn.Sequential(nn.BRF(4, 36), nn.LI(36, 6))
networks = {
    "run": (brfkit.load("run"), None),
    "module": (brfkit.TrainedNetwork.from_module(module), ecg),
}
found = {}
for name, (network, data) in networks.items():
    few = {"samples": 6, "threads": 1}
    found[name] = [
        brfkit.evaluate(network, data, **few),
        brfkit.inspect(network, data, **few),
        brfkit.robustness(network, "spike-deletion", data, levels=[0, 0.5], repeats=2, **few),
        brfkit.gradients(network, data, points=10, **few),
        brfkit.landscape(network, data, points=5, **few),
        brfkit.report(network, data, perturbations=["spike-deletion"], repeats=1, out=f"{name}.html", **few),
    ]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "run"
    return brfkit.train("tones", run_dir=folder, settings=SMALL, threads=1)


def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(nn.BRF(4, 36), nn.LI(36, 6))


def signals(seed=0, samples=8):
    rng = np.random.default_rng(seed)
    return (rng.random((samples, 40, 4)) < 0.3).astype(np.float32), rng.integers(0, 6, (samples, 40))


def test_a_run_and_a_module_go_through_every_analysis(trained, tmp_path, monkeypatch):
    assert len(SCRIPT.strip().splitlines()) < 30
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(trained.folder.path)
    found = {}
    exec(SCRIPT, found)
    for name, (network, _) in found["networks"].items():
        evaluation, inspection, robustness, gradients, landscape, report = found["found"][name]
        assert all(json.dumps(one.to_dict(), default=float) for one in found["found"][name])
        assert evaluation.parameters == network.network.parameter_count()
        assert inspection.accuracy == pytest.approx(evaluation.accuracy)
        assert robustness.mean("accuracy")[0] == pytest.approx(evaluation.accuracy)
        assert landscape.figures.loss_center == pytest.approx(evaluation.loss)
        assert gradients.layers == tuple(layer.name for layer in network.network.spiking_layers)
        assert {"inspect", "robustness", "gradients"} <= set(report.sections)
        assert (tmp_path / f"{name}.html").stat().st_size == report.size


def test_the_object_of_a_run_is_what_the_path_is(trained, capsys):
    network = brfkit.load(trained.folder.path)
    assert run(["evaluate", str(trained.folder.path), "--threads", "1", "--json"]) == 0
    command = json.loads(capsys.readouterr().out)
    for found in (brfkit.evaluate(network, threads=1), brfkit.evaluate(trained.folder, threads=1),
                  brfkit.evaluate(trained.network, "tones", threads=1)):  # fmt: skip
        values = found.to_dict()
        assert list(values) == list(command)
        assert {**values, "seconds": 0} == {**command, "seconds": 0}


def test_a_module_is_evaluated_as_torch_runs_it():
    layers, (x, y) = module(), signals()
    outputs, _ = layers(torch.from_numpy(x).transpose(0, 1))  # [T, B, O]
    wanted = Task().correct(outputs.detach().numpy(), y.T)
    found = brfkit.evaluate(brfkit.TrainedNetwork.from_module(layers), (x, y), backend="numba")
    assert found.accuracy == pytest.approx(100.0 * wanted[0] / wanted[1])
    assert (found.dataset, found.samples, found.neuron) == ("arrays", 8, "brf")


def test_stacked_layers_are_taken_one_by_one():
    torch.manual_seed(0)
    layers, (x, y) = torch.nn.Sequential(nn.BRF(4, 8, num_layers=2), nn.LI(8, 6)), signals()
    network = brfkit.TrainedNetwork.from_module(layers)
    assert [layer.name for layer in network.network.layers] == ["hidden0", "hidden1", "readout"]
    outputs, _ = layers(torch.from_numpy(x).transpose(0, 1))
    wanted = Task().correct(outputs.detach().numpy(), y.T)
    assert brfkit.evaluate(network, (x, y), threads=1).accuracy == pytest.approx(100.0 * wanted[0] / wanted[1])


def test_weights_are_copied():
    layers = module()
    network = brfkit.TrainedNetwork.from_module(layers)
    before = network.sha256
    with torch.no_grad():
        layers[0].omega += 1.0
    assert network.sha256 == before
    assert list(network.weights) == list(network.network.shapes())


def test_to_module_and_back_is_the_same_network():
    network = brfkit.TrainedNetwork.from_module(module())
    again = brfkit.TrainedNetwork.from_module(network.to_module(threads=1))
    assert again.sha256 == network.sha256


def test_a_saved_network_is_read_again(tmp_path):
    network = brfkit.TrainedNetwork.from_module(module(), task=Task("last", "mean", 3), dataset="tones", name="mine")
    network.save(tmp_path / "net.npz")
    again = brfkit.load(tmp_path / "net.npz")
    assert (again.sha256, again.task, again.data) == (network.sha256, network.task, network.data)
    with pytest.raises(brfkit.BrfkitError, match="exists"):
        network.save(tmp_path / "net.npz")


def test_a_run_keeps_its_settings_when_saved(trained, tmp_path):
    trained.network.save(tmp_path / "copy.npz")
    copy = brfkit.load(tmp_path / "copy.npz")
    assert copy.config == trained.network.config == trained.folder.config
    assert copy.data == trained.folder.config.data


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (torch.nn.Linear(4, 6), "this module is a Linear"),
        (torch.nn.Sequential(nn.BRF(4, 8), torch.nn.Linear(8, 6)), "module 1 of this Sequential is a Linear"),
        (torch.nn.Sequential(), "empty"),
        (nn.BRF(4, 8, bidirectional=True), "this module is bidirectional"),
        (torch.nn.Sequential(nn.BRF(4, 8), nn.LI(9, 6)), "8 neurons is followed by one with 9 inputs"),
        (torch.nn.Sequential(nn.BRF(4, 8), nn.LI(8, 6, dt=0.1)), "one time step"),
    ],
)
def test_other_modules_are_refused_in_one_line(foreign, message):
    with pytest.raises(brfkit.BrfkitError, match=message) as error:
        brfkit.TrainedNetwork.from_module(foreign)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros((3, 5, 2)), np.zeros(3, int)), "expects 4 channels"),
        ((np.zeros((3, 5, 4)), np.zeros(3)), "whole numbers"),
        ((np.zeros((3, 5, 4)), np.full(3, 6)), "6 classes"),
        ((np.zeros((3, 5)), np.zeros(3, int)), "needs x"),
        ((np.full((3, 5, 4), np.nan), np.zeros(3, int)), "not finite"),
        ((np.zeros((0, 5, 4)), np.zeros(0, int)), "no samples"),
        (None, "name the data set"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(brfkit.BrfkitError, match=message):
        brfkit.evaluate(brfkit.TrainedNetwork.from_module(module()), data)


def test_another_permutation_is_refused():
    network = replace(brfkit.TrainedNetwork.from_module(module()), extra={"permutation": np.arange(40)[::-1]})
    data = load_data(network, signals())
    assert brfkit.evaluate(network, data, threads=1).samples == 8
    with pytest.raises(brfkit.BrfkitError, match="another permutation"):
        brfkit.evaluate(network, replace(data, permutation=np.arange(40)))
    with pytest.raises(brfkit.BrfkitError, match="loaded already"):
        brfkit.evaluate(network, data, permutation=np.arange(40))


def test_a_loaded_data_set_is_used_as_it_is(trained):
    data = load_dataset("tones", limit_test=12)
    backend = get_backend("numba", threads=1)
    found = brfkit.evaluate(trained.network, data, backend=backend)
    assert found.samples == 12
    assert brfkit.evaluate(trained.network, data, samples=5, backend=backend).samples == 5
    assert brfkit.evaluate(trained.network, data.test, backend=backend).loss == found.loss


def test_neurons_of_a_network_have_a_response_and_a_plane(trained):
    response = brfkit.frequency(trained.network, frequencies=[1.0, 5.0], measure=(), threads=1)
    assert response.neurons == 8
    np.testing.assert_array_equal(
        response.population.parameters["omega"], trained.network.weights["hidden0.omega"].astype(np.float64)
    )
    with pytest.raises(brfkit.BrfkitError, match="no spiking layer 'readout'"):
        brfkit.frequency(trained.network, "readout")
    plane = brfkit.stability(trained.network, neurons=20, steps=256, threads=1)
    assert set(plane.to_dict()["network"]) == {"before", "after"}


def test_one_sample_with_every_state():
    network = brfkit.TrainedNetwork.from_module(module())
    found = brfkit.simulate_network(network, signals(), sample=3, threads=1)
    assert found.states["hidden0.z"].shape == (40, 36)
    np.testing.assert_array_equal(found.label, signals()[1][3])


def test_a_report_loads_the_data_once(trained, tmp_path, monkeypatch):
    import brfkit.runs.datasets as module

    loads, load = [], module.load
    monkeypatch.setattr(module, "load", lambda *args, **kwargs: loads.append(args) or load(*args, **kwargs))
    made = brfkit.report(
        trained.folder, samples=4, repeats=1, perturbations=["spike-deletion"], out=tmp_path / "r.html", threads=1
    )
    assert {"inspect", "robustness", "gradients"} <= set(made.sections)
    assert len(loads) == 1


def test_training_returns_the_run(trained):
    assert trained.network.neuron == "brf"
    assert [row.epoch for row in trained.metrics if row.split == "test"] == [0, 1]
    assert trained.folder.result()["test_accuracy"] == trained.test_accuracy
    found = brfkit.evaluate(trained.network, samples=30, threads=1)
    assert found.accuracy == pytest.approx(trained.test_accuracy)
    assert found["accuracy"] == found.accuracy  # as a dictionary, for one release


def test_a_whole_configuration_trains(trained, tmp_path):
    again = brfkit.train(trained.folder.config, run_dir=tmp_path / "again", threads=1)
    assert again.network.sha256 == trained.network.sha256
    with pytest.raises(brfkit.BrfkitError, match="leaves no room"):
        brfkit.train(trained.folder.config, "rf", run_dir=tmp_path / "other")


def test_every_name_at_the_top_is_there():
    for name in brfkit.__all__:
        assert getattr(brfkit, name) is not None
    assert brfkit.inspect_network is brfkit.inspect
    assert brfkit.gradient_flow is brfkit.gradients


@pytest.mark.parametrize("name", [name for name in brfkit.__all__ if name != "simulate"])
def test_public_signatures_are_typed_and_short(name):
    function = getattr(brfkit, name)
    if isinstance(function, str | type):
        return
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    assert len(named) <= 9
    assert not [p.name for p in named if p.annotation is p.empty or "Any" in str(p.annotation)]
    assert "Any" not in str(signature.return_annotation)
