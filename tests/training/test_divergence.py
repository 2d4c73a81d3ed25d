"""Weights that cannot learn any more: every optimiser, every kind of neuron, and a run that ends with it."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch

from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.runs.config import OPTIMIZERS
from brfkit.runs.datasets import load_dataset
from brfkit.runs.resolve import resolve
from brfkit.training.distributed import World
from brfkit.training.divergence import DivergedError, WeightWatch
from brfkit.training.losses import Totals
from brfkit.training.observers import Silent
from brfkit.training.run import make_trainer, train

BACKEND = get_backend("numba", threads=1)
KEEPING_SQUARES = [name for name in OPTIMIZERS if name not in ("sgd", "adamax")]


def config(neuron="lif", **training):
    overrides = {
        "data": {"limit_train": 40, "limit_test": 10},
        "network": {"hidden": [6]},
        "training": {"epochs": 8, "batch_size": 18, "learning_rate": 0.01, "schedule": "constant"} | training,
    }
    preset = "tones-lif" if neuron == "se-adlif" else None
    return resolve("tones", neuron, preset=preset, overrides=overrides)


def make(neuron="lif", **training):
    settings = config(neuron, **training)
    return make_trainer(settings, load_dataset(settings.data, seed=0), BACKEND, World(), False)[0]


def set_gradient(trainer, name, value):
    """Let one value of a weight have this gradient in every step."""
    weight = trainer.module.weight_tensors()[name]

    def change(*_):
        weight.grad.view(-1)[1] = value

    trainer.watch.see_gradients, seen = change, trainer.watch.see_gradients
    trainer.optimizer.register_step_pre_hook(lambda *_: seen())


@pytest.mark.parametrize("optimizer", KEEPING_SQUARES)
def test_an_overflow_in_the_optimiser_is_divergence(optimizer):
    trainer = make(optimizer=optimizer)
    set_gradient(trainer, "readout.w_in", 1e25)
    text = (
        r"epoch 1, batch 1: weight readout\.w_in cannot learn any more: \w+ of the optimiser is not finite for 1 of 60 "
        r"values \(largest gradient 1e\+25\); bound the gradient with --clip-norm, .* --tbptt, .* --lr"
    )
    with pytest.raises(DivergedError, match=text):
        trainer.train_epoch()


@pytest.mark.parametrize("neuron", ["rf", "brf", "bhrf", "alif", "lif", "se-adlif", "lstm"])
def test_every_neuron_is_watched(neuron):
    trainer = make(neuron)
    weight = "readout.weight" if neuron == "lstm" else "hidden0.w_in"
    set_gradient(trainer, weight, 1e22)
    with pytest.raises(DivergedError, match=rf"weight {weight} cannot learn any more"):
        trainer.train_epoch()


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "sgd"])
def test_a_scale_that_dwarfs_the_gradient_is_divergence_in_float64(optimizer):
    trainer = make(optimizer=optimizer, dtype="float64")
    for _ in range(3):  # RAdam divides by nothing in its first five steps
        trainer.train_epoch()
    state = trainer.optimizer.state[trainer.module.weight_tensors()["readout.w_in"]]
    for key, value in state.items():
        if key in ("exp_avg_sq", "square_avg", "sum", "exp_inf"):
            value.fill_(1e50)
        elif value.ndim:
            value.zero_()
    before = trainer.module.weights()["readout.w_in"]
    text = (
        r"epoch 4, batch 2: weight readout\.w_in cannot learn any more: (\d+) of its \1 values with a gradient did not"
    )
    with pytest.raises(DivergedError, match=text):
        trainer.train_epoch()
    np.testing.assert_array_equal(trainer.module.weights()["readout.w_in"], before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_healthy_training_has_no_frozen_weights(optimizer):
    trainer = make("brf", optimizer=optimizer)
    for _ in range(3):
        trainer.train_epoch()
    assert trainer.watch.frozen_values() == 0


def test_a_weight_that_no_longer_fits_its_digits_is_divergence():
    trainer = make(optimizer="sgd")
    set_gradient(trainer, "hidden0.w_in", 1e12)
    with pytest.raises(DivergedError, match=r"batch 2: weight hidden0\.w_in grew from 0\.\d+ to 2e\+10 in this epoch"):
        trainer.train_epoch()


def test_values_without_a_gradient_are_not_frozen():
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.Adam([weight])
    watch = WeightWatch({"w": weight}, optimizer)
    weight.grad = torch.tensor([1.0, 0.0, 0.0, 0.0])
    watch.see_gradients()
    optimizer.step()
    assert watch.frozen("w") == (0, 1)
    assert watch.stuck() is None


class Exploding(Silent):
    """Gives every gradient of the first layer's input weights the size of 1e26 from the second epoch on."""

    def started(self, trainer, epoch, epochs):
        weight = trainer.module.weight_tensors()["hidden0.w_in"]
        clip = trainer._clip

        def explode(norm):
            if trainer.epoch == 1:
                weight.grad.fill_(1e26)
            clip(norm)

        trainer._clip = explode


def test_a_run_ends_with_it_and_says_so(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        result = train(config("alif"), tmp_path / "run", BACKEND, observer=Exploding())
    assert result.diverged is not None
    assert result.diverged.startswith(
        "training diverged in epoch 2, batch 1: weight hidden0.w_in cannot learn any more: exp_avg_sq of the optimiser "
        "is not finite for 24 of 24 values (largest gradient 1e+26); "
    )
    assert result.diverged.endswith(f"the last good checkpoint is {tmp_path / 'run' / 'last.npz'}, of epoch 1")
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (stored["diverged"], stored["epochs"]) == (result.diverged, 1)
    weights = load_checkpoint(tmp_path / "run" / "last.npz").weights
    assert all(np.isfinite(value).all() for value in weights.values())


def test_squares_of_gradients_that_overflow_give_no_warning():
    trainer = make(clip_norm=1.0)
    x, labels = trainer.train_split.batch(np.arange(4), np.float32)
    with torch.no_grad():
        trainer.module.weight_tensors()["readout.w_in"].mul_(1e22)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        trainer.train_batch(x, labels, 0, Totals())
    assert trainer.watch.frozen_values() == 0
