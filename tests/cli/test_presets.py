"""``brfkit presets`` and ``train --dry-run``; what a shell completes."""

import json

import pytest

from brfkit.cli import cli
from brfkit.runs.presets import preset_names, preset_title
from brfkit.runs.resolve import resolve


def test_presets_are_listed(command):
    listed = json.loads(command("presets", "--json").out)["presets"]
    assert tuple(one["name"] for one in listed) == preset_names()
    assert all(one["title"] for one in listed)
    shown = command("presets")
    assert shown.code == 0
    assert all(name in shown.out for name in preset_names())


def test_a_preset_is_for_the_data_set_of_its_name():
    assert resolve(preset="ecg-rf").data.dataset == "ecg"
    assert resolve("tones", preset="ecg-rf").data.dataset == "tones"


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_printed_as_a_file_that_repeats_it(command, tmp_path, name):
    shown = command("presets", name)
    assert shown.code == 0
    assert preset_title(name) in shown.out
    file = tmp_path / "c.toml"
    file.write_text(shown.out)
    assert resolve(file=file) == resolve(preset=name)
    assert json.loads(command("presets", name, "--json").out)["settings"] == resolve(preset=name).to_dict()


def test_an_unknown_preset_suggests_the_nearest(command):
    result = command("presets", "ecg-brff")
    assert (result.code, result.out) == (1, "")
    assert "did you mean 'ecg-brf'" in result.err


@pytest.mark.parametrize("neuron", ["BRF", "lstm"])
def test_a_dry_run_measures_and_writes_nothing(command, tmp_path, monkeypatch, neuron):
    monkeypatch.chdir(tmp_path)
    sizes = ("--hidden", "8", "--limit-train", "60", "--limit-test", "20", "--batch-size", "10")
    result = command("train", "--dataset", "tones", "--neuron", neuron, *sizes, "--epochs", "5", "--dry-run", "--json")
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert plan["settings"]["network"]["neuron"] == neuron.lower()
    assert (plan["training_samples"], plan["validation_samples"], plan["test_samples"]) == (54, 6, 20)
    assert plan["batches_per_epoch"] == 6
    assert plan["seconds_per_epoch"] > 0
    assert plan["seconds"] == pytest.approx(5 * plan["seconds_per_epoch"])
    assert plan["memory_mib"] > 10
    assert list(tmp_path.iterdir()) == []


def completions(*words):
    from click.shell_completion import ShellComplete

    completer = ShellComplete(cli, {}, "brfkit", "_BRFKIT_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_completion_knows_names_and_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "ecg").mkdir(parents=True)
    (tmp_path / "runs" / "ecg" / "last.npz").write_bytes(b"")
    (tmp_path / "runs" / "other").mkdir()
    assert completions("pre") == ["presets"]
    assert sorted(completions("train", "--neuron", "b")) == ["bhrf", "brf"]
    assert "lstm" in completions("train", "--neuron", "L")
    assert {"smnist", "shd"} <= set(completions("train", "--dataset", "s"))
    assert completions("train", "--preset", "ecg-brf-") == ["ecg-brf-2x128"]
    assert "runs/ecg" in completions("evaluate", "")
    assert "runs/ecg" in completions("evaluate", "runs/")
    assert "runs/other" not in completions("evaluate", "runs/")
    assert "--dry-run" in completions("train", "--dr")
    assert completions("neurons", "al") == ["alif"]


@pytest.mark.parametrize("name", ["BRF", "Brf", "RF_IZHIKEVICH", "se-ADLIF"])
def test_neuron_names_in_any_case(command, name):
    result = command("neurons", name, "--json")
    assert json.loads(result.out)["name"] == name.lower().replace("_", "-")


def test_evaluate_takes_a_split(command, tmp_path):
    sizes = ("--hidden", "8", "--epochs", "1", "--limit-train", "60", "--limit-test", "20", "--threads", "1")
    assert command("train", "--dataset", "tones", *sizes, "--run-dir", tmp_path / "r").code == 0
    train, test = (
        json.loads(command("evaluate", tmp_path / "r", "--split", name, "--json").out) for name in ("train", "test")
    )
    assert (train["samples"], test["samples"]) == (2000, 500)


def test_short_help(command):
    for words in ([], ["train"], ["data", "show"]):
        assert command(*words, "-h").out == command(*words, "--help").out
