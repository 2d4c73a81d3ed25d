"""What each neuron has to do, from the papers; run by the reference and by the numba backend in float64."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.base import Backend, Trace
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network
from brfkit.neurons import NEURONS, Normal, Uniform, get_neuron
from brfkit.neurons.oscillator import clip_omega_euler, euler_boundary

SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]
H = 5
DT = 0.01


@pytest.fixture(params=["reference", "numba"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param, threads=1)


def population(neuron: str, **layer: object) -> Network:
    return Network(1, (Layer("n", neuron, H, recurrent=False, **layer),), DT)  # type: ignore[arg-type]


def run(backend, network, x, weight=1.0, state=None, differentiate=False, **parameters) -> Trace:
    """``x`` [T] goes into every neuron of the population with ``weight``."""
    spec = network.layers[0].spec
    weights = {"n.w_in": np.full((H, 1), float(weight))}
    weights |= {f"n.{p.name}": np.broadcast_to(parameters.get(p.name, p.default), H) * 1.0 for p in spec.parameters}
    record = [f"n.{s}" for s in {*spec.states, *(["z"] if spec.spiking else [])}]
    initial = {f"n.{k}": np.broadcast_to(v, (1, H)) for k, v in (state or {}).items()}
    signal = np.asarray(x, float)[:, None, None]
    return backend.scan(network, weights, signal, initial_state=initial, record=record, differentiate=differentiate)


def of(trace: Trace, name: str) -> np.ndarray:
    """A record as [T, H]."""
    return trace.records[f"n.{name}"][:, 0]


def test_brf_at_the_divergence_boundary_keeps_its_amplitude(backend):
    """|1 + δ(p(ω) + iω)| = 1, so 1000 steps leave |u + iv| as it was; without p(ω) it grows."""
    omega = np.array([0.5, 5.0, 20.0, 60.0, 95.0])
    start = {"u": 0.3, "v": -0.4}
    trace = run(backend, population("brf"), np.zeros(1000), state=start, omega=omega, b_offset=0.0)
    np.testing.assert_allclose(np.hypot(of(trace, "u"), of(trace, "v")), 0.5, rtol=0, atol=1e-12)
    assert trace.spike_counts["n"].sum() == 0
    bare = population("brf", options={"divergence_boundary": False}, constants={"theta": 1e9})
    grown = run(backend, bare, np.zeros(20), state=start, omega=omega, b_offset=0.0)
    wanted = 0.5 * np.sqrt(1 + (DT * omega) ** 2) ** 20
    np.testing.assert_allclose(np.hypot(of(grown, "u"), of(grown, "v"))[-1], wanted, rtol=1e-12)


def test_brf_damping_offset(backend):
    """b' takes δb' from the real part of 1 + δ(p(ω) + iω), whatever the sign of ω and b'."""
    omega, offset = np.array([2.0, -5.0, 10.0, -20.0, 50.0]), np.array([0.1, 1.0, -2.0, 3.0, -0.5])
    trace = run(backend, population("brf"), np.zeros(30), state={"u": 0.3}, omega=omega, b_offset=offset)
    factor = np.sqrt(1 - (DT * omega) ** 2) - DT * np.abs(offset) + 1j * DT * np.abs(omega)
    steps = np.arange(1, 31)[:, None]
    np.testing.assert_allclose(of(trace, "u") + 1j * of(trace, "v"), 0.3 * factor**steps, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["brf", "bhrf"])
def test_refractory_variable_decays_by_gamma(backend, name):
    trace = run(backend, population(name, constants={"gamma": 0.8}), np.zeros(40), state={"q": 2.0})
    assert of(trace, "z").sum() == 0
    np.testing.assert_allclose(of(trace, "q"), 2.0 * 0.8 ** np.arange(1, 41)[:, None] * np.ones(H), rtol=1e-12)


@pytest.mark.parametrize("name", ["brf", "bhrf"])
def test_refractory_variable_counts_spikes_and_raises_the_threshold(backend, name):
    trace = run(backend, population(name), np.full(200, 1.0), weight=60.0, omega=10.0)
    z, q, u = of(trace, "z"), of(trace, "q"), of(trace, "u")
    before = np.vstack([np.zeros((1, H)), q[:-1]])
    np.testing.assert_allclose(q, 0.9 * before + z, rtol=1e-12)
    np.testing.assert_array_equal(z, u > 1 + before)
    assert ((u > 1) & (z == 0)).any(), "the raised threshold kept no spike back"
    assert z.any()


def test_brf_with_all_parts_off_is_rf(backend, rng):
    options = {"refractory": False, "smooth_reset": False, "divergence_boundary": False}
    x, omega = rng.uniform(-1, 1, 300), rng.uniform(5, 50, H)
    brf = run(backend, population("brf", options=options), x, weight=60.0, omega=omega)
    rf = run(backend, population("rf"), x, weight=60.0, omega=omega)
    assert rf.spike_counts["n"].sum() > 0
    for name in ("u", "v", "z"):
        np.testing.assert_array_equal(of(brf, name), of(rf, name))


