"""Runs that end at a validation accuracy: where they stop, and which network they are about."""

import json
from dataclasses import replace

import pytest

from brfkit.analysis.runs.reading import read_run
from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint, open_checkpoint
from brfkit.errors import BrfkitError
from brfkit.runs.folder import METRICS
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row, best_epoch, read_metrics, stop_epoch
from brfkit.runs.resolve import resolve
from brfkit.training.run import train

BACKEND = get_backend("numba", threads=1)


def small(**training):
    return resolve(
        "tones",
        "brf",
        overrides={
            "data": {"limit_train": 120, "limit_test": 40, "validation_fraction": 0.25},
            "network": {"hidden": [12]},
            "training": {"epochs": 4, "batch_size": 25} | training,
        },
    )


def figures(folder):
    """The metrics without the times."""
    return [replace(row, seconds=0.0) for row in read_metrics(folder / METRICS)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of all its epochs."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    train(small(), folder, BACKEND)
    return folder


def test_a_run_stops_with_the_first_epoch_that_reaches_the_accuracy(whole, tmp_path):
    accuracy = {r.epoch: r.accuracy for r in figures(whole) if r.split == VALIDATION and r.epoch}
    wanted = max(list(accuracy.values())[:-1])
    epoch = min(e for e, a in accuracy.items() if a >= wanted)
    assert epoch < 4
    folder = tmp_path / "stopped"
    result = train(small(stop_accuracy=wanted), folder, BACKEND)
    assert figures(folder) == [row for row in figures(whole) if row.epoch <= epoch]
    assert (result.epochs, result.best_epoch) == (epoch, epoch)
    assert result.stopped == f"validation accuracy reached {wanted:g} % in epoch {epoch}"
    assert json.loads((folder / "result.json").read_text())["stopped"] == result.stopped
    assert load_checkpoint(folder / "best.npz").sha256 == load_checkpoint(folder / "last.npz").sha256
    assert open_checkpoint(folder).meta["epoch"] == epoch
    at_stop = next(r for r in figures(folder) if (r.epoch, r.split) == (epoch, TEST))
    assert (result.test_accuracy, result.test_loss) == (at_stop.accuracy, at_stop.loss)
    assert read_run(folder).best_epoch == epoch
    before = (folder / "last.npz").read_bytes()
    assert train(small(stop_accuracy=wanted), folder, BACKEND, resume=True).epochs == epoch
    assert (folder / "last.npz").read_bytes() == before


def test_an_accuracy_that_is_not_reached_changes_nothing_but_is_noted(whole, tmp_path, caplog):
    reached = max(r.accuracy for r in figures(whole) if r.split == VALIDATION)
    assert reached < 100
    result = train(small(stop_accuracy=100.0), tmp_path / "a", BACKEND)
    assert (result.epochs, result.stopped) == (4, None)
    assert figures(tmp_path / "a") == figures(whole)
    assert "no epoch reached a validation accuracy of 100 %" in caplog.text


def test_the_epoch_of_the_stop_is_the_best_whatever_its_loss():
    measured = [(3.0, 90.0), (1.0, 40.0), (2.0, 50.0)]
    rows = [Row(e, VALIDATION, loss, accuracy, 0.0, 0.0) for e, (loss, accuracy) in enumerate(measured)]
    rows += [Row(1, TRAIN, 1.0, 99.0, 0.0, 0.0), Row(1, TEST, 1.0, 99.0, 0.0, 0.0)]
    assert stop_epoch(rows, 50.0) == 2  # an untrained network does not count, nor do other splits
    assert best_epoch(rows, 50.0) == 2
    assert (stop_epoch(rows, 50.1), best_epoch(rows, 50.1), best_epoch(rows)) == (None, 1, 1)


def test_patience_says_why_it_stopped(tmp_path):
    result = train(small(learning_rate=20.0, schedule="constant", patience=1, epochs=50), tmp_path / "a", BACKEND)
    assert result.epochs < 50
    assert result.stopped == f"no better validation loss since epoch {result.best_epoch}"


def test_a_stop_needs_validation_samples(tmp_path):
    config = small(stop_accuracy=50.0)
    config = replace(config, data=replace(config.data, validation_fraction=0.0))
    with pytest.raises(BrfkitError, match="validation_fraction"):
        train(config, tmp_path / "a", BACKEND)
    assert not (tmp_path / "a").exists()
