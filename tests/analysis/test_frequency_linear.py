"""The step linearised: finite differences, the papers' matrix, formulas by hand, a custom integrator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import signal

from brfkit.analysis.neuron.frequency.linear import impulse_response, resonance_of, spectral_radius, system, transfer
from brfkit.codegen.linearise import linearise, transition_matrix
from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.network import Layer
from brfkit.neurons import NEURONS, Neuron, get_surrogate, register
from brfkit.neurons.ops import spike
from brfkit.neurons.rf import B_OFFSET, OMEGA
from brfkit.simulation import simulate
from brfkit.simulation.divergence import eigenvalues


def drawn(name, size, rng):
    return {p.name: np.abs(p.init.sample(rng, size)) + 0.1 for p in NEURONS[name].parameters}


@pytest.mark.parametrize("name", NEURONS)
def test_rows_are_the_derivatives_of_the_step(name, rng):
    """Below threshold every step is at most bilinear, so a central difference has no truncation error: what is left is
    the rounding of two values near 1 divided by the distance, 1e-16 / 1e-4, times a few."""
    size, h = 7, 1e-4
    parameters = drawn(name, size, rng)
    model = build_model(name)
    # q and a lift the threshold; the others are kept far below it.
    state = {s: rng.uniform(0.0, 0.3, size) * (1e-3 if name == "alif" and s == "u" else 1.0) for s in model.states}
    state |= {"z": np.zeros(size)} if "z" in model.states else {}
    values = {**parameters, **model.neuron.resolve_constants(0.01, {})}
    derived = model.derive_numpy(*(values[n] for n in model.derive.inputs))
    values |= dict(zip(model.derived, derived, strict=True)) | state | {"x": np.zeros(size)}
    step = build(model.step, "numpy", NUMPY)

    def outputs(changed):
        arguments = {**values, **changed}
        return np.stack([np.broadcast_to(o, (size,)) for o in step(*(arguments[n] for n in model.step.inputs))])

    found = linearise(name, parameters, state, sub_threshold=True)
    for column, symbol in enumerate(("x", *model.states)):
        up, down = outputs({symbol: values[symbol] + h}), outputs({symbol: values[symbol] - h})
        expected = ((up - down) / (2 * h)).T  # [N, output and states]
        got = found.input if symbol == "x" else found.transition[:, :, column - 1]
        np.testing.assert_allclose(got, expected[:, 1:], atol=1e-11)
        direct = found.feedthrough if symbol == "x" else found.output[:, column - 1]
        np.testing.assert_allclose(direct, expected[:, 0], atol=1e-11)


def test_brf_has_the_transition_matrix_of_the_paper(rng):
    """arXiv:2406.00389: J_t with the surrogate φ in its last row."""
    size, dt, gamma = 50, 0.01, 0.9
    omega, b_offset = rng.uniform(5, 50, size), rng.uniform(0.1, 3, size)
    u, v, q = rng.normal(0, 1, size), rng.normal(0, 1, size), rng.uniform(0, 2, size)
    current = rng.normal(0, 50, size)
    b = (-1 + np.sqrt(1 - (dt * omega) ** 2)) / dt - b_offset - q
    a, turn = 1 + dt * b, dt * omega
    phi = get_surrogate("double_gaussian").derivative(a * u - turn * v + dt * current - 1.0 - q)
    expected = np.array(
        [
            [a, -turn, -dt * u],
            [turn, a, -dt * v],
            [phi * a, -phi * turn, gamma - phi - phi * dt * u],
        ]
    ).transpose(2, 0, 1)
    found = transition_matrix(
        "brf", {"omega": omega, "b_offset": b_offset}, {"u": u, "v": v, "q": q}, dt, current=current
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NEURONS)
def test_eigenvalues_are_those_of_the_difference_quotients(name, rng):
    parameters = drawn(name, 20, rng)
    layer = Layer("one", name, 20, recurrent=False)
    expected = np.sort_complex(np.round(eigenvalues(layer, parameters, 0.01), 8))
    found = np.linalg.eigvals(linearise(name, parameters, sub_threshold=True).transition).astype(np.complex128)
    np.testing.assert_allclose(np.sort_complex(np.round(found, 8)), expected, atol=2e-7)


def test_leading_axes_and_dtype():
    parameters = {"omega": np.linspace(5, 10, 4), "b_offset": 1.0}
    found = linearise("brf", parameters, {"u": np.zeros((3, 1))}, dtype=np.float32)
    assert found.transition.shape == (3, 4, 3, 3)
    assert found.transition.dtype == np.float32
    assert found.input.shape == found.output.shape == (3, 4, 3)
    assert found.feedthrough.shape == (3, 4)


def test_the_current_reaches_the_oscillator_only_below_threshold():
    parameters = {"omega": 10.0, "b_offset": 1.0}
    assert linearise("brf", parameters, sub_threshold=True).reached() == (0, 1)
    assert linearise("brf", parameters).reached() == (0, 1, 2)  # through the surrogate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope", {}), "unknown neuron 'nope'"),
        (("brf", {"omega": 1.0}), "needs a value of b_offset"),
        (("brf", {"omega": 1.0, "b_offset": 1.0, "tau": 1.0}), "no parameter 'tau'"),
        (("rf", {"omega": 1.0, "b_offset": 1.0}, {"q": 1.0}), "no state 'q'"),
        (("rf", {"omega": 1.0, "b_offset": 1.0}, None, -1.0), "time step dt"),
        (("brf", {"omega": 1.0, "b_offset": 1.0}, None, 0.01, {"reset": True}), "no option 'reset'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, words):
    with pytest.raises(BrfkitError, match=words):
        linearise(*arguments)


def linear(name, parameters, dt=0.01):
    whole = linearise(name, {n: np.atleast_1d(v) for n, v in parameters.items()}, dt=dt, sub_threshold=True)
    return whole.restricted(whole.reached())


def test_transfer_function_is_the_one_worked_out_by_hand():
    """u + iv is a first-order filter with pole λ = 1 + δ(b + iω); u is the mean of it and of the conjugate pole's."""
    dt, omega, b_offset = 0.01, 12.0, 0.7
    w = np.linspace(0.1, 300, 1000)
    b = (-1 + np.sqrt(1 - (dt * omega) ** 2)) / dt - b_offset
    back = np.exp(-1j * w * dt)
    pole = 1 + dt * (b + 1j * omega)
    expected = 0.5 * dt * (1 / (1 - pole * back) + 1 / (1 - np.conj(pole) * back))
    found = transfer(linear("brf", {"omega": omega, "b_offset": b_offset}), 0, w, dt)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("name", NEURONS)
