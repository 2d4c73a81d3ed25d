"""What is given in the place of a trained network is named as what it is; weights of an epoch are one."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

import brfkit

SMALL = {
    "data": {"limit_train": 20, "limit_test": 6},
    "network": {"hidden": [4]},
    "training": {"epochs": 2, "batch_size": 10, "keep_weights": True},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of BRF and one of an LSTM, with weights of every epoch."""
    folder = tmp_path_factory.mktemp("runs")
    for neuron in ("brf", "lstm"):
        brfkit.train("tones", neuron, run_dir=folder / neuron, settings=SMALL, threads=1)
    return folder


@pytest.mark.parametrize("neuron", ["brf", "lstm"])
def test_weights_of_an_epoch_are_a_trained_network(runs, neuron):
    few = {"threads": 1, "samples": 6}
    last = brfkit.evaluate(runs / neuron / "last.npz", **few)
    kept = brfkit.evaluate(runs / neuron / "weights" / "epoch-0002.npz", **few)
    assert (kept.loss, kept.accuracy, kept.dataset) == (last.loss, last.accuracy, "tones")
    if neuron == "lstm":  # so few BRF neurons do not spike, and all have the same loss
        assert brfkit.evaluate(runs / neuron / "weights" / "epoch-0000.npz", **few).loss != kept.loss


def test_weights_of_an_epoch_know_their_run(runs):
    network = brfkit.load(runs / "brf" / "weights" / "epoch-0001.npz")
    assert (network.meta["epoch"], network.data.dataset) == (1, "tones")
    with np.load(runs / "brf" / "weights" / "epoch-0001.npz") as stored:
        for name, value in network.weights.items():
            np.testing.assert_array_equal(value, stored[name])


def test_what_is_no_trained_network_is_named(command, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs / "brf", "seeds/seed-3")
    shutil.copytree(runs / "brf", "many/ecg")
    shutil.copy(runs / "brf/weights/epoch-0001.npz", "alone.npz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    shutil.copy(runs / "brf/config.json", "begun")
    with h5py.File("data.h5", "w") as file:
        file["x"] = np.zeros(3)
    np.savez("data.npz", x_train=np.zeros((2, 3, 1)), y_train=np.zeros(2))
    np.save("one.npy", np.zeros(3))
    (tmp_path / "tone.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    (tmp_path / "notes.csv").write_text("a,b\n")
    (tmp_path / "void.npz").write_bytes(b"")
    cases = {
        "seeds": "holds runs of several seeds, not one network; name one of them, such as seeds/seed-3",
        "many": "holds runs, not one network; name one of them, such as many/ecg",
        "seeds/seed-3/weights": "holds the weights of 3 epochs; name one of them, such as",
        "alone.npz": "the weights of one epoch outside its run folder",
        "empty": "is an empty folder, not a trained network",
        "begun": "its run has not saved a checkpoint",
        "seeds/seed-3/learning_curve.png": "is a picture, not a trained network; name the folder of the run",
        "seeds/seed-3/config.json": "is a JSON file, not a trained network; name the folder of the run",
        "data.h5": "is an HDF5 file (data, recorded states or an error surface), not a trained network",
        "data.npz": "is an archive of arrays without the description of a network (x_train, y_train)",
        "one.npy": "is a single array (.npy)",
        "tone.wav": "is a sound file",
        "notes.csv": "is a table (.csv)",
        "void.npz": "void.npz is empty",
        "nothing": "nothing cannot be read: No such file or directory",
    }
    if not (runs / "brf/learning_curve.png").exists():
        (tmp_path / "seeds/seed-3/learning_curve.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for path, words in cases.items():
        for name in ("evaluate", "inspect"):
            result = command(name, path)
            assert (result.code, result.out) == (1, ""), (path, result)
            assert result.err.startswith("Error: "), (path, result)
            assert result.err.count("\n") == 1
            assert words in result.err, (path, result)


def test_predictions(command, runs, tmp_path):
    file = tmp_path / "p.csv"
    result = command("evaluate", runs / "brf", "--limit-test", "6", "--predictions", file)
    assert result.code == 0
    assert f"written: {file}" in result.out
    lines = file.read_text().splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("sample,true,predicted,probability of ")
    again = command("evaluate", runs / "brf", "--predictions", file)
    assert (again.code, again.err) == (1, f"Error: {file} exists; --force overwrites it\n")
    assert command("evaluate", runs / "brf", "--predictions", tmp_path / "p.txt").code == 2


def test_a_seed_and_a_data_folder_without_effect_are_told(command, runs):
    result = command("evaluate", runs / "brf", "--limit-test", "2", "--seed", "3", "--data-dir", "there")
    assert result.code == 0
    assert "note: --seed has no effect" in result.err
    assert "note: --data-dir has no effect: tones is generated" in result.err


def test_a_surface_that_is_none_is_refused_before_the_report(command, runs, tmp_path):
    (tmp_path / "text.h5").write_text("text")
    for path in (tmp_path / "text.h5", runs / "brf" / "best.npz"):
        result = command("report", runs / "brf", "--surface", path, "--out", tmp_path / "r.html")
        assert (result.code, result.err) == (
            1, f"Error: {path} is no error surface; --surface takes a file of brfkit landscape --out\n",
        )  # fmt: skip
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("words", [["bench", "--shape", "ecg"], ["simulate"], ["evaluate", "runs"]])
def test_an_output_that_cannot_be_made_is_told_before_the_work(command, runs, words, monkeypatch):
    monkeypatch.chdir(runs)
    option = "--predictions" if "evaluate" in words else "--out"
    place = {"bench": "/proc/x.json", "simulate": "/proc/x.npz", "evaluate": "/proc/x.csv"}[words[0]]
    words = [str(runs / "brf") if word == "runs" else word for word in words]
    result = command(*words, option, place)
    assert result.code == 1
    assert result.err.startswith(f"Error: {place} cannot be written: ")
    assert result.err.count("\n") == 1
