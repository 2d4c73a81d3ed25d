"""Figures of surfaces whose figures can be worked out by hand, and the gradient that the Hessian is made from."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.analysis.landscape.figures import convex_fraction, figures, hessian, roughness
from brfkit.analysis.landscape.hessian import flat, loss_gradient, output_gradient, replaced, top_eigenvalues
from brfkit.analysis.landscape.surface import axis
from brfkit.backends import get_backend
from brfkit.data import DenseSplit
from brfkit.errors import BrfkitError
from brfkit.task import Task


def described(function, points=11, bound=1.0, radius=0.25, line=False):
    alpha = axis(points, bound)
    beta = np.zeros(1) if line else alpha
    loss = function(alpha[:, None], beta[None, :]) + np.zeros((len(alpha), len(beta)))
    return figures(alpha, beta, loss, np.ones(loss.shape, bool), float(function(0.0, 0.0)), radius), loss


@pytest.mark.parametrize("points", [2, 3, 10, 25, 51, 1001])
def test_the_axis_is_symmetric_and_odd_ones_hold_zero(points):
    found = axis(points, 0.7)
    np.testing.assert_array_equal(found, -found[::-1])
    assert (found[0], found[-1]) == (-0.7, 0.7)
    np.testing.assert_allclose(np.diff(found), 1.4 / (points - 1), rtol=1e-9)
    assert (0.0 in found) == bool(points % 2)


@pytest.mark.parametrize("points", [10, 11])
def test_a_paraboloid(points):
    found, loss = described(lambda a, b: 3 + 4 * a**2 + a * b + b**2, points)
    # The Hessian is [[8, 1], [1, 2]] everywhere; finite differences of a quadratic are exact up to rounding.
    large, small = 5 + np.sqrt(10), 5 - np.sqrt(10)
    assert found.curvature_center == pytest.approx((large, small), rel=1e-9)
    assert found.condition_center == pytest.approx(large / small, rel=1e-9)
    assert found.convex_fraction == 1.0
    assert (found.loss_max, found.loss_center) == (pytest.approx(9.0), 3.0)
    h = 2 / (points - 1)
    spread = loss.max() - loss.min()
    expected = np.sqrt(((8 * h**2) ** 2 + (2 * h**2) ** 2) / 2) / spread
    assert found.roughness == pytest.approx(expected, rel=1e-9)


def test_a_saddle_is_nowhere_convex():
    found, _ = described(lambda a, b: 1 + a**2 - 3 * b**2)
    assert found.convex_fraction == 0.0
    assert found.curvature_center == pytest.approx((2, -6), rel=1e-9)
    assert found.condition_center == pytest.approx(3, rel=1e-9)


def test_curvature_off_the_axes_counts():
    # Positive along both axes, but a saddle along the diagonals: the determinant is 4 - 9 < 0.
    found, _ = described(lambda a, b: a**2 + b**2 + 3 * a * b)
    assert found.convex_fraction == 0.0


def test_half_of_a_cubic_is_convex():
    found, loss = described(lambda a, b: a**3 + b**2, 12)
    assert found.convex_fraction == 0.5
    assert hessian(axis(12, 1), axis(12, 1), loss).shape == (10, 10, 2, 2)


def test_a_plane_has_no_roughness_and_a_constant_none():
    assert described(lambda a, b: 2 * a - b)[0].roughness == pytest.approx(0, abs=1e-14)
    assert roughness(np.full((5, 5), 2.0)) is None


def test_sharpness_is_that_of_the_radius():
    found, _ = described(lambda a, b: 1 + a**2 + b**2, points=11, radius=0.6)
    assert found.sharpness == pytest.approx(0.36 / 2)  # (0.6, 0) lies on the grid, nothing within is higher
    below, _ = described(lambda a, b: 1 - a**2 - b**2, radius=0.6)
    assert below.sharpness == 0.0


def test_a_line():
    found, _ = described(lambda a, b: a**4 - a**2, points=5, line=True)
    # Second differences at -0.5, 0, 0.5 are 3/8, -3/8, 3/8 of the values 0, -3/16, 0, -3/16, 0.
    assert found.convex_fraction == pytest.approx(2 / 3)
    assert found.curvature_center == pytest.approx((-1.5,))
    assert found.condition_center is None
    assert found.roughness == pytest.approx((3 / 8) / (3 / 16))


def test_what_is_missing_is_left_out():
    alpha = axis(7, 1.0)
    loss = alpha[:, None] ** 2 + alpha[None, :] ** 2
    loss[0, 0], loss[6, 6], loss[0, 6], loss[6, 0] = np.nan, np.inf, -np.inf, np.nan
    done = np.ones(loss.shape, bool)
    done[0, 0] = False
    found = figures(alpha, alpha, loss, done, 0.0, 0.25)
    assert found.not_finite == 3
    assert found.loss_max == pytest.approx(1 + 4 / 9)
    assert found.convex_fraction == 1.0
    empty = figures(alpha, alpha, np.full((7, 7), np.nan), np.zeros((7, 7), bool), np.nan, 0.25)
    assert {empty.loss_min, empty.loss_center, empty.roughness, empty.convex_fraction, empty.sharpness} == {None}
    assert convex_fraction(axis(2, 1), axis(2, 1), np.zeros((2, 2))) is None


def test_eigenvalues_of_a_quadratic():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    values = np.concatenate([[-30.0, 20.0, 10.0], rng.uniform(-1, 1, 37)])
    matrix = basis * values @ basis.T
    found = top_eigenvalues(lambda w: matrix @ w, rng.normal(size=40), 3, step=1e-2, tolerance=1e-6)
    np.testing.assert_allclose(found.eigenvalues, [-30, 20, 10], rtol=1e-6)
    assert max(found.residuals) < 1e-5  # about the root of the eigenvalues' tolerance, and these converge far below it
    skew = matrix + np.triu(rng.normal(size=(40, 40)) * 20)
    assert max(top_eigenvalues(lambda w: skew @ w, rng.normal(size=40), 1, step=1e-2).residuals) > 0.1
    with pytest.raises(BrfkitError, match="between 1 and 38"):
        top_eigenvalues(lambda w: matrix @ w, np.ones(40), 39, step=1e-2)
    with pytest.raises(BrfkitError, match="not finite"):
        top_eigenvalues(lambda w: w * np.nan, np.ones(40), 1, step=1e-2)


TASKS = [(where, skip, per_step) for where in ("last", "every") for skip in (0, 3) for per_step in (False, True)]
TASKS += [("mean", 0, False), ("mean", 2, False)]


@pytest.mark.parametrize(("where", "skip", "per_step"), TASKS)
def test_gradient_of_the_loss_by_finite_differences(where, skip, per_step, rng):
    task = Task(loss_on=where, accuracy_from=where, skip_steps=skip)
    outputs = rng.normal(size=(6, 2, 3))
    labels = rng.integers(0, 3, (6, 2) if per_step else 2)
    found = output_gradient(task, outputs, labels)
    step = 1e-5
    for index in np.ndindex(*outputs.shape):
        moved = [outputs.copy(), outputs.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        slope = (task.loss_sum(moved[0], labels)[0] - task.loss_sum(moved[1], labels)[0]) / (2 * step)
        # Central differences: third derivatives (below 1) times step²/6, and rounding of losses near 10 over the step.
        assert found[index] == pytest.approx(slope, abs=1e-9)


def test_gradient_of_a_network_is_that_of_torch(make_network, rng):
    import torch

    from brfkit.nn.network import NetworkModule
    from brfkit.training.losses import task_loss

    network, weights, x = make_network("brf", (5,), steps=12, batch=7)
    labels, task = rng.integers(0, 3, 7), Task()
    split = DenseSplit(np.ascontiguousarray(x.transpose(1, 0, 2)), labels)
    found = loss_gradient(network, weights, split, task, get_backend("reference"), batch_size=3)
    module = NetworkModule(network, weights, get_backend("torch"))
    task_loss(task, module(torch.from_numpy(x)), torch.from_numpy(labels)).backward()
    for name, parameter in module.weight_tensors().items():
        # Order of additions only: about 1e-16 times the number of terms, relative to the largest.
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), rtol=0, atol=1e-12)


def test_flat_weights_and_back(make_network):
    network, weights, _ = make_network("brf", (5,))
    names = ("hidden0.w_rec", "hidden0.omega")
    moved = replaced(weights, names, flat(weights, names) + 1)
    for name in network.shapes():
        np.testing.assert_array_equal(moved[name], weights[name] + (name in names))
