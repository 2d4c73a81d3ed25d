"""The ways in time of the resonators, against matrix exponentials, determinants and each other.

With λ = b + iω, z' = λz + I, and a step of δ.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.linalg import expm

from brfkit.analysis.neuron.stability.map import stability_map
from brfkit.analysis.neuron.stability.plane import Plane
from brfkit.backends.reference import ReferenceBackend
from brfkit.codegen.linearise import linearise
from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network
from brfkit.neurons import NEURONS
from brfkit.neurons.oscillator import exact, rotation
from brfkit.simulation.values import check_bound

WAYS = ("euler", "symplectic", "exact")
# Slow and fast, turning more than half a circle a step, damped strongly, weakly and not at all.
OMEGA = np.array([0.0, 0.0, 1e-9, 0.5, 10.0, 10.0, 60.0, 99.0, 400.0])
B = -np.array([0.0, 1.0, 1e-12, 20.0, 0.0, 1.0, 3.0, 0.1, 10.0])


def orbit(way: str, omega, b, current: float, steps: int, dt: float, start=(0.3, -0.2), **chosen):
    """States u + iv after every step, [T, H], of resonators without resets."""
    options = {"discretisation": way} | chosen.pop("options", {})
    layer = Layer("n", chosen.pop("neuron", "rf"), len(omega), recurrent=False, options=options, **chosen)
    network = Network(1, (layer,), dt)
    weights = {"n.w_in": np.ones((len(omega), 1)), "n.omega": omega, "n.b_offset": -b}
    state = {f"n.{s}": np.full((1, len(omega)), v) for s, v in zip("uv", start, strict=True)}
    x = np.full((steps, 1, 1), current)
    trace = ReferenceBackend().scan(network, weights, x, initial_state=state, record=["n.u", "n.v"])
    return (trace.records["n.u"] + 1j * trace.records["n.v"])[:, 0]


def solution(omega, b, current: float, steps: int, dt: float) -> np.ndarray:
    """u + iv of the differential equation, [T, H], by the exponential of the matrix that has the current in it."""
    found = np.empty((steps, len(omega)), complex)
    for unit, (w, damping) in enumerate(zip(omega, b, strict=True)):
        one = expm(np.array([[damping, -w, current], [w, damping, 0.0], [0.0, 0.0, 0.0]]) * dt)
        state = np.array([0.3, -0.2, 1.0])
        for step in range(steps):
            state = one @ state
            found[step, unit] = state[0] + 1j * state[1]
    return found


def test_exact_is_the_solution_for_a_constant_current():
    """2000 steps to 1e-12 of the largest value: both sides round by some 1e-16 a step, in either direction."""
    steps, current, dt = 2000, 7.0, 0.01
    got = orbit("exact", OMEGA, B, current, steps, dt)
    wanted = solution(OMEGA, B, current, steps, dt)
    assert (np.abs(got - wanted) < 1e-12 * np.maximum(1.0, np.abs(wanted).max(0))).all()


def test_order_of_convergence():
    """The error at a fixed time falls like δ for both Euler schemes, and is none for the exact one at any δ."""
    omega, b, current, end = np.array([3.0, 8.0]), np.array([-0.5, -1.0]), 2.0, 1.0
    wanted = solution(omega, b, current, 1, end)[0]
    counts = [800 * 2**i for i in range(4)]
    errors = {
        way: np.array([np.abs(orbit(way, omega, b, current, n, end / n)[-1] - wanted).max() for n in counts])
        for way in WAYS
    }
    for way in ("euler", "symplectic"):
        slopes = np.log2(errors[way][:-1] / errors[way][1:])
        # The error is some |λ|² δ t / 2 = 0.04 at first; its square makes the slope off by half of that.
        np.testing.assert_allclose(slopes, 1.0, atol=0.03)
        assert errors[way][0] > 1e-3
    assert errors["exact"].max() < 1e-12
    assert orbit("exact", omega, b, current, 1, end)[0] == pytest.approx(wanted, abs=1e-13)


@pytest.mark.parametrize("dt", [0.01, 0.001])
def test_determinant_and_eigenvalues_of_a_step(dt):
    """Taken from the generated adjoint. Symplectic: determinant (1 + δb)², and on the unit circle at b = 0, turning by
    2 asin(δω/2); exact: e^{λδ}; explicit Euler: 1 + λδ."""
    omega = np.array([0.1, 0.5, 0.9, 1.5, 1.9]) / dt
    for damping in (0.0, -0.05 / dt):
        values = {"omega": omega, "b_offset": np.full(5, -damping)}
        step = {
            way: linearise("rf", values, dt=dt, options={"discretisation": way}, sub_threshold=True).transition
            for way in WAYS
        }
        eigen = {way: np.linalg.eigvals(matrix) for way, matrix in step.items()}
        np.testing.assert_allclose(np.linalg.det(step["symplectic"]), (1 + dt * damping) ** 2, rtol=1e-12)
        both = np.array([1.0, -1.0])
        for way, wanted in (
            ("euler", 1 + dt * (damping + 1j * omega[:, None] * both)),
            ("exact", np.exp(dt * (damping + 1j * omega[:, None] * both))),
        ):
            order = np.argsort(-eigen[way].imag, axis=1) if way == "euler" else np.argsort(-np.sign(eigen[way].imag))
            wanted = np.take_along_axis(wanted, np.argsort(-np.sign(wanted.imag)), 1)
            np.testing.assert_allclose(np.take_along_axis(eigen[way], order, 1), wanted, atol=1e-13)
        if damping == 0.0:
            np.testing.assert_allclose(np.abs(eigen["symplectic"]), 1.0, atol=1e-13)
            turned = np.abs(np.angle(eigen["symplectic"]))
            np.testing.assert_allclose(turned, np.broadcast_to(2 * np.arcsin(dt * omega / 2)[:, None], (5, 2)))


def test_symplectic_is_stable_up_to_two_plus_b():
    """Roots inside the unit circle where b < 0 and δω < 2 + δb (Jury)."""
    dt, b = 0.01, np.array([-1.0, -20.0, -100.0, -150.0])
    edge = (2 + dt * b) / dt
    for share, stable in ((1 - 1e-6, True), (1 + 1e-6, False)):
        values = {"omega": share * edge, "b_offset": -b}
        step = linearise("rf", values, dt=dt, options={"discretisation": "symplectic"}, sub_threshold=True)
        radius = np.abs(np.linalg.eigvals(step.transition)).max(1)
        np.testing.assert_array_equal(radius < 1, stable)


@pytest.mark.parametrize("neuron", ["rf", "brf"])
def test_boundaries_in_the_plane(neuron):
    """Symplectic: between δb = δω - 2 and 0. Exact: below 0, for any ω. Both to 1e-9 of 1/δ, as the radius near δb =
    δω - 2 is that of a nearly double root, right to the square root of its rounding."""
    dt, omega = 0.01, np.array([5.0, 50.0, 120.0, 180.0])
    lower, upper = Plane(neuron, dt, {"discretisation": "symplectic"}).boundary(omega)
    np.testing.assert_allclose(lower, omega - 2 / dt, atol=1e-9 / dt)
    np.testing.assert_allclose(upper, 0.0, atol=1e-9 / dt)
    plane = Plane(neuron, dt, {"discretisation": "exact"})
    lower, upper = plane.boundary(np.append(omega, 500.0))
    assert np.isnan(lower).all()
    np.testing.assert_allclose(upper, 0.0, atol=1e-12 / dt)
    np.testing.assert_array_equal(plane.own_damping(omega, np.zeros(4)), 0.0)


@pytest.mark.parametrize(("way", "highest"), [("symplectic", 199.98), ("exact", np.pi / 0.01)])
def test_simulated_neurons_diverge_where_theory_says(way, highest):
    found = stability_map("brf", neurons=200, steps=2048, options={"discretisation": way}, backend="reference")
    facts = found.to_dict()
    assert facts["disagreements_beyond_rounding"] == 0
    assert 5 < facts["diverged"] < 195
    assert facts["upper_boundary_from_closed_form"] < 1e-6
    assert found.omega_axis[-1] == pytest.approx(highest)


def test_undamped_brf_keeps_its_amplitude():
    """b' = 0, so b is the divergence boundary: p(ω) for explicit Euler, 0 for the others. Exact turns by δω."""
    omega, dt, steps = np.array([5.0, 20.0, 60.0, 95.0]), 0.01, 5000
    still = {"neuron": "brf", "constants": {"theta": 1e9}}
    orbits = {way: orbit(way, omega, np.zeros(4), 0.0, steps, dt, **still) for way in WAYS}
    size = np.hypot(0.3, 0.2)
    for way in ("euler", "exact"):  # rotations, rounded 5000 times
        np.testing.assert_allclose(np.abs(orbits[way]), size, rtol=1e-12)
    # The symplectic step keeps u² + v² - δω u v, so the amplitude swings by a share of δω.
    u, v = orbits["symplectic"].real, orbits["symplectic"].imag
    kept = u**2 + v**2 - dt * omega * u * v
    np.testing.assert_allclose(kept, np.broadcast_to(kept[0], kept.shape), rtol=1e-11)
    turned = np.exp(1j * dt * omega * np.arange(1, steps + 1)[:, None])
    np.testing.assert_allclose(orbits["exact"], (0.3 - 0.2j) * turned, atol=1e-11)


