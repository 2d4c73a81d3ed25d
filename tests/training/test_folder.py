"""Run folders: one training at a time, damage of the last checkpoint, what does not end a run."""

import json
import logging
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.errors import BrfkitError
from brfkit.runs.folder import BEST, LAST, LOCK, PREVIOUS, RunFolder
from brfkit.runs.resolve import resolve
from brfkit.training.run import train

BACKEND = get_backend("numba", threads=1)


def small(**training):
    sections = {
        "data": {"limit_train": 60, "limit_test": 20},
        "network": {"hidden": [8]},
        "training": {"epochs": 3, "batch_size": 30} | training,
    }
    return resolve("tones", "brf", overrides=sections)


def figures(folder):
    return [replace(row, seconds=0.0) for row in RunFolder(folder).metrics()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train(small(), folder, BACKEND)


def begun(folder, epochs=2):
    """A run that was stopped after some of its epochs."""
    stops = iter([*[False] * epochs, True])
    train(small(), folder, BACKEND, stop=lambda: next(stops))
    return folder


def test_the_folder_reads_what_the_run_wrote(whole):
    path, run = whole
    folder = RunFolder(path)
    assert folder.config == small()
    assert folder.metrics() == list(run.metrics)
    assert folder.result() == json.loads(json.dumps(run.to_dict()))
    assert folder.provenance()["parameters"] == run.parameters
    assert folder.checkpoint_file() == path / BEST
    assert run.folder.path == path


def test_two_trainings_do_not_share_a_folder(tmp_path):
    folder = begun(tmp_path / "run", 1)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with RunFolder(folder).lock(), pytest.raises(BrfkitError, match="in use by a training"):
        train(small(), folder, BACKEND, force=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not (folder / LOCK).exists()
    train(small(), folder, BACKEND, force=True)


def test_a_refused_run_leaves_no_folder(tmp_path):
    with RunFolder(tmp_path / "new").lock():
        assert (tmp_path / "new" / LOCK).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "optimiser", "meta"])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(whole, tmp_path, caplog, damage):
    folder = begun(tmp_path / "run")
    last = folder / LAST
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:-200])
    else:
        checkpoint = load_checkpoint(last)
        meta, extra = dict(checkpoint.meta), dict(checkpoint.extra)
        if damage == "meta":
            del meta["trainer"]
        else:
            name = next(name for name in extra if name.endswith("exp_avg"))
            extra[name] = np.zeros(3, np.float32)
        RunFolder(folder, small()).save("last.npz", checkpoint.network, replace_stored(checkpoint, meta, extra))
        RunFolder(folder).path.joinpath(PREVIOUS).write_bytes((begun(tmp_path / "copy") / PREVIOUS).read_bytes())
    with caplog.at_level(logging.WARNING):
        train(small(), folder, BACKEND, resume=True)
    assert "going on from previous.npz, of epoch 1" in caplog.text
    assert figures(folder) == figures(whole[0])
    assert load_checkpoint(folder / BEST).sha256 == load_checkpoint(whole[0] / BEST).sha256


def replace_stored(checkpoint, meta, extra):
    from brfkit.runs.folder import Stored

    return Stored(checkpoint.weights, meta, extra)


def protect(folder, monkeypatch):
    """Take away the permission to write; root, whom that does not stop, is refused as by a read-only file system."""
    folder.chmod(0o555)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))

    def refuse(path, busy):
        raise BrfkitError(f"{path} cannot be made: Read-only file system")

    monkeypatch.setattr("brfkit.io.locks._locked", refuse)


def test_a_run_that_is_over_is_its_result_in_a_read_only_folder(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    protect(folder, monkeypatch)
    found = train(small(), folder, BACKEND, resume=True)
    assert found.to_dict() == whole[1].to_dict() | {"run_dir": str(folder)}
    assert found.metrics == whole[1].metrics
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before
    with pytest.raises(BrfkitError, match=r"run\.lock cannot be made: Read-only"):  # more epochs have to be written
        train(small(epochs=4), folder, BACKEND, resume=True)
    with pytest.raises(BrfkitError, match=r"run\.lock cannot be made: Read-only"):
        train(small(), folder, BACKEND, force=True)
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before


def test_a_run_that_is_not_over_needs_its_folder(tmp_path, monkeypatch):
    folder = begun(tmp_path / "run", 1)  # its result is of a training that was stopped
    assert RunFolder(folder).result()
    protect(folder, monkeypatch)
    with pytest.raises(BrfkitError, match=r"run\.lock cannot be made: Read-only"):
        train(small(), folder, BACKEND, resume=True)


def test_damage_of_both_is_one_line(tmp_path):
    folder = begun(tmp_path / "run", 1)
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes(b"nothing")
    with pytest.raises(BrfkitError, match=r"last\.npz.*--force to start anew"):
        train(small(), folder, BACKEND, resume=True)


def test_the_last_checkpoint_of_another_run_is_refused(tmp_path):
    folder, other = begun(tmp_path / "run", 1), tmp_path / "other"
    train(small(learning_rate=0.2), other, BACKEND)
    (folder / LAST).write_bytes((other / LAST).read_bytes())
    with pytest.raises(BrfkitError, match="other settings than config"):
        train(small(), folder, BACKEND, resume=True)


def test_a_picture_that_fails_does_not_end_the_run(tmp_path, caplog):
    def picture(rows, title, stop_accuracy):
        raise ValueError("mathtext\nfails")

    with caplog.at_level(logging.WARNING):
        run = train(small(epochs=1), tmp_path / "run", BACKEND, picture=picture)
    assert "the learning curve was not drawn: mathtext fails" in caplog.text
    assert RunFolder(tmp_path / "run").result()["test_accuracy"] == run.test_accuracy
