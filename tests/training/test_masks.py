"""Samples and steps that are left out: gradients and figures are those of the samples without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import brfkit
from brfkit.analysis.landscape.hessian import output_gradient
from brfkit.backends import get_backend
from brfkit.data import DenseSplit, load
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.network import recurrent_network
from brfkit.nn.function import scan
from brfkit.runs.config import Config, DataConfig, NetworkConfig, TrainingConfig
from brfkit.task import EVERY, LAST, MAX, MEAN, OVER_TIME, WHERE, Task
from brfkit.training.losses import fused_task_loss, task_loss
from brfkit.training.trainer import Trainer

STEPS, CLASSES = 14, 3
LENGTHS = (14, 5, 9, 4)
SKIP = 2


def padded(per_step: bool) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """x [T, B, I] and labels [T, B] of padded samples, and x [L, 1, I], labels [L, 1] or [1] of each alone."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(STEPS, len(LENGTHS), 2)) * 8
    labels = rng.integers(0, CLASSES, (STEPS, len(LENGTHS)))
    if not per_step:
        labels[:] = labels[0]
    alone = [(x[:n, [b]], labels[:n, [b]] if per_step else labels[0, [b]]) for b, n in enumerate(LENGTHS)]
    for b, n in enumerate(LENGTHS):
        x[n:, b], labels[n:, b] = 7.0, -1  # whatever stands in the padding
    return x, labels, alone


def network_and_weights() -> tuple[object, dict[str, torch.Tensor]]:
    network = recurrent_network(2, [7], CLASSES)
    weights = network.initialise(0, np.dtype("float64"))
    weights["hidden0.w_in"] *= 30
    return network, {name: torch.from_numpy(value).requires_grad_() for name, value in weights.items()}