@pytest.mark.parametrize("share", [0.0, 1e-12, 1e-5, 1e-3, 0.03, 0.3, 2.0, 5.0])
def test_exact_in_float32_keeps_its_digits(share):
    """What a state and a current become, against 30 digits. Written with exp, cos and sin, the second would be off by
    1e-3 at |λδ| = 1e-5. Four units in the last place of what goes in or of the result: some ten roundings."""
    dt = 0.01
    for angle, decay in ((share, 0.0), (share, share / 2), (0.0, min(share, 1.0)), (share / 100, min(share, 1.0))):
        single = np.float32
        given = [single(value) for value in rotation(angle / dt, dt)]
        b, w = single(-decay / dt), single(angle / dt)
        z = mpmath.mpc(float(b) * float(single(dt)), angle)
        with mpmath.workdps(30):
            kept = mpmath.exp(z)
            drive = mpmath.expm1(z) / z if z else mpmath.mpf(1)
        for (u, x), wanted, scale in (((1.0, 0.0), kept, 1.0), ((0.0, 1.0 / dt), drive, abs(drive))):
            got = exact(single(x), single(u), single(0), b, w, *given, single(dt))
            assert got[0].dtype == got[1].dtype == single
            assert abs(mpmath.mpc(*map(float, got)) - wanted) < 4 * 1.2e-7 * scale, (angle, decay)