def test_scipy_finds_the_same_response(name, rng):
    parameters = {n: v + 5.0 for n, v in drawn(name, 1, rng).items()}
    lin = linear(name, parameters)
    w = np.linspace(1.0, 300.0, 200)
    _, expected = signal.dfreqresp(system(lin, 0, 0.01), w * 0.01)
    # scipy goes through polynomials, whose roots near the unit circle cost some digits.
    np.testing.assert_allclose(transfer(lin, 0, w, 0.01)[0], expected, rtol=1e-7)


@pytest.mark.parametrize("dt", [0.01, 0.001, 0.05])
@pytest.mark.parametrize("name", ["brf", "bhrf", "lif", "alif"])
def test_impulse_response_is_that_of_a_simulated_neuron(name, dt):
    parameters = {p.name: p.default for p in NEURONS[name].parameters}
    steps, amplitude = 301, 1e-4
    current = np.zeros(steps)
    current[0] = amplitude
    run = simulate(name, stimulus=current, dt=dt, dtype="float64", backend="reference")
    found = impulse_response(linear(name, parameters, dt), 0, steps)
    assert found.shape == (steps,)
    np.testing.assert_allclose(found, run.states["u"][:, 0] / amplitude, rtol=1e-9, atol=1e-14)


def test_a_low_pass_has_the_cutoff_of_its_formula():
    """|H|² = (1-α)² / (1 - 2α cos φ + α²) is one half at one φ."""
    tau, dt = 20.0, 0.01
    alpha = np.exp(-1 / tau)
    phi = np.arccos((1 + alpha**2 - 2 * (1 - alpha) ** 2) / (2 * alpha))
    found = resonance_of(linear("lif", {"tau_mem": tau}, dt), 0, dt)
    assert found.peak_frequency[0] == found.lower[0] == 0.0
    np.testing.assert_allclose(found.upper[0], phi / dt, rtol=1e-12)
    np.testing.assert_allclose(found.peak_gain[0], 1.0, rtol=1e-12)
    assert np.isnan(found.q[0])


