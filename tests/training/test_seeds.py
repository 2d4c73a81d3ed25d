"""Several seeds of one experiment, weights of every epoch, what a run folder says of itself, several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.runs.metrics import read_metrics
from brfkit.runs.provenance import data_hash
from brfkit.runs.resolve import resolve
from brfkit.runs.seeds import parse_seeds, run_seeds, summarise
from brfkit.training.run import train

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "data": {"limit_train": 60, "limit_test": 20},
    "network": {"hidden": [6]},
    "training": {"epochs": 2, "batch_size": 20},
}


def small(hidden=(6,), **training):
    network = {"hidden": list(hidden)}
    return resolve("tones", overrides=SMALL | {"network": network, "training": SMALL["training"] | training})


def test_lists_of_seeds():
    assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
    assert parse_seeds("7, 0-1,3") == [7, 0, 1, 3]
    for text in ("", "a", "3-1", "1,1", "0-2,2", "-1", "1-", "1.5", "²"):
        with pytest.raises(BrfkitError):
            parse_seeds(text)


def result(seed, accuracy, **more):
    figures = {"test_loss": 1.0, "spikes_per_sample": 10.0 * seed, "best_epoch": 1, "epochs": 2, "seconds": 3.0}
    facts = {"dataset": "tones", "neuron": "brf", "parameters": 5, "backend": "numba", "diverged": None}
    return facts | figures | {"test_accuracy": accuracy} | more


def test_summary_by_hand(tmp_path):
    summary = summarise(tmp_path, [1, 3], [result(1, 80.0), result(3, 90.0, diverged="in epoch 2")])
    assert (summary["test_accuracy"], summary["test_accuracy_best"]) == (85.0, 90.0)
    assert summary["test_accuracy_std"] == pytest.approx(np.sqrt(50))
    assert (summary["spikes_per_sample"], summary["seeds"], summary["diverged"]) == (20.0, [1, 3], [3])
    assert summarise(tmp_path, [1], [result(1, 80.0)])["test_accuracy_std"] == 0.0


def test_finished_seeds_are_skipped_and_others_refused(tmp_path):
    made = []

    def run_one(config, folder, resume):
        made.append((config.training.seed, folder.name, resume))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config.to_dict()))
        if config.training.seed != 1:
            (folder / "result.json").write_text(json.dumps(result(config.training.seed, 50.0)))
        return result(config.training.seed, 50.0)

    run_seeds(small(), tmp_path, [0, 1], run_one, resume=False, force=False)
    assert made == [(0, "seed-0", False), (1, "seed-1", False)]
    with pytest.raises(BrfkitError, match="--resume"):
        run_seeds(small(), tmp_path, [5, 0], run_one, resume=False, force=False)
    assert len(made) == 2
    results = run_seeds(small(), tmp_path, [0, 1, 2], run_one, resume=True, force=False)
    assert made[2:] == [(1, "seed-1", True), (2, "seed-2", True)]
    assert [r["spikes_per_sample"] for r in results] == [0.0, 10.0, 20.0]
    with pytest.raises(BrfkitError, match="other settings"):
        run_seeds(small(learning_rate=0.3), tmp_path, [3, 0], run_one, resume=True, force=False)
    run_seeds(small(epochs=9), tmp_path, [0], run_one, resume=False, force=True)
    assert made[-1] == (0, "seed-0", False)


def test_weights_of_every_epoch_survive_a_stop(tmp_path):
    config, backend = small(keep_weights=True, epochs=3), get_backend("numba", threads=1)
    train(config, tmp_path / "a", backend)
    stops = iter([False, True])
    train(config, tmp_path / "b", backend, stop=lambda: next(stops))
    (tmp_path / "b" / "weights" / "epoch-0001.npz").unlink()  # as if the weights had not been written in time
    (tmp_path / "b" / "last.npz").unlink()
    train(config, tmp_path / "b", backend, resume=True)
    names = [f"epoch-{e:04d}.npz" for e in range(4)]
    assert sorted(p.name for p in (tmp_path / "a" / "weights").iterdir()) == names
    for name in names:
        with np.load(tmp_path / "a" / "weights" / name) as a, np.load(tmp_path / "b" / "weights" / name) as b:
            assert set(a.files) == set(load_checkpoint(tmp_path / "a" / "best.npz").weights)
            for key in a.files:
                np.testing.assert_array_equal(a[key], b[key], err_msg=f"{name} {key}")
    network = load_checkpoint(tmp_path / "a" / "last.npz").network
    initial = network.initialise(0, np.float32, config.network.initial_distributions())
    with np.load(tmp_path / "a" / "weights" / names[0]) as first:
        for key, value in initial.items():
            np.testing.assert_array_equal(first[key], value)
    with np.load(tmp_path / "a" / "weights" / names[3]) as last:
        for key, value in load_checkpoint(tmp_path / "a" / "last.npz").weights.items():
            np.testing.assert_array_equal(last[key], value)
    train(small(epochs=1), tmp_path / "a", backend, force=True)
    assert not list((tmp_path / "a" / "weights").iterdir())


def test_run_folder_says_what_it_is(tmp_path):
    config, backend = small(hidden=(6, 5)), get_backend("numba", threads=1)
    outcome = train(config, tmp_path / "a", backend)
    facts = json.loads((tmp_path / "a" / "run.json").read_text())
    data = load("tones", limit_train=60, limit_test=20)
    assert (facts["steps"], facts["channels"], facts["classes"]) == (data.steps, data.channels, data.classes)
    x = data.test.batch(np.arange(20))[0]
    assert facts["active_inputs"] == np.count_nonzero(x) / 20
    assert facts["data_sha256"]["train"] == data_hash(data.train) != data_hash(data.test)
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["parameters"] == outcome.parameters
    assert len(outcome.spikes_by_layer) == 2
    # Counted with weights that were saved and loaded; summed over layers it is the figure of the metrics.
    assert sum(outcome.spikes_by_layer) == pytest.approx(outcome.spikes_per_sample)


def test_a_folder_from_before_a_key_was_added_resumes(tmp_path):
    config, backend = small(), get_backend("numba", threads=1)
    stops = iter([False, True])
    train(config, tmp_path / "a", backend, stop=lambda: next(stops))
    sections = json.loads((tmp_path / "a" / "config.json").read_text())
    for key in ("keep_weights", "accumulate", "input_dropout"):
        del sections["training"][key]
    (tmp_path / "a" / "config.json").write_text(json.dumps(sections))
    assert train(config, tmp_path / "a", backend, resume=True).epochs == 2


def distributed(processes, *arguments):
    """brfkit train in processes that torchrun starts."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, "-m", "brfkit", "train", *map(str, arguments), "--threads", "1"],
        capture_output=True, text=True, timeout=240, cwd=ROOT, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """In float64 the order of the additions is all that differs. 22 samples to train on make batches of odd size, 21
    (11 and 10), and a last one of one sample, of which the second process has none. RF neurons spike from the start."""
    config = resolve(
        "tones",
        "rf",
        overrides={
            "data": {"limit_train": 24, "limit_test": 20},
            "network": {"hidden": [12]},
            "training": {"epochs": 3, "batch_size": 21, "dtype": "float64"},
        },
    )
    assert train(config, tmp_path / "one", get_backend("numba", threads=1)).spikes_per_sample > 0
    settings = [
        "--dataset", "tones", "--neuron", "rf", "--limit-train", 24, "--limit-test", 20, "--hidden", 12, "--epochs", 3,
        "--batch-size", 21, "--dtype", "float64", "--json",
    ]  # fmt: skip
    done = distributed(2, *settings, "--run-dir", tmp_path / "two")
    assert json.loads(done.stdout)["epochs"] == 3  # exactly one object, from the first process
    for a, b in zip(
        read_metrics(tmp_path / "one/metrics.csv"), read_metrics(tmp_path / "two/metrics.csv"), strict=True
    ):
        assert (a.epoch, a.split, a.accuracy, a.spikes_per_sample) == (
            b.epoch,
            b.split,
            b.accuracy,
            b.spikes_per_sample,
        )
        assert b.loss == pytest.approx(a.loss, rel=1e-9)
    ours, theirs = (load_checkpoint(tmp_path / name / "last.npz").weights for name in ("one", "two"))
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-6, atol=1e-9, err_msg=name)
    distributed(1, *settings, "--run-dir", tmp_path / "alone")
    alone = load_checkpoint(tmp_path / "alone" / "last.npz")
    assert alone.sha256 == load_checkpoint(tmp_path / "one" / "last.npz").sha256


@pytest.mark.parametrize("text", ["0-999999999", "0-1000", "9" * 400, "0-" + "9" * 30, "0," * 20_000 + "1"])
def test_seeds_without_bound_are_refused_at_once(text):
    with pytest.raises(BrfkitError, match=r"runs|digits|characters|twice"):
        parse_seeds(text)
