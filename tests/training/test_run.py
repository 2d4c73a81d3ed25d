"""Runs in folders: what they write, that they repeat, resume and stop as they should."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.plotting.curves import learning_curve
from brfkit.runs.config import DataConfig
from brfkit.runs.datasets import split_validation
from brfkit.runs.folder import LAST, METRICS, RunFolder
from brfkit.runs.metrics import TEST, VALIDATION, Row, best_epoch, read_metrics, write_metrics
from brfkit.runs.resolve import resolve
from brfkit.training.divergence import DivergedError
from brfkit.training.optimiser import learning_rate
from brfkit.training.run import train
from brfkit.training.trainer import Trainer

SMALL = {
    "data": {"limit_train": 120, "limit_test": 40},
    "network": {"hidden": [12]},
    "training": {"epochs": 4, "batch_size": 25},
}


def small(**training):
    return resolve("tones", "brf", overrides=SMALL | {"training": SMALL["training"] | training})


def figures(folder):
    """The metrics without the times."""
    return [replace(row, seconds=0.0) for row in read_metrics(folder / METRICS)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "a"
    return folder, train(small(), folder, get_backend("numba"), picture=learning_curve)


def test_folder_holds_the_run(undisturbed):
    folder, result = undisturbed
    names = {p.name for p in folder.iterdir()}
    assert {"config.json", "metrics.csv", "best.npz", "last.npz", "learning_curve.png", "result.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert json.loads((folder / "result.json").read_text())["best_epoch"] == result.best_epoch
    rows = read_metrics(folder / METRICS)
    assert {row.epoch for row in rows} == {0, 1, 2, 3, 4}
    assert [r.split for r in rows if r.epoch == 0] == ["validation", "test"]
    at_best = next(r for r in rows if r.split == TEST and r.epoch == result.best_epoch)
    assert result.test_accuracy == at_best.accuracy


def test_training_learns(undisturbed):
    losses = [r.loss for r in figures(undisturbed[0]) if r.split == VALIDATION]
    assert losses[-1] < losses[0]


def test_same_seed_same_run_whatever_the_threads(undisturbed, tmp_path):
    train(small(), tmp_path / "b", get_backend("numba", threads=3))
    assert figures(tmp_path / "b") == figures(undisturbed[0])


def test_another_seed_is_another_run(undisturbed, tmp_path):
    train(small(seed=1), tmp_path / "b", get_backend("numba"))
    assert figures(tmp_path / "b") != figures(undisturbed[0])


@pytest.mark.parametrize("optimizer", ["adam", "radam", "rmsprop", "sgd", "adamax", "nadam", "adagrad", "adamw"])
def test_resumed_run_equals_the_undisturbed_one(tmp_path, optimizer):
    config, backend = small(optimizer=optimizer, epochs=3), get_backend("numba")
    train(config, tmp_path / "a", backend)
    stops = iter([False, True])
    train(config, tmp_path / "b", backend, stop=lambda: next(stops))
    assert max(row.epoch for row in figures(tmp_path / "b")) == 1
    result = train(config, tmp_path / "b", backend, resume=True)
    assert result.epochs == 3
    assert figures(tmp_path / "b") == figures(tmp_path / "a")
    for name in ("best.npz", "last.npz"):
        a, b = load_checkpoint(tmp_path / "a" / name), load_checkpoint(tmp_path / "b" / name)
        assert a.sha256 == b.sha256


def test_an_epoch_that_was_not_saved_is_not_recorded(undisturbed, tmp_path, monkeypatch):
    """Interrupted between measuring an epoch and its checkpoint: the metrics end with the checkpoint's epoch."""
    save = RunFolder.save

    def interrupted(self, name, network, stored):
        if name == LAST and stored.meta["epoch"] == 2:
            raise KeyboardInterrupt
        save(self, name, network, stored)

    folder, backend = tmp_path / "a", get_backend("numba")
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(small(), folder, backend)
    assert max(row.epoch for row in figures(folder)) == load_checkpoint(folder / LAST).meta["epoch"] == 1
    train(small(), folder, backend, resume=True)
    assert figures(folder) == figures(undisturbed[0])


def test_run_with_a_permutation_resumes(tmp_path, monkeypatch):
    data = replace(load("tones", limit_train=60, limit_test=20), permutation=np.arange(250))
    monkeypatch.setattr("brfkit.training.run.load_dataset", lambda *args, **kwargs: data)
    config, backend = small(epochs=2), get_backend("numba")
    stops = iter([False, True])
    train(config, tmp_path / "a", backend, stop=lambda: next(stops))
    assert train(config, tmp_path / "a", backend, resume=True).epochs == 2
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "a" / "best.npz").extra["permutation"], np.arange(250))


