"""What can be added to the plain training loop: each option against what it should amount to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brfkit.backends import get_backend
from brfkit.backends.base import Trace
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.runs.config import Config
from brfkit.runs.resolve import resolve
from brfkit.training.divergence import DivergedError, first_nonfinite
from brfkit.training.losses import Totals
from brfkit.training.optimiser import learning_rate
from brfkit.training.regularise import RateProbe, drop_input
from brfkit.training.trainer import Trainer

DATA = load("tones", limit_train=60, limit_test=20)


def make(neuron="brf", readout="li", hidden=(7,), data=DATA, **training):
    training = {"epochs": 2, "batch_size": 20, "dtype": "float64"} | training
    network = {"hidden": list(hidden), "readout": readout}
    overrides = {"network": network, "training": training, "data": {"validation_fraction": 0.0}}
    config = resolve("tones", neuron, overrides=overrides)
    network = config.network.build(data.channels, data.classes)
    weights = network.initialise(3, np.float64, config.network.initial_distributions())
    for name in weights:
        if name.startswith("hidden") and name.endswith((".w_in", ".w_rec")):
            weights[name] *= 20.0  # so that it spikes from the start
    return Trainer(config, data, network, weights, get_backend("numba", threads=1))


def gradients(trainer):
    return {name: p.grad.numpy().copy() for name, p in trainer.module.weight_tensors().items()}


def test_accumulated_gradient_is_that_of_the_whole_batch():
    """Also where the batches differ in size; only the order of additions differs, so float64 agrees to rounding."""
    x, labels = DATA.train.batch(np.arange(20), np.float64)
    whole, parts = make(learning_rate=1e-9), make(learning_rate=1e-9)
    whole.train_batch(x, labels, 0, Totals())
    sums = Totals()
    parts.train_batch(np.ascontiguousarray(x[:, :14]), labels[:14], 0, sums, 20, True, False)
    parts.train_batch(np.ascontiguousarray(x[:, 14:]), labels[14:], 1, sums, 20, False, True)
    a, b = gradients(whole), gradients(parts)
    for name in a:
        np.testing.assert_allclose(b[name], a[name], rtol=1e-10, atol=1e-13 * np.abs(a[name]).max(), err_msg=name)
    assert sums.samples == 20


def test_accumulation_takes_a_step_for_every_group_and_one_for_the_rest():
    trainer = make(batch_size=8, accumulate=3)  # 60 samples: 8 batches, groups of 24, 24 and 12
    steps = []
    trainer.optimizer.register_step_post_hook(lambda *args: steps.append(1))
    trainer.train_epoch()
    assert len(steps) == 3
    whole = make(batch_size=24)
    whole.train_epoch()
    for name, value in trainer.module.weights().items():
        np.testing.assert_allclose(value, whole.module.weights()[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_warmup_rises_and_hands_over():
    training = Config().training
    training = replace(training, epochs=6, warmup_epochs=2, learning_rate=3.0, schedule="cosine")
    rates = [learning_rate(training, e) for e in range(6)]
    assert rates[:3] == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(rates[2:], 1.5 * (1 + np.cos(np.pi * np.arange(4) / 4)))
    assert [learning_rate(replace(training, schedule="linear"), e) for e in (2, 4)] == [3.0, 1.5]


@pytest.mark.parametrize("readout", ["li", "li-sigmoid"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_probe_gives_the_firing_rate_and_leaves_the_outputs_alone(readout, dtype):
    trainer = make(readout=readout)
    weights = {n: torch.from_numpy(w.astype(dtype)) for n, w in trainer.module.weights().items()}
    probe = RateProbe(trainer.network)
    x, _ = DATA.train.batch(np.arange(5), dtype)
    arrays = {n: w.numpy() for n, w in weights.items()}
    plain: Trace = trainer.backend.scan(trainer.network, arrays, x)
    more = trainer.backend.scan(probe.network, {n: w.numpy() for n, w in probe.extend(weights).items()}, x)
    np.testing.assert_array_equal(more.spike_counts["hidden0"], plain.spike_counts["hidden0"])
    tolerance = 1e-12 if dtype == np.float64 else 1e-5  # a row more may change the order of a sum
    np.testing.assert_allclose(more.outputs[:, :, :-1], plain.outputs, rtol=tolerance, atol=tolerance)
    assert plain.spike_counts["hidden0"].sum() > 0
    rate = plain.spike_counts["hidden0"] / (len(x) * 7)
    np.testing.assert_allclose(more.outputs[:, :, -1].mean(0), rate, rtol=1e-5)


def test_gradient_of_the_penalty_is_that_of_autograd():
    """The eager backend goes another way through torch; the same penalty must have the same gradient."""
    from brfkit.backends.torch_bptt import run_network

    trainer = make(rate_penalty=3.0, rate_target=0.01)
    x, labels = DATA.train.batch(np.arange(6), np.float64)
    before = trainer.module.weights()
    trainer.train_batch(x, labels, 0, Totals())
    ours = gradients(trainer)

    leaves = {n: torch.from_numpy(w).requires_grad_() for n, w in before.items()}
    probe = trainer.probe
    out, _ = run_network(probe.network, probe.extend(leaves), torch.from_numpy(x), {})
    loss = torch.nn.functional.cross_entropy(out[:, :, :-1].reshape(-1, 10), torch.from_numpy(labels).repeat(len(x)))
    rate = out[:, :, -1].mean(0)
    assert (rate > 0.01).any()
    (loss + 3.0 * torch.clamp(rate - 0.01, min=0).mean()).backward()
    norm = np.sqrt(sum(float((w.grad**2).sum()) for w in leaves.values()))
    clip = min(1.0, 1.0 / (norm + 1e-6))  # the preset clips at norm 1
    for name, leaf in leaves.items():
        np.testing.assert_allclose(ours[name], clip * leaf.grad.numpy(), rtol=1e-8, atol=1e-12, err_msg=name)


def test_penalty_lowers_the_spikes():
    free, penalised = make(epochs=2), make(epochs=2, rate_penalty=100.0)
    spikes = [[t.train_epoch() for _ in range(2)][-1].spikes_per_sample for t in (free, penalised)]
    assert spikes[1] < spikes[0]


def test_penalty_is_refused_where_it_cannot_be_computed():
    with pytest.raises(BrfkitError, match="one hidden layer"):
        make(hidden=(4, 4), rate_penalty=1.0)


def test_dropped_input_depends_on_the_sample_alone():
    x = np.ones((50, 4, 3), np.float32)
    samples = np.array([5, 2, 9, 7])
    a = drop_input(x, samples, 0.4, 0, 1)
    np.testing.assert_array_equal(drop_input(x[:, 2:], samples[2:], 0.4, 0, 1), a[:, 2:])
    assert not np.array_equal(drop_input(x, samples, 0.4, 0, 2), a)
    assert a.dtype == np.float32
    # 600 draws at 0.6 have a standard deviation of 0.02.
    assert abs(a.mean() - 0.6) < 0.08


def test_dropped_events_are_those_of_a_part_of_the_dense_array(rng):
    dense = (rng.random((30, 4, 20)) < 0.3).astype(np.float32)
    events = Events.from_dense(dense)
    left = drop_input(events, np.arange(4), 0.25, 1, 0)
    after = left.dense(np.float32)
    assert after.shape == dense.shape
    assert (after <= dense).all()
    assert abs(after.sum() / dense.sum() - 0.75) < 0.06  # 720 events: standard deviation 0.016


def test_the_weight_of_what_is_left_makes_up_for_what_is_not():
    """With W_in scaled by 1 / (1 - p), the mean current is that of the whole input."""
    trainer = make(input_dropout=0.5)
    x, _ = DATA.train.batch(np.arange(4), np.float64)
    halved = make()
    halved.module.weight_tensors()["hidden0.w_in"].data *= 2.0
    out = trainer._forward(torch.from_numpy(x), None)[0]
    np.testing.assert_array_equal(out.detach().numpy(), halved._forward(torch.from_numpy(x), None)[0].detach().numpy())


def test_dropout_repeats_and_resumes():
    a, b = make(input_dropout=0.3), make(input_dropout=0.3)
    a.train_epoch()
    a.train_epoch()
    b.train_epoch()
    arrays, plain = b.state_arrays()
    c = make(input_dropout=0.3)
    c.restore(b.module.weights(), arrays, plain)
    c.train_epoch()
    for name, value in c.module.weights().items():
        np.testing.assert_array_equal(value, a.module.weights()[name], err_msg=name)


def test_what_is_not_finite_names_first_nonfinite():
    trainer = make()
    with torch.no_grad():
        trainer.module.weight_tensors()["hidden0.b_offset"][2] = 1e300
    x, labels = DATA.train.batch(np.arange(4), np.float64)
    before = trainer.module.weights()
    cause = r"state u of hidden0 in 1 neurons; the first is 2, omega \S+, b_offset 1e\+300\)"
    with pytest.raises(DivergedError, match=r"epoch 1, batch 3: the gradient of hidden0.* \(and before it " + cause):
        trainer.train_batch(x, labels, 2, Totals())
    for name, value in trainer.module.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_first_nonfinite_is_a_weight_before_a_state():
    weights = {"a.w": torch.ones(2), "b.w": torch.tensor([1.0, float("inf")])}
    assert first_nonfinite(weights, {"a.u": torch.full((1, 2), float("nan"))}) == " (and before it weight b.w)"
    state = {"a.u": torch.ones(1, 2), "b.u": torch.tensor([[1.0, float("nan")]])}
    text = first_nonfinite({"b.tau": torch.tensor([1.0, 2.5])}, state)
    assert text == " (and before it state u of b in 1 neurons; the first is 1, tau 2.5)"


def test_a_weight_that_is_not_finite_ends_the_epoch():
    trainer = make(batch_size=60)
    weight = trainer.module.weight_tensors()["readout.w_in"]
    trainer.optimizer.register_step_post_hook(lambda *args: weight.data.fill_(np.inf))
    with pytest.raises(DivergedError, match=r"epoch 1, batch 1: weight readout.w_in after the update"):
        trainer.train_epoch()