@pytest.mark.parametrize("part", ["refractory", "smooth_reset", "divergence_boundary"])
def test_each_part_of_brf_does_something(backend, rng, part):
    x = rng.uniform(0, 1, 200)
    whole = run(backend, population("brf"), x, weight=60.0, omega=20.0)
    without = run(backend, population("brf", options={part: False}), x, weight=60.0, omega=20.0)
    assert not np.array_equal(
        of(whole, "u" if part != "refractory" else "z"), of(without, "u" if part != "refractory" else "z")
    )


def test_omega_beyond_the_bound_stays_finite(backend):
    """δω >= 1 has no p(ω): ω acts as 0.9999 / δ, and its gradient is 0 there."""
    omega = np.array([99.0, 100.0, 150.0, -1e4, 1e12])
    trace = run(backend, population("brf"), np.ones(300), weight=30.0, omega=omega, differentiate=True)
    assert np.isfinite(of(trace, "u")).all()
    bounded = run(backend, population("brf"), np.ones(300), weight=30.0, omega=99.99)
    np.testing.assert_array_equal(of(trace, "u")[:, 1:], of(bounded, "u")[:, 1:])
    gradients = backend.scan_vjp(trace, np.ones_like(trace.outputs), input_grad=True, initial_state_grad=True)
    for value in (*gradients.weights.values(), gradients.input, *gradients.initial_state.values()):
        assert np.isfinite(value).all()
    assert gradients.weights["n.omega"][0] != 0
    np.testing.assert_array_equal(gradients.weights["n.omega"][1:], 0)


def test_p_of_omega_does_not_cancel_in_float32():
    """(-1 + sqrt(1 - (δω)²)) / δ loses all digits in float32 for small δω."""
    omega = np.array([0.05, 0.5, 5.0], np.float32)
    _, b0, *_ = NEURONS["brf"].derive(omega, np.zeros(3, np.float32), DT, 1.0, clip_omega_euler, euler_boundary)
    exact = (-1 + np.sqrt(1 - (np.longdouble(DT) * omega.astype(np.longdouble)) ** 2)) / np.longdouble(DT)
    np.testing.assert_allclose(b0, exact.astype(float), rtol=1e-6)


def test_bhrf_damping_of_the_semi_implicit_map(backend):
    """The map has determinant 1 - 2 δ b, so at b = δω²/2 areas shrink by 1 - (δω)² a step."""
    omega = np.array([2.0, 5.0, 10.0, 20.0, 40.0])
    trace = run(backend, population("bhrf"), np.zeros(60), state={"v": 0.01, "u": 0.1}, omega=omega, b_offset=0.0)
    u, v = of(trace, "u"), of(trace, "v")
    area = u[1:] * v[:-1] - u[:-1] * v[1:]  # of the parallelogram of two successive states
    np.testing.assert_allclose(area[1:] / area[:-1], np.broadcast_to(1 - (DT * omega) ** 2, area[1:].shape), rtol=1e-9)


@pytest.mark.parametrize(("name", "state"), [("lif", "u"), ("alif", "u"), ("li", "u")])
def test_membrane_decays_in_closed_form(backend, name, state):
    tau = np.array([1.0, -5.0, 20.0, 100.0, 1000.0])
    steps = np.arange(1, 41)[:, None]
    trace = run(backend, population(name), np.zeros(40), state={state: -2.0}, tau_mem=tau)
    np.testing.assert_allclose(of(trace, state), -2.0 * np.exp(-steps / np.abs(tau)), rtol=1e-12)
    driven = run(backend, population(name), np.ones(40), weight=-0.5, tau_mem=tau)
    np.testing.assert_allclose(of(driven, state), -0.5 * (1 - np.exp(-steps / np.abs(tau))), rtol=1e-12)


def test_sigmoid_readout(backend):
    trace = run(backend, population("li-sigmoid"), np.zeros(10), state={"u": 1.0}, tau_mem=np.linspace(-3, 3, H))
    alpha = 1 / (1 + np.exp(-np.linspace(-3, 3, H)))
    np.testing.assert_allclose(of(trace, "u"), alpha ** np.arange(1, 11)[:, None], rtol=1e-12)


def test_alif_adaptation_decays_and_follows_the_spikes(backend, rng):
    tau = np.array([2.0, 5.0, 20.0, 100.0, 1000.0])
    quiet = run(backend, population("alif"), np.zeros(40), state={"a": 0.5}, tau_adp=tau)
    np.testing.assert_allclose(of(quiet, "a"), 0.5 * np.exp(-np.arange(1, 41)[:, None] / tau), rtol=1e-12)
    trace = run(backend, population("alif"), rng.uniform(0, 1, 100), weight=3.0, tau_adp=tau)
    a, z, rho = of(trace, "a"), of(trace, "z"), np.exp(-1 / tau)
    assert z[:-1].any()
    np.testing.assert_allclose(a[1:], rho * a[:-1] + (1 - rho) * z[:-1], rtol=1e-12)


