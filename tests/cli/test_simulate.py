"""``brfkit neurons`` and ``brfkit simulate``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from brfkit.neurons import NEURONS, get_surrogate

from .conftest import environment

KEYS = ["neuron", "backend", "steps", "neurons", "spikes", "firing_rate", "diverged", "seconds"]


def test_neurons_lists_all(command):
    shown = command("neurons").out
    for neuron in NEURONS.values():
        assert re.search(rf"^{neuron.name} .*{re.escape(neuron.title)}", shown, re.MULTILINE)
    facts = json.loads(command("neurons", "--json").out)
    assert [one["name"] for one in facts["neurons"]] == list(NEURONS)


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_shows_everything_of_one(command, name, monkeypatch):
    neuron = NEURONS[name]
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("neurons", name)
    assert max(map(len, shown.out.splitlines())) <= 80
    text = " ".join(shown.out.split())
    expected = [*neuron.equations, neuron.title, neuron.source, neuron.doc]
    expected += [f"{key} = {value:g}" for key, value in neuron.constants.items()]
    expected += ["--no-" + option.name.replace("_", "-") for option in neuron.options]
    for parameter in neuron.parameters:
        expected += [parameter.symbol, parameter.name, parameter.unit, f"{parameter.default:g}", str(parameter.init)]
    if neuron.surrogate:
        expected += [get_surrogate(neuron.surrogate).formula]
    for words in expected:
        assert " ".join(words.split()) in text
    facts = json.loads(command("neurons", name, "--json").out)
    assert facts["equations"] == list(neuron.equations)
    assert [p["name"] for p in facts["parameters"]] == [p.name for p in neuron.parameters]
    assert facts["states"] == list(neuron.states)


def test_the_default_shows_spikes(command):
    result = json.loads(command("simulate", "--json").out)
    assert list(result) == KEYS
    assert (result["neuron"], result["steps"], result["neurons"], result["diverged"]) == ("brf", 1000, 1, False)
    assert result["spikes"] > 10
    assert result["firing_rate"] == pytest.approx(result["spikes"] / 1000)


def test_the_report_names_what_was_written(command, tmp_path):
    out, plot = tmp_path / "trace.npz", tmp_path / "trace.png"
    shown = command("simulate", "--steps", "200", "--out", out, "--plot", plot)
    assert shown.code == 0
    assert shown.err == ""
    assert "trace.npz" in shown.out.replace("\n", "")
    assert plot.read_bytes().startswith(b"\x89PNG")
    with np.load(out) as file:
        assert file["u"].shape == (200, 1)


def test_nothing_is_overwritten_without_force(command, tmp_path):
    out, plot = tmp_path / "trace.csv", tmp_path / "trace.svg"
    arguments = ("simulate", "--steps", "50", "--out", out, "--plot", plot)
    assert command(*arguments).code == 0
    before = out.read_bytes(), plot.read_bytes()
    again = command(*arguments, "--neuron", "rf")
    assert again.code == 1
    assert re.fullmatch(r"Error: .*trace\.csv exists; --force.*\n", again.err)
    assert (out.read_bytes(), plot.read_bytes()) == before
    assert command(*arguments, "--neuron", "rf", "--force").code == 0
    assert out.read_bytes() != before[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trace.csv", "trace.svg"]


def test_a_population_from_a_file(command, tmp_path):
    current = np.random.default_rng(0).normal(0, 50, (120, 3))
    np.save(tmp_path / "x.npy", current)
    command(
        "simulate", "--stimulus", tmp_path / "x.npy", "--omega", "5,10,20", "--b-offset", "0.1:1", "--dtype", "float64",
        "--out", tmp_path / "trace.h5", "--no-smooth-reset", "--set", "gamma=0.8",
    )  # fmt: skip
    with h5py.File(tmp_path / "trace.h5") as file:
        assert file["v"].shape == (120, 3)
        np.testing.assert_array_equal(file["input"][()], current)
        q, z = file["q"][()], file["z"][()]
        np.testing.assert_allclose(q[1:], 0.8 * q[:-1] + z[1:])
        assert z.sum() == file.attrs["spikes"] > 0


def test_divergence_is_reported_not_raised(command):
    arguments = ("simulate", "--neuron", "rf", "--omega", "50", "--b-offset", "0.1")
    shown = command(*arguments)
    assert shown.code == 0
    assert shown.err == ""
    assert re.search(r"diverged +yes, from step 67 ", shown.out)
    assert json.loads(command(*arguments, "--json").out)["diverged"] is True


def test_a_seed_repeats_the_noise(command, tmp_path):
    def noise(seed, name):
        out = tmp_path / name
        command("simulate", "--stimulus", "noise", "--seed", seed, "--steps", "50", "--out", out)
        return out.read_bytes()

    assert noise("1", "a.csv") == noise("1", "b.csv") != noise("2", "c.csv")


READY = """
import sys
from brfkit.backends.reference import ReferenceBackend
from brfkit.cli import main
scan = ReferenceBackend._scan
def announced(self, call):
    print("ready", file=sys.stderr, flush=True)
    return scan(self, call)
ReferenceBackend._scan = announced
main(sys.argv[1:])
"""


def test_an_interrupt_leaves_no_file(tmp_path):
    arguments = ("simulate", "--backend", "reference", "--steps", "3000000", "--out", str(tmp_path / "x.npz"))
    with subprocess.Popen(
        [sys.executable, "-c", READY, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as child:  # fmt: skip
        assert child.stderr.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
