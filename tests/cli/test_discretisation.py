"""``--discretisation`` and ``--trainable`` on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brfkit.checkpoints.native import open_checkpoint
from brfkit.errors import BrfkitError
from brfkit.runs.config import Config
from brfkit.runs.resolve import parse_settings, resolve

QUICK = ("--dataset", "tones", "--hidden", "16", "--limit-train", "60", "--limit-test", "20", "--epochs", "2",
         "--batch-size", "10", "--lr", "0.5", "--threads", "1")  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from brfkit.cli import run

    folder = tmp_path_factory.mktemp("runs") / "run"
    choices = ("--discretisation", "exact", "--trainable", "gamma")
    assert run(["train", *QUICK, *choices, "--run-dir", str(folder)]) == 0
    return folder


def test_training_moves_gamma(trained):
    checkpoint = open_checkpoint(trained)
    assert checkpoint.network.layers[0].options == {"discretisation": "exact", "train_gamma": True}
    gamma = open_checkpoint(trained / "last.npz").weights["hidden0.gamma"]
    assert gamma.shape == (16,)
    assert np.ptp(gamma) > 0
    assert (gamma != np.float32(0.9)).any()
    stored = json.loads((trained / "config.json").read_text())["network"]
    assert (stored["discretisation"], stored["trainable"]) == ("exact", ["gamma"])


def test_other_commands_take_the_run(command, trained, tmp_path):
    evaluated = command("evaluate", trained, "--limit-test", "10", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["parameters"] == open_checkpoint(trained).network.parameter_count()
    plane = command("stability", "--checkpoint", trained, "--neurons", "50", "--backend", "reference", "--json")
    assert plane.code == 0, plane.err
    assert json.loads(plane.out)["network"]["after"]["stable"] == 16
    resumed = command("train", *QUICK, "--resume", "--run-dir", trained)
    assert resumed.code == 0, resumed.err


def test_simulate_frequency_and_stability_take_it(command):
    common = ("--backend", "reference", "--json", "--discretisation")
    growing = (
        "simulate",
        "--neuron",
        "rf",
        "--omega",
        "90",
        "--b-offset",
        "0",
        "--stimulus",
        "pulse",
        "--steps",
        "400",
    )
    diverged = {way: json.loads(command(*growing, *common, way).out)["diverged"] for way in ("euler", "exact")}
    assert diverged == {"euler": True, "exact": False}
    fast = command("simulate", "--omega", "150", *common, "symplectic")
    assert fast.code == 0, fast.err
    assert command("simulate", "--omega", "150", *common, "euler").code == 1
    tuned = command("frequency", "--omega", "20", "--measure", "none", *common, "exact")
    assert json.loads(tuned.out)["peak_frequency"] == pytest.approx(20, rel=0.01)
    plane = json.loads(command("stability", "--neuron", "rf", "--neurons", "300", *common, "symplectic").out)
    assert plane["disagreements_beyond_rounding"] == 0
    varied = command(
        "frequency", "--omega", "20", "--measure", "none", "--json", "--vary", "discretisation=euler,exact"
    )
    assert [one["name"] for one in json.loads(varied.out)["variants"]] == ["euler", "exact"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("simulate", "--discretisation", "exat"), "no discretisation 'exat'; did you mean 'exact'?"),
        (("simulate", "--neuron", "lif", "--discretisation", "exact"), "neuron lif has one discretisation only"),
        (("frequency", "--vary", "discretisation=exakt"), "did you mean 'exact'?"),
        (("stability", "--neuron", "bhrf", "--discretisation", "exact"), "neuron bhrf has one discretisation only"),
        (("train", *QUICK, "--trainable", "gama"), "no constant 'gama' that can be trained; did you mean 'gamma'?"),
        (("train", *QUICK, "--discretisation", "sympletic"), "did you mean 'symplectic'?"),
        (("train", *QUICK, "--neuron", "lstm", "--trainable", "gamma"), "lstm takes no setting network.trainable"),
        (
            ("train", *QUICK, "--neuron", "alif", "--trainable", "beta"),
            "no constant 'beta' that can be trained; did you mean 'theta'?",
        ),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    outcome = command(*arguments)
    assert outcome.code == 1
    assert line in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_trained_network_has_its_own(command):
    for name in ("simulate", "stability"):
        assert command(name, "--checkpoint", "nowhere", "--discretisation", "exact").code == 2


def test_neurons_shows_both(command):
    facts = json.loads(command("neurons", "brf", "--json").out)
    assert [one["name"] for one in facts["discretisations"]] == ["euler", "symplectic", "exact"]
    assert [(one["name"], one["default"]) for one in facts["trainable"]] == [("gamma", 0.9), ("theta", 1.0)]
    shown = command("neurons", "brf").out
    assert "--trainable gamma" in shown
    assert "symplectic" in shown
    assert json.loads(command("neurons", "alif", "--json").out)["discretisations"] == []


def test_configuration():
    given = parse_settings(["network.trainable=gamma", "network.discretisation=exact"])
    config = resolve("tones", "brf", overrides=given)
    assert (config.network.trainable, config.network.discretisation) == (("gamma",), "exact")
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert resolve("tones", "brf", overrides={"network": {"trainable": []}}).network.trainable == ()
    old = config.to_dict()
    del old["network"]["trainable"], old["network"]["discretisation"]
    assert Config.from_dict(old).network.build(2, 2) == resolve("tones", "brf").network.build(2, 2)
    begin = resolve("tones", "brf", overrides=parse_settings(['network.init.gamma=["constant", 0.5]'])).network
    assert begin.init["gamma"].sample(np.random.default_rng(0), 2).tolist() == [0.5, 0.5]
    with pytest.raises(BrfkitError, match=r"network\.trainable must be text, not 3"):
        Config.from_dict({"network": {"trainable": [3]}})