@pytest.mark.parametrize("name", ["lif", "alif"])
def test_soft_reset_takes_the_threshold_off(backend, rng, name):
    x = rng.uniform(0, 1, 100)
    trace = run(backend, population(name), x, weight=4.0, tau_mem=20.0)
    u, z = of(trace, "u"), of(trace, "z")
    theta = 1.0 if name == "lif" else 0.01 + 1.8 * of(trace, "a")
    alpha = np.exp(-1 / 20.0)
    before = alpha * np.vstack([np.zeros((1, H)), u[:-1]]) + (1 - alpha) * 4.0 * x[:, None]
    assert z.any()
    np.testing.assert_array_equal(z, before > theta)
    np.testing.assert_allclose(u, before - z * theta, rtol=0, atol=1e-14)


def test_izhikevich_reset_sets_the_state_to_i(backend):
    trace = run(backend, population("rf-izhikevich"), np.ones(200), weight=60.0, omega=np.linspace(5, 20, H))
    u, v, z = (of(trace, name) for name in ("u", "v", "z"))
    assert z.any(axis=0).all()
    np.testing.assert_array_equal(u[z == 1], 0)
    np.testing.assert_array_equal(v[z == 1], 1)
    assert (v[z == 0] <= 1).all()


@pytest.mark.parametrize("name", SPIKING)
@pytest.mark.parametrize("which", ["reference", "numba", "torch"])
def test_the_threshold_itself_gives_no_spike(which, name):
    """Θ(0) = 0: all states and the threshold are 0."""
    trace = run(get_backend(which), population(name, constants={"theta": 0.0}), np.zeros(5))
    assert trace.spike_counts["n"].tolist() == [0]
    assert not trace.outputs.any()


@pytest.mark.parametrize(("name", "units"), [("brf", H), ("alif", 70), ("rf-izhikevich", H)])
def test_padding_does_not_fire(name, units, rng):
    """With a threshold below 0 units that only fill up a vector would fire at every step."""
    layer = Layer("n", name, units, constants={"theta": -0.5})
    network = Network(2, (layer, Layer("out", "li", 5, recurrent=False)), DT)
    weights = network.initialise(5, np.float64)
    x = rng.uniform(0, 1, (12, 3, 2))
    results = []
    for backend in (get_backend("reference"), get_backend("numba", threads=1)):
        trace = backend.scan(network, weights, x, differentiate=True)
        results.append((trace, backend.scan_vjp(trace, np.ones_like(trace.outputs), input_grad=True)))
    (slow, expected), (fast, found) = results
    assert slow.spike_counts["n"].min() > 0
    np.testing.assert_array_equal(fast.spike_counts["n"], slow.spike_counts["n"])
    np.testing.assert_allclose(fast.outputs, slow.outputs, atol=1e-12)
    np.testing.assert_allclose(found.input, expected.input, atol=1e-11)
    for key, value in expected.weights.items():
        np.testing.assert_allclose(found.weights[key], value, atol=1e-11 * max(1, np.abs(value).max()), err_msg=key)


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=lambda n: n.name)
def test_specification_is_complete(neuron):
    assert neuron.title
    assert neuron.doc.endswith(".")
    assert neuron.source
    assert len(neuron.equations) >= 1
    assert neuron.states
    for parameter in neuron.parameters:
        assert parameter.unit
        assert parameter.doc
        assert neuron.parameter(parameter.name) is parameter


def test_unknown_names_are_refused():
    with pytest.raises(BrfkitError, match="unknown neuron 'bfr'; did you mean 'brf'"):
        get_neuron("bfr")
    with pytest.raises(BrfkitError, match="neuron rf has no parameter 'tau'; it has omega, b_offset"):
        NEURONS["rf"].parameter("tau")
    with pytest.raises(BrfkitError, match=r"neuron rf has no option 'refractory' \(it has none\)"):
        NEURONS["rf"].resolve_options({"refractory": False})
    with pytest.raises(BrfkitError, match="neuron lif has no constant 'gamma'"):
        NEURONS["lif"].resolve_constants(DT, {"gamma": 0.5})
    with pytest.raises(BrfkitError, match="constant theta of neuron lif must be finite"):
        NEURONS["lif"].resolve_constants(DT, {"theta": np.nan})


@pytest.mark.parametrize("dt", [0.0, -1.0, np.nan, np.inf])
def test_time_step_must_be_positive(dt):
    with pytest.raises(BrfkitError, match="time step dt must be a positive number"):
        NEURONS["lif"].resolve_constants(dt, {})


def test_initial_distributions(rng):
    uniform, normal = Uniform(5.0, 10.0), Normal(20.0, 5.0)
    a, b = uniform.sample(rng, 20_000), normal.sample(rng, 20_000)
    assert 5 <= a.min() < 5.01 < 9.99 < a.max() <= 10
    assert b.mean() == pytest.approx(20, abs=0.2)
    assert b.std() == pytest.approx(5, abs=0.2)
    assert (str(uniform), str(normal)) == ("U(5, 10)", "N(20, 5²)")