def test_folder_of_another_run_is_not_touched(undisturbed):
    folder, _ = undisturbed
    before = (folder / METRICS).read_bytes()
    with pytest.raises(BrfkitError, match="--resume"):
        train(small(), folder, get_backend("numba"))
    with pytest.raises(BrfkitError, match="other settings"):
        train(small(learning_rate=0.2), folder, get_backend("numba"), resume=True)
    assert (folder / METRICS).read_bytes() == before


def test_patience_stops_early(tmp_path):
    result = train(
        small(learning_rate=20.0, schedule="constant", patience=1, epochs=50), tmp_path / "a", get_backend("numba")
    )
    assert result.epochs < 50


def test_divergence_is_reported_and_the_last_good_state_kept(tmp_path):
    config = resolve("tones", "rf", overrides=SMALL | {"training": {"learning_rate": 1e18, "epochs": 3}})
    result = train(config, tmp_path / "a", get_backend("numba"))
    assert result.diverged is not None
    assert "epoch" in result.diverged
    load_checkpoint(tmp_path / "a" / "last.npz")


def test_diverged_names_the_weight(monkeypatch):
    config = small()
    data = load("tones", limit_train=40, limit_test=10)
    network = config.network.build(data.channels, data.classes)
    trainer = Trainer(config, data, network, network.initialise(0), get_backend("numba"))
    original = trainer.backend.scan_vjp

    def poisoned(*args, **kwargs):
        gradients = original(*args, **kwargs)
        gradients.weights["hidden0.omega"][0] = np.nan
        return gradients

    monkeypatch.setattr(trainer.backend, "scan_vjp", poisoned)
    before = trainer.module.weights()
    with pytest.raises(DivergedError, match=r"epoch 1, batch 1: the gradient of hidden0\.omega"):
        trainer.train_epoch()
    for name, value in trainer.module.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_window_as_long_as_the_sequence_is_bptt(tmp_path):
    train(small(epochs=1), tmp_path / "a", get_backend("numba"))
    train(small(epochs=1, tbptt=250), tmp_path / "b", get_backend("numba"))
    train(small(epochs=1, tbptt=60), tmp_path / "c", get_backend("numba"))
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    assert figures(tmp_path / "a") != figures(tmp_path / "c")


def test_training_on_torch_and_numba_agrees(tmp_path):
    config = small(epochs=1, dtype="float64")
    train(config, tmp_path / "a", get_backend("numba"))
    train(config, tmp_path / "b", get_backend("torch"))
    for a, b in zip(figures(tmp_path / "a"), figures(tmp_path / "b"), strict=True):
        assert (a.epoch, a.split, a.accuracy, a.spikes_per_sample) == (
            b.epoch,
            b.split,
            b.accuracy,
            b.spikes_per_sample,
        )
        assert a.loss == pytest.approx(b.loss, rel=1e-9)


def test_validation_split_is_disjoint_and_complete():
    data = load("tones", limit_train=100, splits=("train",))
    kept, validation = split_validation(data.train, DataConfig(validation_fraction=0.25), 3)
    assert (len(kept), len(validation)) == (75, 25)
    x = np.concatenate([s.batch(np.arange(len(s)))[0] for s in (kept, validation)], axis=1)
    whole = data.train.batch(np.arange(100))[0]
    assert sorted(map(bytes, x.transpose(1, 0, 2))) == sorted(map(bytes, whole.transpose(1, 0, 2)))
    assert split_validation(data.train, DataConfig(validation_fraction=0.0), 3)[1] is None


def test_schedules():
    training = small(epochs=4, learning_rate=1.0).training
    assert [learning_rate(training, e) for e in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert learning_rate(replace(training, schedule="constant"), 3) == 1.0
    assert learning_rate(replace(training, schedule="cosine"), 2) == pytest.approx(0.5)


def test_best_epoch_is_the_last_of_equal_losses():
    rows = [Row(e, VALIDATION, loss, 0.0, 0.0, 0.0) for e, loss in enumerate([3.0, 1.0, 1.0, float("nan")])]
    assert best_epoch(rows) == 2
    assert best_epoch([Row(5, TEST, 1.0, 0.0, 0.0, 0.0)]) == 5


def test_metrics_keep_every_digit(tmp_path):
    rows = [Row(1, TEST, 0.1 + 0.2, 1 / 3, 7.0, 1e-9)]
    write_metrics(tmp_path / "m.csv", rows)
    assert read_metrics(tmp_path / "m.csv") == rows
    (tmp_path / "m.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(BrfkitError, match="columns"):
        read_metrics(tmp_path / "m.csv")


def test_torch_keeps_its_threads(tmp_path):
    before = torch.get_num_threads()
    train(small(epochs=1), tmp_path / "a", get_backend("numba"))
    assert torch.get_num_threads() == before
