"""Neurons from files: executed only where named, kept in checkpoints, checked by the ladder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brfkit
from brfkit.analysis.neuron.check import check_neuron
from brfkit.checkpoints.native import Checkpoint, load_checkpoint, save_checkpoint
from brfkit.cli import run as cli
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.neurons import NEURONS, Neuron, get_neuron, neuron_argument, plugin

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "linear_decay.py"


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Neurons of one test are none of the next one's."""
    neurons, sources = dict(NEURONS), dict(plugin.SOURCES)
    yield
    for registry, before in ((NEURONS, neurons), (plugin.SOURCES, sources)):
        registry.clear()  # type: ignore[attr-defined]
        registry.update(before)  # type: ignore[attr-defined]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(plugin.template(path))
    return path


def loaded(text: str) -> Neuron:
    return get_neuron(neuron_argument(text))


def forget(name: str) -> None:
    NEURONS.pop(name, None)
    plugin.SOURCES.pop(name, None)


def checkpoint(name: str, path: Path) -> Path:
    network = recurrent_network(2, [3], 2, name)
    save_checkpoint(path, Checkpoint(network, network.initialise(0), {}, {}))
    return path


def test_the_template_passes_the_whole_ladder(file: Path):
    report = check_neuron(str(file))
    assert report.passed, [c for c in report.checks if not c.passed]
    names = [check.name for check in report.checks]
    assert {"text", "spikes", "autograd: gradients", "fused scan: gradients", "float32", "speed"} <= set(names)


def test_the_linear_decay_is_short_and_passes():
    assert len(EXAMPLE.read_text().splitlines()) < 40
    assert check_neuron(str(EXAMPLE)).passed


def test_the_ladder_finds_a_neuron_that_never_spikes(file: Path):
    file.write_text(file.read_text().replace('"theta": 1.0', '"theta": 1e9'))
    report = check_neuron(str(file))
    assert [c.name for c in report.checks if not c.passed] == ["spikes"]


def test_the_ladder_finds_states_that_overflow(file: Path):
    file.write_text(file.read_text().replace("u_next = u +", "u_next = 1e30 * u * u * u +"))
    assert not check_neuron(str(file)).passed


def test_a_statement_that_cannot_be_differentiated_is_named(file: Path):
    file.write_text(file.read_text().replace("gamma * q + z", "gamma * q // z"))
    report = check_neuron(str(file))
    assert [c.name for c in report.checks] == ["text"]
    assert not report.passed


def test_a_file_with_several_neurons_asks_which(file: Path):
    text = file.read_text()
    file.write_text(text + text[text.index("NEURON =") :].replace("NEURON =", "OTHER =").replace('"mine"', '"other"'))
    with pytest.raises(BrfkitError, match=r"2 neurons \(mine, other\)"):
        loaded(str(file))
    assert loaded(f"{file}:other").name == "other"
    assert loaded(f"{file}:NEURON").name == "mine"
    with pytest.raises(BrfkitError, match="no neuron 'third'"):
        loaded(f"{file}:third")


