"""The fused loss against torch's cross entropy, and the NumPy figures of evaluation against both."""

import itertools

import numpy as np
import pytest
import torch

from brfkit.task import OVER_TIME, WHERE, Task
from brfkit.training.losses import balanced_weights, fused_task_loss, task_loss, weighted_task_loss

CASES = [
    (dtype, where, classes, per_step)
    for dtype, where, classes, per_step in itertools.product(
        (torch.float32, torch.float64), WHERE, (1, 6, 20, 35), (False, True)
    )
    if not (per_step and where in OVER_TIME)
]


@pytest.mark.parametrize(("dtype", "where", "classes", "per_step"), CASES)
def test_fused_loss_equals_torch(dtype, where, classes, per_step):
    torch.manual_seed(classes)
    steps, batch = 13, 5
    task = Task(where, where, skip_steps=2)
    labels = torch.randint(0, classes, (steps, batch) if per_step else (batch,))
    plain = (3 * torch.randn(steps, batch, classes, dtype=dtype)).requires_grad_()
    fused = plain.detach().clone().requires_grad_()
    wanted = task_loss(task, plain, labels)
    wanted.backward()
    loss, right = fused_task_loss(task, fused, labels)
    loss.backward()
    # Ten roundings of the sum of exponentials in float32; in float64 far below.
    tolerance = 2e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(loss, wanted, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fused.grad, plain.grad, rtol=tolerance, atol=tolerance)

    outputs = plain.detach().numpy()
    total, terms = task.loss_sum(outputs, labels.numpy())
    assert total / terms == pytest.approx(float(wanted.detach()), rel=1e-5, abs=1e-6)
    correct, answers = task.correct(outputs, labels.numpy())
    assert correct == right
    assert answers == (batch * (steps - 2) if where == "every" else batch)


def test_extreme_outputs_stay_finite():
    outputs = torch.tensor([[[1e4, -1e4, 0.0]], [[-3e38, 3e38, 1.0]]], requires_grad=True)
    loss, right = fused_task_loss(Task(), outputs, torch.tensor([0]))
    loss.backward()
    assert right == 1
    assert torch.isfinite(outputs.grad).all()


def test_label_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match="label"):
        fused_task_loss(Task(), torch.zeros(2, 1, 3), torch.tensor([3]))


def test_mean_output_is_averaged_before_the_choice():
    outputs = np.zeros((3, 1, 2))
    outputs[:, 0, 0] = [1.0, 1.0, -5.0]
    assert Task("mean", "mean").predictions(outputs) == [1]
    assert Task("every", "every").correct(outputs, np.array([0])) == (2, 3)
    assert Task("last", "last").predictions(outputs) == [1]


def test_weights_and_smoothing_by_hand():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(4, 6, 3)), np.array([0, 0, 0, 2, 2, -1])
    weights = balanced_weights(labels, 3)
    assert weights.tolist() == [5 / 6, 0.0, 5 / 4]
    for smoothing in (0.0, 0.2):
        loss, right = weighted_task_loss(
            Task(), torch.from_numpy(outputs), torch.from_numpy(labels), weights, smoothing
        )
        logs = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
        total, norm = 0.0, 0.0
        for sample, label in enumerate(labels[:5]):
            for step in range(4):
                wanted = (1 - smoothing) * np.eye(3)[label] + smoothing / 3
                total -= (wanted * weights.numpy() * logs[step, sample]).sum()
                norm += float(weights[label])
        assert loss.item() == pytest.approx(total / norm, rel=1e-12)
        assert right == Task().correct(outputs, labels)[0]


def test_weights_of_one_without_smoothing_are_the_plain_loss():
    torch.manual_seed(0)
    outputs, labels = torch.randn(5, 4, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    loss, right = weighted_task_loss(Task(), outputs, labels, torch.ones(3, dtype=torch.float64), 0.0)
    assert (loss.item(), right) == (
        pytest.approx(task_loss(Task(), outputs, labels).item(), rel=1e-14),
        fused_task_loss(Task(), outputs, labels)[1],
    )
