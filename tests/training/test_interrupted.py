"""What a run promises: killed at any moment it ends as if undisturbed, and its configuration repeats it bit for bit."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.cli import run
from brfkit.runs.resolve import resolve
from brfkit.training.run import train

ROOT = Path(__file__).resolve().parents[2]
# The network is that of the other tests of runs, so that its kernels are compiled once.
SMALL = {
    "data": {"limit_train": 120, "limit_test": 40},
    "network": {"hidden": [12]},
    "training": {"batch_size": 25},
}


def small(network=None, **training):
    return resolve(
        "tones",
        "brf",
        overrides=SMALL | {"network": SMALL["network"] | (network or {}), "training": SMALL["training"] | training},
    )


def metrics(folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv as they stand there, without the times."""
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def assert_same_run(folder: Path, wanted: Path) -> None:
    """Metrics and both checkpoints with optimiser, epoch and history are the same bits; only times differ."""
    assert metrics(folder) == metrics(wanted)
    for name in ("best.npz", "last.npz"):
        a, b = load_checkpoint(folder / name), load_checkpoint(wanted / name)
        assert a.sha256 == b.sha256
        assert a.extra.keys() == b.extra.keys()
        for key, value in a.extra.items():
            assert value.dtype == b.extra[key].dtype
            np.testing.assert_array_equal(value, b.extra[key], err_msg=f"{name} {key}")
        for meta in (a.meta, b.meta):
            for row in meta.get("rows", ()):
                del row["seconds"]
        assert a.meta == b.meta


def start(folder: Path, config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brfkit", "train", "--config", config, "--run-dir", folder, "--threads", "1"]
    if (folder / "config.json").exists():  # without a run there, --resume is refused
        command.append("--resume")
    return subprocess.Popen([*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_somewhere(folder: Path, child: subprocess.Popen[bytes], draw: random.Random) -> bool:
    """Kill a run at a random moment: one in four while it starts, the others within the epochs after the next one that
    it finishes. False where it came to its end before."""
    if draw.random() < 0.25:
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        before = (folder / "metrics.csv").read_bytes() if (folder / "metrics.csv").exists() else b""
        until = time.monotonic() + 120
        while child.poll() is None and time.monotonic() < until:
            if (folder / "metrics.csv").exists() and (folder / "metrics.csv").read_bytes() != before:
                break
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.15))
    child.kill()
    return child.wait(60) < 0


def kills(folder: Path, config: Path, count: int, seed: int) -> int:
    """Run to the end with that many kills at most; how many there were."""
    draw, done = random.Random(seed), 0
    while done < count:
        child = start(folder, config)
        if not kill_somewhere(folder, child, draw):
            return done
        done += 1
    assert start(folder, config).wait(300) == 0
    return done


@pytest.mark.parametrize(
    ("count", "training"),
    [
        (3, {"epochs": 60}),
        pytest.param(
            20, {"epochs": 400, "spike_dropout": 0.2, "input_dropout": 0.1, "accumulate": 2}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_run_killed_again_and_again_is_the_undisturbed_one(tmp_path, count, training):
    config = small(**training)
    train(config, tmp_path / "whole", get_backend("numba", threads=1))
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config.to_dict()))
    done = kills(tmp_path / "killed", file, count, seed=count)
    assert done == count, f"the run was over after {done} kills; it needs more epochs"
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    result = json.loads((tmp_path / "killed" / "result.json").read_text())
    wanted = json.loads((tmp_path / "whole" / "result.json").read_text())
    for key in ("epochs", "best_epoch", "test_accuracy", "test_loss", "spikes_per_sample", "stopped", "diverged"):
        assert result[key] == wanted[key]


@pytest.mark.parametrize(
    ("network", "training"),
    [
        ({"omega_init": "spectrum"}, {"input_dropout": 0.2, "schedule": "cosine", "warmup_epochs": 1, "seed": 3}),
        pytest.param({"bias": True}, {"tbptt": 70, "spike_dropout": 0.3, "clip_norm": 0.5}, marks=pytest.mark.slow),
        pytest.param({"options": {"smooth_reset": False}}, {"rate_penalty": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_the_resolved_configuration_repeats_the_run(tmp_path, network, training):
    train(small(network, epochs=3, **training), tmp_path / "a", get_backend("numba", threads=1))
    file = tmp_path / "a" / "config.json"
    assert run(["train", "--config", str(file), "--run-dir", str(tmp_path / "b"), "--threads", "2"]) == 0
    assert (tmp_path / "b" / "config.json").read_bytes() == file.read_bytes()
    assert_same_run(tmp_path / "b", tmp_path / "a")