def gradients(loss: torch.Tensor, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize(
    ("where", "per_step"), [(w, p) for w in WHERE for p in (False, True) if not (p and w in OVER_TIME)]
)
def test_padded_samples_have_the_gradients_of_the_samples_alone(where: str, per_step: bool, backend: str) -> None:
    network, weights = network_and_weights()
    computing, task = get_backend(backend), Task(where, where, SKIP)
    x, labels, alone = padded(per_step)

    total, terms, right = torch.zeros((), dtype=torch.float64), 0, 0
    for one, label in alone:
        out, _, trace = scan(computing, network, weights, torch.from_numpy(np.ascontiguousarray(one)))
        rows = (len(one) - SKIP) if where == EVERY else 1
        total = total + task_loss(task, out, torch.from_numpy(label)) * rows
        terms, right = terms + rows, right + task.correct(out.detach().numpy(), label)[0]
    wanted = gradients(total / terms, weights)

    out, _, trace = scan(computing, network, weights, torch.from_numpy(x))
    assert trace.spikes_per_sample() > 0
    loss, correct = fused_task_loss(task, out, torch.from_numpy(labels))
    assert (correct, loss.item()) == (right, pytest.approx((total / terms).item(), rel=1e-12))
    again = scan(computing, network, weights, torch.from_numpy(x))[0]
    for found in (gradients(loss, weights), gradients(task_loss(task, again, torch.from_numpy(labels)), weights)):
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
            assert value.abs().max() > 0

    outputs = out.detach().numpy()
    summed, count = task.loss_sum(outputs, labels)
    assert (count, summed) == (terms, pytest.approx(total.item(), rel=1e-12))
    assert task.correct(outputs, labels) == (right, terms)
    leaf = torch.from_numpy(outputs).requires_grad_()
    (by_torch,) = torch.autograd.grad(task_loss(task, leaf, torch.from_numpy(labels)) * terms, leaf)
    np.testing.assert_allclose(output_gradient(task, outputs, labels), by_torch.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("where", WHERE)
def test_samples_without_a_label_are_as_if_they_were_not_there(where: str) -> None:
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(6, 5, CLASSES)), np.array([0, -1, 2, 1, -1])
    task, labelled = Task(where, where), labels >= 0
    assert task.correct(outputs, labels) == task.correct(outputs[:, labelled], labels[labelled])
    found, wanted = task.loss_sum(outputs, labels), task.loss_sum(outputs[:, labelled], labels[labelled])
    assert found == (pytest.approx(wanted[0], rel=1e-14), wanted[1])


def test_nothing_labelled_gives_no_gradient() -> None:
    for where in WHERE:
        outputs = torch.ones(4, 2, 3, requires_grad=True)
        loss, right = fused_task_loss(Task(where, where), outputs, torch.full((2,), -1))
        loss.backward()
        assert (loss.item(), right, outputs.grad.abs().max().item()) == (0.0, 0, 0.0)
        assert Task(where, where).loss_sum(np.ones((4, 2, 3)), np.full(2, -1)) == (0.0, 0)


def test_max_over_time() -> None:
    outputs = np.zeros((4, 1, 2))
    outputs[:, 0] = [[0, 0], [5, 1], [1, 2], [2, 9]]
    assert Task(MAX, MAX).predictions(outputs) == [1]
    assert Task(MAX, MAX).correct(outputs, np.array([[0], [0], [0], [-1]])) == (1, 1)
    assert Task(LAST, LAST).correct(outputs, np.array([[0], [0], [0], [-1]])) == (0, 1)


def test_labels_that_change_do_not_go_with_a_mean() -> None:
    outputs = np.zeros((3, 1, 2))
    for where in (MEAN, MAX):
        Task(where, where).check_labels(3, np.array([[1], [1], [-1]]))
        with pytest.raises(BrfkitError, match=f"do not go with a {where} over time"):
            Task(where, where).check_labels(3, np.array([[0], [1], [-1]]))
    assert Task(MEAN, MEAN).correct(outputs, np.array([[0], [0], [-1]])) == (1, 1)


def file_with(path, **changes):
    rng = np.random.default_rng(1)
    arrays = {}
    for part, count in (("train", 12), ("test", 4)):
        arrays[f"x_{part}"] = rng.normal(size=(count, 10, 2)) * 5
        arrays[f"y_{part}"] = np.arange(count) % 2
    np.savez(path, **(arrays | changes))
    return str(path)


def test_file_with_lengths_and_mask(tmp_path):
    x = np.random.default_rng(1).normal(size=(12, 10, 2))
    x[3, 6:] = np.nan
    lengths = np.full(12, 10)
    lengths[3] = 6
    mask = np.ones(12, bool)
    mask[1] = False
    data = load(file_with(tmp_path / "a.npz", x_train=x, lengths_train=lengths, mask_train=mask))
    assert data.train.y.shape == (12, 10)
    assert not data.labels_per_step
    assert data.train.y[3].tolist() == [1] * 6 + [-1] * 4
    assert (data.train.y[1] == -1).all()
    assert (data.train.x[3, 6:] == 0).all()
    assert data.test.y.tolist() == [0, 1, 0, 1]
    per_step = np.ones((4, 10))
    per_step[0, 2] = 0
    data = load(file_with(tmp_path / "a.npz", mask_test=per_step))
    assert (data.test.y == -1).sum() == 1
    assert data.classes == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.full(12, -2)}, "-1 is no label"),
        ({"y_train": np.full(12, -1)}, "no sample of the train part has a label"),
        ({"mask_train": np.zeros(12)}, "no sample of the train part has a label"),
        ({"mask_train": np.ones(11)}, r"mask_train has shape \(11,\)"),
        ({"mask_train": np.full(12, 2)}, "mask_train holds other values"),
        ({"lengths_train": np.full(12, 11)}, "lengths_train holds 11..11; 1 to 10 steps"),
        ({"lengths_train": np.full(12, 0)}, "1 to 10 steps"),
        ({"lengths_train": np.full(3, 5)}, "lengths_train has 3 entries for 12 samples"),
        ({"lengths_train": np.full(12, 2.5)}, "lengths_train"),
    ],
)
def test_wrong_masks_are_one_clear_line(changes, message, tmp_path):
    with pytest.raises(BrfkitError, match=message) as error:
        load(file_with(tmp_path / "a.npz", **changes))
    assert "\n" not in str(error.value)


def config_for(path: str, **training) -> Config:
    settings = {"epochs": 1, "batch_size": 4, "seed": 2, "dtype": "float64"} | training
    return Config(
        DataConfig(path, validation_fraction=0.0), NetworkConfig(hidden=(6,)), Task(), TrainingConfig(**settings)
    )