def test_a_changed_file_is_executed_again(file: Path):
    before = loaded(str(file))
    assert loaded(str(file)) is before
    file.write_text(file.read_text().replace('"gamma": 0.9', '"gamma": 0.5'))
    assert loaded(str(file)).constants["gamma"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no neuron"),
        ("from brfkit.neurons import BRF\n", None),
        ("x = (", "line 1: SyntaxError"),
        ("a = 1\nraise ValueError('no')\n", "line 2: ValueError: no"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_files_that_are_no_neuron(text: Any, message: str | None, tmp_path: Path):
    path = tmp_path / "bad.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BrfkitError) as error:
        loaded(str(path))
    assert (message or "") in str(error.value)
    assert "\n" not in str(error.value)


def test_names_of_brfkit_are_not_taken_over(file: Path):
    file.write_text(file.read_text().replace('name="mine"', 'name="brf"'))
    with pytest.raises(BrfkitError, match="there is a neuron 'brf' already"):
        loaded(str(file))
    assert get_neuron("brf") is brfkit.neurons.BRF  # type: ignore[attr-defined]


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(BrfkitError, match="is not a file"):
        loaded(str(tmp_path / "none.py"))


def test_a_checkpoint_carries_the_source_and_executes_nothing(file: Path, tmp_path: Path):
    name = loaded(str(file)).name
    path = checkpoint(name, tmp_path / "net.npz")
    forget(name)
    with pytest.raises(BrfkitError, match=r"name that file with --neuron FILE\.py, or pass trust=True"):
        load_checkpoint(path)
    assert name not in NEURONS
    opened = brfkit.load(path, neuron=str(file))
    assert opened.neuron == name


def test_trust_executes_what_the_checkpoint_carries(file: Path, tmp_path: Path):
    name = loaded(str(file)).name
    path = checkpoint(name, tmp_path / "net.npz")
    x = np.random.default_rng(0).normal(size=(5, 2, 2)).astype(np.float32)
    from brfkit.backends import get_backend

    before = brfkit.load(path)
    expected = get_backend("numba").scan(before.network, before.weights, x).outputs
    forget(name)
    file.unlink()
    opened = brfkit.load(path, trust=True)
    assert (get_backend("numba").scan(opened.network, opened.weights, x).outputs == expected).all()
    again = checkpoint(name, tmp_path / "again.npz")  # the source travels on
    forget(name)
    assert load_checkpoint(again, trust=True).network == opened.network


def test_another_source_of_the_same_name_is_refused(file: Path, tmp_path: Path):
    name = loaded(str(file)).name
    path = checkpoint(name, tmp_path / "net.npz")
    file.write_text(file.read_text() + "# changed\n")
    loaded(str(file))
    with pytest.raises(BrfkitError, match="has another source"):
        load_checkpoint(path)


def test_a_network_of_brfkit_carries_no_source(tmp_path: Path):
    path = checkpoint("brf", tmp_path / "net.npz")
    document = json.loads(np.load(path)["meta"].item())
    assert "neurons" not in document


def test_commands_take_a_file(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    size = ["--dataset", "tones", "--limit-train", "40", "--limit-test", "20", "--hidden", "8", "--epochs", "1"]
    assert cli(["train", *size, "--neuron", str(file), "--run-dir", run, "--json"]) == 0
    trained = json.loads(capfd.readouterr().out)
    assert trained["neuron"] == "mine"
    forget("mine")
    assert cli(["evaluate", run, "--json"]) == 1
    assert "--neuron FILE.py" in capfd.readouterr().err
    assert cli(["evaluate", run, "--neuron", str(file), "--limit-test", "20", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["loss"] == pytest.approx(trained["test_loss"], abs=1e-7)
    forget("mine")
    assert cli(["train", *size, "--neuron", str(file), "--run-dir", run, "--resume", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["epochs"] == 1
    assert cli(["simulate", "--neuron", str(file), "--omega", "10", "--json"]) == 0


def test_neurons_command_shows_checks_and_writes(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert cli(["neurons", str(file), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["name"] == "mine"
    assert cli(["neurons", str(file), "--kernel", "numpy"]) == 0
    assert "u_next" in capfd.readouterr().out
    new = tmp_path / "new.py"
    assert cli(["neurons", "--new", str(new)]) == 0
    assert cli(["neurons", "--new", str(new)]) == 1
    assert cli(["neurons", str(new), "--check", "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out[out.index("{") :])["passed"] is True
    new.write_text(new.read_text().replace('"theta": 1.0', '"theta": 1e9'))
    assert cli(["neurons", str(new), "--check"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--check"],
        ["--new", "a.py", "brf"],
        ["brf", "--check", "--kernel", "torch"],
        ["--force"],
        ["brf", "--units", "8"],
    ],
)
def test_options_of_neurons_that_do_nothing_are_wrong_usage(arguments: list[str]):
    assert cli(["neurons", *arguments]) == 2


def test_an_installed_package_offers_a_neuron(file: Path, monkeypatch: pytest.MonkeyPatch):
    neuron = loaded(str(file))
    forget("mine")

    class Entry:
        name, value = "mine", "somewhere:NEURON"

        def load(self) -> Any:
            return neuron

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Entry()] if group == plugin.GROUP else [])
    assert get_neuron("mine") is neuron


def test_a_name_from_a_file_is_never_executed(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A checkpoint, a configuration or a layer that names a Python file as its neuron."""
    mark = tmp_path / "executed"
    file.write_text(f"open({str(mark)!r}, 'w')\n" + file.read_text())
    with pytest.raises(BrfkitError, match="unknown neuron"):
        get_neuron(str(file))
    network = recurrent_network(2, [3], 2, "brf")
    path = tmp_path / "net.npz"
    save_checkpoint(path, Checkpoint(network, network.initialise(0), {}, {}))
    arrays = dict(np.load(path))
    document = json.loads(arrays["meta"].item())
    document["network"]["layers"][0]["neuron"] = str(file)
    arrays["meta"] = np.array(json.dumps(document).encode())
    np.savez(path, **arrays)  # type: ignore[arg-type]
    assert cli(["evaluate", str(path), "--dataset", "tones"]) == 1
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"network": {"neuron": str(file)}}))
    assert cli(["train", "--config", str(config), "--run-dir", str(tmp_path / "run")]) == 1
    config.write_text(json.dumps({"network": {"layers": [{"neuron": str(file), "units": 4}]}}))
    assert cli(["train", "--config", str(config), "--run-dir", str(tmp_path / "run")]) == 1
    assert "Error" in capfd.readouterr().err
    assert not mark.exists()
