"""The running mean of the weights: its values, and that it is what a run measures, keeps and resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.data import load
from brfkit.evaluation import evaluate
from brfkit.runs.config import Config, DataConfig, NetworkConfig, TrainingConfig
from brfkit.training.averaging import WeightAverage
from brfkit.training.run import train

CONFIG = Config(
    data=DataConfig("tones", limit_train=60, limit_test=20),
    network=NetworkConfig(hidden=(8,)),
    training=TrainingConfig(epochs=3, batch_size=20, learning_rate=0.1, average=0.9, seed=2),
)


def test_the_mean_is_the_weighted_sum() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3))
    average = WeightAverage(0.5, {"w": torch.from_numpy(values[0])})
    expected = values[0]
    for n, value in enumerate(values[1:], 1):
        average.update({"w": torch.from_numpy(value)})
        keep = min(0.5, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * value
    np.testing.assert_allclose(average.weights()["w"], expected, rtol=1e-14)
    average.weights()["w"][:] = 7  # a copy
    np.testing.assert_allclose(average.weights()["w"], expected, rtol=1e-14)


def test_the_mean_is_measured_and_kept(tmp_path: Path) -> None:
    result = train(CONFIG, tmp_path / "run", get_backend("numba"))
    best = load_checkpoint(tmp_path / "run" / "best.npz")
    tones = load("tones", limit_train=60, limit_test=20)
    measured = evaluate(best.network, best.weights, tones.test, CONFIG.task, get_backend("numba"))
    assert measured.accuracy == result.test_accuracy
    last = load_checkpoint(tmp_path / "run" / "last.npz")
    trained = last.extra["trained/hidden0.w_in"]
    assert not np.array_equal(trained, last.weights["hidden0.w_in"])


def test_a_resumed_run_goes_on_with_both(tmp_path: Path) -> None:
    train(CONFIG, tmp_path / "whole", get_backend("numba"))
    epochs = iter([False, True])
    train(CONFIG, tmp_path / "parts", get_backend("numba"), stop=lambda: next(epochs))
    train(CONFIG, tmp_path / "parts", get_backend("numba"), resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "last.npz") for name in ("whole", "parts"))
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(parts.weights[name], value)
    for name, value in whole.extra.items():
        np.testing.assert_array_equal(parts.extra[name], value)
