"""``brfkit train`` and ``brfkit evaluate`` on the embedded data: streams, files, killing and resuming."""

from __future__ import annotations

import csv
import json
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from brfkit.checkpoints.native import open_checkpoint

SMALL = ("--dataset", "tones", "--hidden", "16", "--limit-train", "100", "--limit-test", "50", "--threads", "1")
TRAIN_KEYS = {
    "run_dir", "dataset", "neuron", "parameters", "epochs", "best_epoch", "test_accuracy", "test_loss",
    "spikes_per_sample", "seconds", "backend",
}  # fmt: skip
EVALUATE_KEYS = {
    "dataset", "neuron", "backend", "samples", "accuracy", "loss", "spikes_per_sample", "spikes_per_step",
    "firing_rate", "parameters", "seconds",
    "accuracy_interval", "balanced_accuracy", "macro_f1", "recall", "class_names", "confusion",
}  # fmt: skip


def metrics(folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without the wall time."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def weights(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "last.npz") as file:
        return {name: file[name] for name in file.files if name != "meta"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run of 4 epochs, never disturbed."""
    from brfkit.cli import run

    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert run(["train", *SMALL, "--epochs", "4", "--run-dir", str(folder)]) == 0
    return folder


def test_train_prints_one_object_and_fills_the_folder(command, tmp_path):
    folder = tmp_path / "run"
    result = command("train", *SMALL, "--epochs", "1", "--run-dir", folder, "--json")
    assert result.code == 0
    values = json.loads(result.out)
    assert values.keys() >= TRAIN_KEYS
    assert (values["dataset"], values["neuron"], values["epochs"]) == ("tones", "brf", 1)
    assert 0 <= values["test_accuracy"] <= 100
    assert "Traceback" not in result.err
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "metrics.csv", "best.npz", "last.npz"}
    assert any(name.endswith(".png") for name in names)
    assert any(name.startswith("events.out.tfevents") for name in names)
    columns = (folder / "metrics.csv").read_text().splitlines()[0]
    assert columns == "epoch,split,loss,accuracy,spikes_per_sample,seconds"


def test_a_run_is_not_overwritten_without_force(command, trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    again = command("train", *SMALL, "--epochs", "4", "--run-dir", trained)
    assert again.code == 1
    assert re.fullmatch(r"Error: .*--resume.*--force.*\n", again.err)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_resume_with_other_settings_is_refused(command, trained):
    other = command("train", "--resume", "--run-dir", trained, "--lr", "0.5")
    assert other.code == 1
    assert re.fullmatch(r"Error: .*other settings.*\n", other.err)


def test_evaluate_repeats_the_figures_of_the_run(command, trained):
    result = command("evaluate", trained, "--limit-test", "50", "--json")
    assert result.code == 0
    assert result.err == ""
    values = json.loads(result.out)
    assert values.keys() == EVALUATE_KEYS
    told = json.loads((trained / "result.json").read_text())
    assert values["accuracy"] == pytest.approx(told["test_accuracy"])
    assert values["loss"] == pytest.approx(told["test_loss"], rel=1e-4)
    assert values["spikes_per_sample"] == pytest.approx(told["spikes_per_sample"], rel=1e-3)
    assert values["parameters"] == told["parameters"]


def test_simulate_records_every_state_of_a_trained_network(command, trained, tmp_path):
    out = tmp_path / "trace.npz"
    result = command(
        "simulate", "--checkpoint", trained, "--sample", "3", "--out", out, "--plot", tmp_path / "trace.pdf", "--json"
    )
    assert result.code == 0
    assert result.err == ""
    values = json.loads(result.out)
    with np.load(out) as file:
        assert {"hidden0.u", "hidden0.v", "hidden0.q", "hidden0.z", "readout.u", "t", "input"} <= set(file.files)
        assert file["hidden0.q"].shape == (values["steps"], 16)
        assert file["hidden0.z"].sum() == values["spikes"]
    assert (tmp_path / "trace.pdf").read_bytes().startswith(b"%PDF")
    beyond = command("simulate", "--checkpoint", trained, "--sample", "100000")
    assert beyond.code == 1
    assert re.fullmatch(r"Error: .*no sample 100000\n", beyond.err)


def wait_for_epoch(child, folder: Path, epoch: int) -> None:
    """Until the folder tells of that epoch."""
    until = time.monotonic() + 60
    while time.monotonic() < until and child.poll() is None:
        if (folder / "metrics.csv").exists() and any(int(row["epoch"]) >= epoch for row in metrics(folder)):
            return
        time.sleep(0.01)
    pytest.fail(f"no epoch {epoch} in time; exit code {child.poll()}")


def test_a_killed_run_resumes_to_the_same_metrics(start, command, trained, tmp_path):
    folder = tmp_path / "killed"
    child = start("train", *SMALL, "--epochs", "4", "--run-dir", str(folder))
    wait_for_epoch(child, folder, 1)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    assert child.returncode == -signal.SIGKILL
    result = command("train", *SMALL, "--epochs", "4", "--run-dir", folder, "--resume")
    assert result.code == 0
    assert metrics(folder) == metrics(trained)
    expected = weights(trained)
    for name, value in weights(folder).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_can_be_resumed(start, command, tmp_path, number, code):
    folder = tmp_path / "interrupted"
    child = start("train", *SMALL, "--epochs", "2000", "--run-dir", str(folder), "--json")
    wait_for_epoch(child, folder, 1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert not list(folder.glob(".brfkit-*"))
    last = int(metrics(folder)[-1]["epoch"])
    from brfkit.backends import get_backend
    from brfkit.runs.resolve import resolve
    from brfkit.training.run import train

    assert open_checkpoint(folder).network.layers[0].units == 16
    config = resolve(file=folder / "config.json")
    resumed = train(config, folder, get_backend("numba", threads=1), resume=True, stop=lambda: True)
    assert resumed.epochs == last >= 1


def test_several_seeds_are_run_resumed_and_compared(command, tmp_path):
    folder = tmp_path / "seeds"
    result = command("train", *SMALL, "--epochs", "1", "--seeds", "0-1", "--run-dir", folder, "--json")
    assert result.code == 0
    values = json.loads(result.out)
    assert values.keys() >= TRAIN_KEYS
    runs = [json.loads((folder / f"seed-{seed}" / "result.json").read_text()) for seed in (0, 1)]
    accuracies = [run["test_accuracy"] for run in runs]
    assert values["test_accuracy"] == pytest.approx(np.mean(accuracies))
    assert values["test_accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (values["seeds"], values["runs"]) == ([0, 1], runs)
    assert json.loads((folder / "seeds.json").read_text()) == values
    refused = command("train", *SMALL, "--epochs", "1", "--seeds", "0-1", "--run-dir", folder)
    assert refused.code == 1
    assert re.fullmatch(r"Error: .*seed-0 holds a run already.*\n", refused.err)
    before = (folder / "seed-0" / "last.npz").stat().st_mtime_ns
    more = command("train", "--seeds", "0-2", "--run-dir", folder, "--resume", "--threads", "1")
    assert more.code == 0
    assert "seed 2" in more.err
    assert "seed 0" not in more.err
    assert (folder / "seed-0" / "last.npz").stat().st_mtime_ns == before
    config = json.loads((folder / "seed-2" / "config.json").read_text())
    assert (config["network"]["hidden"], config["training"]["seed"]) == ([16], 2)

    table = tmp_path / "table.csv"
    compared = command("compare", folder, "--json", "--out", table, "--plot", tmp_path / "curves.png")
    assert compared.code == 0
    (group,) = json.loads(compared.out)["groups"]
    assert group["seeds"] == [0, 1, 2]
    assert group["firing_rate_mean"] == pytest.approx(group["spikes_per_sample_mean"] / (250 * 16))
    again = command("compare", folder, "--out", table)
    assert again.code == 1
    assert re.fullmatch(r"Error: .*--force.*\n", again.err)


@pytest.mark.parametrize("arguments", [("--seeds", "0-1", "--seed", "3"), ("--seeds", "4-1"), ("--seeds", "x")])
def test_wrong_lists_of_seeds_are_wrong_usage(command, arguments):
    assert command("train", *SMALL, *arguments).code == 2


def test_baseline_has_no_spikes(command, tmp_path):
    result = command("train", *SMALL, "--neuron", "lstm", "--epochs", "1", "--run-dir", tmp_path / "lstm", "--json")
    assert result.code == 0
    values = json.loads(result.out)
    assert (values["neuron"], values["spikes_per_sample"], values["backend"]) == ("lstm", 0.0, "torch")
    refused = command("train", *SMALL, "--neuron", "lstm", "--backend", "numba", "--run-dir", tmp_path / "other")
    assert refused.code == 1
    assert re.fullmatch(r"Error: backend numba has no LSTM.*\n", refused.err)


@pytest.mark.parametrize(("arguments", "told"), [
    ("--set network.init.w_in=[\"uniform\",-1e-3,1e-3]", True),
    ("--set network.init.w_in=[\"uniform\",-20,20]", False),
    ("--neuron lstm", False),
])  # fmt: skip
def test_a_silent_network_is_told_once(command, tmp_path, arguments, told):
    options = ["--dataset", "tones", "--hidden", "8", "--epochs", "3", "--limit-train", "60", "--limit-test", "20"]
    result = command("train", *options, *arguments.split(), "--run-dir", tmp_path / "run")
    assert result.code == 0
    assert result.err.count("no neuron spiked in epoch 1;") == told
    assert result.err.count("no neuron spiked") == told


def test_a_diverged_run_names_what_went_first_and_the_last_good_checkpoint(command, tmp_path):
    result = command(
        "train", *SMALL, "--neuron", "rf", "--lr", "1e18", "--epochs", "3", "--run-dir", tmp_path / "run", "--json"
    )
    told = json.loads(result.out)["diverged"]
    assert re.search(r"epoch \d+, batch \d+: .*hidden0.* is not finite", told)
    assert f"the last good checkpoint is {tmp_path / 'run' / 'last.npz'}, of epoch " in told
    assert open_checkpoint(tmp_path / "run" / "last.npz").weights