def trained(path: str, **training) -> tuple[Trainer, float]:
    config, data = config_for(path, **training), load(path)
    network = config.network.build(data.channels, data.classes)
    trainer = Trainer(config, data, network, network.initialise(0, np.dtype("float64")), get_backend("numba"))
    return trainer, trainer.train_epoch().loss


@pytest.mark.parametrize("tbptt", [None, 4])
def test_content_of_the_padding_does_not_change_what_is_learned(tbptt, tmp_path):
    """Padding of zeros, in a file that says the same by labels of -1 at every step."""
    rng = np.random.default_rng(1)
    x, lengths = rng.normal(size=(12, 10, 2)) * 5, rng.integers(3, 11, 12)
    inside = np.arange(10) < lengths[:, None]
    y = np.where(inside, (np.arange(12) % 2)[:, None], -1)
    first, one = trained(file_with(tmp_path / "a.npz", x_train=x, lengths_train=lengths), tbptt=tbptt)
    labelled = file_with(
        tmp_path / "b.npz", x_train=x * inside[..., None], y_train=y, y_test=np.zeros((4, 10), int)
    )  # fmt: skip
    second, two = trained(labelled, tbptt=tbptt)
    assert one == two
    for name, value in first.weights().items():
        np.testing.assert_array_equal(value, second.weights()[name])


def test_accumulated_batches_weigh_as_many_terms_as_they_have(tmp_path):
    path = file_with(tmp_path / "a.npz", lengths_train=np.r_[np.full(6, 10), np.full(6, 2)])
    small, loss = trained(path, batch_size=3, accumulate=4, optimizer="sgd")
    whole, wanted = trained(path, batch_size=12, optimizer="sgd")
    assert loss == pytest.approx(wanted, rel=1e-12)
    for name, value in whole.weights().items():
        np.testing.assert_allclose(small.weights()[name], value, rtol=1e-10, atol=1e-12)


def test_evaluation_leaves_out_what_has_no_label():
    network = recurrent_network(2, [9], 3)
    weights = network.initialise(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(11, 20, 2)).astype(np.float32) * 10, rng.integers(0, 3, 11)
    y[[2, 5]] = -1
    whole = evaluate(network, weights, DenseSplit(x, y), Task(), get_backend("numba"), batch_size=4)
    part = evaluate(network, weights, DenseSplit(x[y >= 0], y[y >= 0]), Task(), get_backend("numba"), batch_size=4)
    assert whole.accuracy == part.accuracy
    assert whole.loss == pytest.approx(part.loss, rel=1e-6)
    nothing = evaluate(network, weights, DenseSplit(x, np.full(11, -1)), Task(), get_backend("numba"))
    assert np.isnan(nothing.accuracy)
    assert np.isnan(nothing.loss)


def test_unlabelled_tenth_of_ecg(data_dir, reference_dir):
    published = load("ecg", data_dir=data_dir, limit_test=30)
    data = load("ecg", data_dir=data_dir, limit_test=30, ignore_unlabelled=True)
    unlabelled = data.test.y < 0
    assert 0.05 < unlabelled.mean() < 0.2
    np.testing.assert_array_equal(np.where(unlabelled, 0, data.test.y), published.test.y)
    network = brfkit.load(reference_dir / "checkpoints" / "ecg_brf.pt", neuron="brf", dataset="ecg")
    x, y = data.test.batch(range(30))
    right = get_backend("numba").scan(network.network, network.weights, x).outputs.argmax(-1) == y
    assert brfkit.evaluate(network, data).accuracy == pytest.approx(100 * right[y >= 0].mean(), rel=1e-12)
    with pytest.raises(BrfkitError, match="ignore_unlabelled belongs to ecg"):
        load("tones", ignore_unlabelled=True)


def test_training_uses_weights_and_smoothing(tmp_path):
    path = file_with(tmp_path / "a.npz", y_train=np.r_[np.zeros(9, int), np.ones(3, int)])
    plain = trained(path)[1]
    assert trained(path, class_weights="balanced")[1] != plain
    assert trained(path, label_smoothing=0.1)[1] != plain
