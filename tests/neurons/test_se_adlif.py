"""SE-adLIF: what follows from its equations by hand, run by the reference and by the numba backend in float64."""

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.network import Layer, Network

ALPHA, RHO = np.exp(-1 / 15.0), np.exp(-1 / 180.0)


@pytest.fixture(params=["reference", "numba"])
def run(request):
    backend = get_backend(request.param, threads=1)

    def scan(current, theta=1.0, a=0.5, b=1.0, sign=1.0, q=120.0):
        network = Network(1, (Layer("n", "se-adlif", 1, recurrent=False, constants={"theta": theta, "q": q}),))
        values = {"tau_mem": 15.0, "tau_adp": 180.0, "a": a, "b": b}
        weights = {f"n.{name}": np.array([sign * value]) for name, value in values.items()}
        weights["n.w_in"] = np.ones((1, 1))
        trace = backend.scan(network, weights, np.asarray(current)[:, None, None], record=("n.u", "n.w", "n.z"))
        return tuple(trace.records[f"n.{name}"][:, 0, 0] for name in ("u", "w", "z"))

    return scan


def test_a_constant_current_comes_to_rest_where_leak_and_adaptation_balance(run):
    """u = I - w and w = q a u, so u = I / (1 + q a)."""
    u, w, z = run(np.full(6000, 20.0), theta=1e9)
    assert not z.any()
    assert u[-1] == pytest.approx(20.0 / 61.0, rel=1e-9)
    assert w[-1] == pytest.approx(60.0 * 20.0 / 61.0, rel=1e-9)


def test_adaptation_takes_the_new_membrane_value(run):
    """In the first step w is 0: u = (1 - α) I, and already w = (1 - ρ) q a u (explicit Euler would leave it at 0)."""
    u, w, _ = run([7.0], theta=1e9)
    assert u[0] == pytest.approx((1 - ALPHA) * 7.0, rel=1e-14)
    assert w[0] == pytest.approx((1 - RHO) * 60.0 * u[0], rel=1e-14)


def test_below_threshold_it_rings_at_the_angle_of_its_transition_matrix(run):
    """The symplectic step is u' = αu - (1-α)w, w' = ρw + (1-ρ)qa u': its eigenvalues turn the state."""
    gain = (1 - RHO) * 60.0
    step = np.array([[ALPHA, -(1 - ALPHA)], [gain * ALPHA, RHO - gain * (1 - ALPHA)]])
    angle = np.abs(np.angle(np.linalg.eigvals(step))).max()
    assert angle > 0.01
    u, w, _ = run(np.r_[5.0, np.zeros(99)], theta=1e9)
    wanted = np.array([np.linalg.matrix_power(step, k) @ [u[0], w[0]] for k in range(100)])
    np.testing.assert_allclose(np.stack([u, w], 1), wanted, rtol=0, atol=1e-12)
    crossings = np.flatnonzero(np.diff(np.sign(u)))
    assert np.diff(crossings).mean() == pytest.approx(np.pi / angle, abs=1.0)


def test_a_spike_sets_the_membrane_to_zero_and_adds_to_the_adaptation(run):
    u, w, z = run([40.0], a=0.0)
    assert (u[0], z[0]) == (0.0, 1.0)
    assert w[0] == pytest.approx((1 - RHO) * 120.0, rel=1e-14)


def test_signs_of_the_parameters_make_no_difference(run):
    current = np.full(300, 30.0)
    ours, turned = run(current), run(current, sign=-1.0)
    assert ours[2].sum() > 3
    for a, b in zip(ours, turned, strict=True):
        np.testing.assert_array_equal(a, b)