def test_exact_without_turn_and_damping_has_gradients():
    """ω = b = 0 is 0/0 in (e^{λδ} - 1)/λ. The gradient by b is δ²/2 of the current, and that by ω, which enters as |ω|,
    is 0. At small λδ both are those of the exact solution, by differences of 1e-4 in float64."""
    model = build_model("rf", {"discretisation": "exact"})
    derive, vjp = build(model.derive, "numpy", NUMPY), build(model.step_vjp, "numpy", NUMPY)
    derive_vjp = build(model.derive_vjp, "numpy", NUMPY)
    dt = 0.01

    def step_of(omega: float, b_offset: float, kind: type) -> tuple[float, float]:
        args = {"omega": np.float64(omega), "b_offset": np.float64(b_offset), "dt": dt}
        derived = derive(*(args[n] for n in model.derive.inputs))
        values = dict(zip(model.derived, (kind(d) for d in derived), strict=True))
        values |= {"x": kind(1 / dt), "u": kind(0), "v": kind(0), "dt": kind(dt), "theta": kind(1e9)}
        values |= {"out_bar": kind(0), "u_next_bar": kind(1), "v_next_bar": kind(1)}
        bars = dict(zip(model.step_vjp.output_names, vjp(*(values[n] for n in model.step_vjp.inputs)), strict=True))
        inputs = {**args, **{n: np.float64(v) for n, v in bars.items()}}
        return derive_vjp(*(inputs[n] for n in model.derive_vjp.inputs))

    for kind in (np.float32, np.float64):
        omega_bar, b_bar = step_of(0.0, 0.0, kind)
        assert omega_bar == 0
        assert b_bar == 0  # |b'| has no slope at 0
        assert np.isfinite(step_of(1e-9, -1e-9, kind)).all()
    for omega, b in ((3.0, 0.5), (10.0, 1.0), (50.0, 0.1), (1.0, 5.0)):

        def value(w: float, damping: float) -> float:
            z = dt * mpmath.mpc(-damping, w)
            drive = mpmath.expm1(z) / z
            return float(drive.real + drive.imag)

        h = 1e-4
        wanted = [
            (value(omega + h, b) - value(omega - h, b)) / (2 * h),
            (value(omega, b + h) - value(omega, b - h)) / (2 * h),
        ]
        # Differences: h² f''' / 6 < 1e-13 and eps / h = 2e-12. In the adjoint terms of size 1/|λδ| cancel, which have
        # some ten roundings of 6e-8.
        np.testing.assert_allclose(step_of(omega, b, np.float64), wanted, atol=1e-11)
        np.testing.assert_allclose(step_of(omega, b, np.float32), wanted, atol=dt * 6e-7 / (dt * np.hypot(omega, b)))


