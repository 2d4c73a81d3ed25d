"""Dropout of hidden spikes in training: what it amounts to, that it repeats, and where it is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brfkit.backends import get_backend
from brfkit.backends.torch_bptt import run_layer
from brfkit.baseline import LstmBackend
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.runs.metrics import TRAIN, read_metrics
from brfkit.runs.resolve import resolve
from brfkit.training.losses import Totals
from brfkit.training.lstm import LstmTrainer, build_lstm
from brfkit.training.regularise import drop_spikes
from brfkit.training.run import train
from brfkit.training.trainer import Trainer

DATA = load("tones", limit_train=60, limit_test=20)


# RF neurons spike from the start; 9 samples and more fill tiles of one size, so that few kernels are compiled.
def config(neuron="rf", **training):
    settings = {"epochs": 2, "batch_size": 20, "dtype": "float64", "spike_dropout": 0.4}
    return resolve(
        "tones",
        neuron,
        overrides={
            "data": {"limit_train": 60, "limit_test": 20, "validation_fraction": 0.0},
            "network": {"hidden": [7]},
            "training": settings | training,
        },
    )


def make(backend=None, neuron="rf", **training):
    settings = config(neuron, **training)
    network = settings.network.build(DATA.channels, DATA.classes)
    weights = network.initialise(3, np.float64, settings.network.initial_distributions())
    return Trainer(settings, DATA, network, weights, backend or get_backend("numba", threads=1))


def gradients(trainer):
    return {name: p.grad.numpy().copy() for name, p in trainer.module.weight_tensors().items()}


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_gradient_is_that_of_inverted_dropout(backend):
    """Autograd through the eager loop whose spikes are multiplied by 0 or 1 / (1 - p); weights are not scaled there."""
    trainer = make(get_backend(backend, threads=1), clip_norm=1e9)
    x, labels = DATA.train.batch(np.arange(9), np.float64)
    dropped = drop_spikes(np.arange(9), 0.4, 0, 1)
    before = trainer.module.weights()
    sums = Totals()
    trainer.train_batch(x, labels, 0, sums, dropped=dropped)

    leaves = {n: torch.from_numpy(w).requires_grad_() for n, w in before.items()}
    hidden, readout = trainer.network.layers
    kept = torch.from_numpy(dropped.kept(0, len(x), 7) / (1.0 - 0.4))
    own = {n.removeprefix("hidden0."): w for n, w in leaves.items() if n.startswith("hidden0.")}
    spikes, _, _ = run_layer(hidden, 0.01, own, torch.from_numpy(x), mask=kept)
    out, _, _ = run_layer(readout, 0.01, {n.removeprefix("readout."): w for n, w in leaves.items()}, spikes)
    wanted = torch.from_numpy(labels).repeat(len(x))
    loss = torch.nn.functional.cross_entropy(out.reshape(-1, 10), wanted)
    loss.backward()
    assert sums.loss / 9 == pytest.approx(float(loss.detach()), rel=1e-10)
    assert 0 < sums.spikes == torch.count_nonzero(spikes)
    for name, value in gradients(trainer).items():
        grad = leaves[name].grad.numpy()
        np.testing.assert_allclose(value, grad, rtol=1e-8, atol=1e-11 * np.abs(grad).max(), err_msg=name)


def test_the_draw_follows_from_seed_epoch_and_sample():
    samples = np.array([5, 2, 9])
    keys = drop_spikes(samples, 0.4, 0, 1).keys
    np.testing.assert_array_equal(drop_spikes(samples[1:], 0.4, 0, 1).keys, keys[1:])
    others = (drop_spikes(samples, 0.4, 0, 2).keys, drop_spikes(samples, 0.4, 1, 1).keys)
    assert len({*keys, *others[0], *others[1]}) == 9


def test_runs_repeat_whatever_the_threads_and_whether_interrupted(tmp_path):
    def rows(name):
        return [replace(row, seconds=0.0) for row in read_metrics(tmp_path / name / "metrics.csv")]

    settings, one = config(epochs=2), get_backend("numba", threads=1)
    train(settings, tmp_path / "a", one)
    train(settings, tmp_path / "b", get_backend("numba", threads=3), stop=iter([False, True]).__next__)
    train(settings, tmp_path / "b", one, resume=True)
    train(config(epochs=2, spike_dropout=0.0), tmp_path / "plain", one)
    assert rows("a") == rows("b")
    assert rows("a")[0] == rows("plain")[0]  # measured before training, with all spikes
    first = [next(row for row in rows(name) if row.split == TRAIN) for name in ("a", "plain")]
    assert first[0] != first[1]


def test_windows_lose_other_spikes_and_a_long_one_is_bptt():
    plain, long, short = make(), make(tbptt=250), make(tbptt=60)
    for trainer in (plain, long, short):
        trainer.train_epoch()
    for name, value in plain.module.weights().items():
        np.testing.assert_array_equal(long.module.weights()[name], value, err_msg=name)
    assert not np.array_equal(short.module.weights()["hidden0.w_in"], plain.module.weights()["hidden0.w_in"])


def test_the_penalty_counts_the_spikes_that_are_kept():
    """Spikes per sample that are left, times 1 / (1 - p), over steps and neurons: unbiased for the rate of all."""
    trainer = make(rate_penalty=2.0, rate_target=0.0)
    x, _ = DATA.train.batch(np.arange(9), np.float64)
    out, _, left, penalty = trainer._forward(torch.from_numpy(x), None, drop_spikes(np.arange(9), 0.4, 0, 0))
    assert out.shape[-1] == 10
    assert left > 0
    assert float(penalty.detach()) == pytest.approx(2.0 * left / 0.6 / (len(x) * 7), rel=1e-9)


def test_refused_where_it_cannot_be_right():
    with pytest.raises(BrfkitError, match="backend reference cannot drop spikes"):
        make(get_backend("reference"))
    with pytest.raises(BrfkitError, match="does not go with tbptt for alif"):
        make(neuron="alif", tbptt=50)
    settings = config("lstm")
    network = build_lstm(settings.network, DATA.channels, DATA.classes)
    with pytest.raises(BrfkitError, match="neuron lstm has no spikes"):
        LstmTrainer(settings, DATA, network, network.initialise(0, np.float64), LstmBackend())