@pytest.mark.parametrize("b_offset", [1e-4, 0.01, 1.0, 5.0])
def test_peak_and_band_of_brf(b_offset):
    """The gain falls on both sides of the peak, has fallen by 3 dB at both ends of the band, and the band of a weakly
    damped resonator is as wide as its pole is away from the unit circle on both sides: 2 b' √(1 - (δω)²), as b' moves
    the pole along the real axis. Then the other pole counts with about b'/ω of that."""
    dt, parameters = 0.01, {"omega": 20.0, "b_offset": b_offset}
    lin = linear("brf", parameters, dt)
    found = resonance_of(lin, 0, dt)
    peak, width = found.peak_frequency[0], found.bandwidth[0]
    near = peak + width * np.linspace(-2, 2, 801)
    gains = np.abs(transfer(lin, 0, near[near > 0], dt)[0])
    assert gains.max() <= found.peak_gain[0] * (1 + 1e-12)
    edges = np.abs(transfer(lin, 0, np.array([found.lower[0], found.upper[0]]), dt)[0])
    np.testing.assert_allclose(edges, found.peak_gain[0] / np.sqrt(2), rtol=1e-9)
    np.testing.assert_allclose(found.q[0], peak / width, rtol=1e-12)
    if b_offset <= 0.01:
        np.testing.assert_allclose(width, 2 * b_offset * np.sqrt(1 - 0.2**2), rtol=b_offset / 20)
        np.testing.assert_allclose(peak, np.arcsin(dt * 20.0) / dt, rtol=1e-4)


def semi_implicit(x, u, v, w, b, dt, theta):  # a resonator whose v follows the new u
    u_next = u + b * u * dt - w * v * dt + x * dt
    v_next = v + w * u_next * dt + b * v * dt
    z = spike(u_next - theta)
    return z, u_next, v_next


def derive(omega, b_offset):
    w = abs(omega)
    b = -abs(b_offset)
    return w, b


@pytest.fixture
def integrator() -> Iterator[str]:
    """A neuron with another integrator, registered while a test runs."""
    neuron = Neuron(
        name="semi-implicit",
        title="semi-implicit resonator",
        doc="for a test",
        source="a test",
        states=("u", "v"),
        parameters=(OMEGA, B_OFFSET),
        derive=derive,
        step=semi_implicit,
        constants={"theta": 1.0},
        equations=(),
    )
    register(neuron)
    yield neuron.name
    del NEURONS[neuron.name]


def test_another_integrator_needs_nothing_but_its_step(integrator):
    """Without damping the semi-implicit step has determinant 1: its radius is 1 as long as δω < 2."""
    lin = linear(integrator, {"omega": np.array([5.0, 50.0, 150.0]), "b_offset": np.zeros(3)})
    np.testing.assert_allclose(np.linalg.det(lin.transition), 1.0, rtol=1e-12)
    np.testing.assert_allclose(spectral_radius(lin), 1.0, rtol=1e-7)  # eigenvalues of a non-normal matrix