def test_bounds_of_omega():
    """Explicit Euler holds δω at 0.9999, symplectic Euler at 1.9998, the exact step nowhere."""
    dt, omega = 0.01, np.array([50.0, 150.0, -250.0])
    held = {"euler": [50, 99.99, 99.99], "symplectic": [50, 150, 199.98], "exact": [50, 150, 250]}
    for way, wanted in held.items():
        options = {"discretisation": way}
        derive = build_model("brf", options).derive
        values = build(derive, "numpy", NUMPY)(*({"omega": omega, "b_offset": 1.0, "dt": dt}[n] for n in derive.inputs))
        found = dict(zip(derive.output_names, values, strict=True))
        np.testing.assert_allclose(found["w"] if "w" in found else found["angle"] / dt, wanted, rtol=1e-15)
        assert NEURONS["brf"].largest_omega(options, dt) == pytest.approx({"exact": np.inf}.get(way, wanted[-1]))
        assert NEURONS["rf"].largest_omega(options, dt) == np.inf
    check_bound(NEURONS["brf"], omega[:2], dt, {"discretisation": "symplectic"})
    check_bound(NEURONS["brf"], omega, dt, {"discretisation": "exact"})
    with pytest.raises(BrfkitError, match=r"p\(ω\) needs δω < 1 .* or omega below 99.99"):
        check_bound(NEURONS["brf"], omega, dt)
    with pytest.raises(BrfkitError, match=r"this discretisation needs δω < 2 .* or omega below 199.98"):
        check_bound(NEURONS["brf"], omega, dt, {"discretisation": "symplectic"})


def test_explicit_euler_is_the_default():
    for name in ("brf", "rf", "rf-izhikevich"):
        assert build_model(name) is build_model(name, {"discretisation": "euler"})
        assert list(NEURONS[name].discretisations) == list(WAYS)


@pytest.mark.parametrize(
    ("neuron", "options", "reason"),
    [
        ("brf", {"discretisation": "exat"}, "no discretisation 'exat'; did you mean 'exact'\\? there are euler, symp"),
        ("brf", {"discretisation": True}, "neuron brf has no discretisation True; there are euler"),
        ("alif", {"discretisation": "exact"}, "neuron alif has one discretisation only"),
        ("bhrf", {"discretisation": "exact"}, "neuron bhrf has one discretisation only"),
        (
            "brf",
            {"train_gama": True},
            "no constant 'gama' that can be trained; did you mean 'gamma'\\? there are gamma",
        ),
        ("brf", {"refractory": "no"}, "option refractory of neuron brf is on or off, not 'no'"),
    ],
)
def test_unknown_choices_are_refused(neuron, options, reason):
    with pytest.raises(BrfkitError, match=reason):
        Layer("a", neuron, 3, options=options)


def test_a_neuron_without_constants_has_none_to_train():
    with pytest.raises(BrfkitError, match="no constant 'theta' that can be trained; none of its constants can"):
        Layer("a", "li", 3, recurrent=False, options={"train_theta": True})
