"""The ω–b plane: boundaries against formulas, simulated neurons against theory, networks, and the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import numpy as np
import pytest

from brfkit.analysis.neuron.stability.map import rounding_of_a_step, simulate_divergence, stability_map
from brfkit.analysis.neuron.stability.plane import Plane
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.neurons import NEURONS, Neuron, register
from brfkit.neurons.ops import spike
from brfkit.neurons.rf import B_OFFSET, OMEGA
from brfkit.runs.resolve import resolve
from brfkit.simulation.reduce import Work
from tests.cli.conftest import command  # noqa: F401

RESONATORS = ("brf", "rf", "bhrf", "rf-izhikevich")


@pytest.mark.parametrize("dt", [0.01, 0.001, 0.1])
@pytest.mark.parametrize("name", ["brf", "rf", "rf-izhikevich"])
def test_boundaries_of_an_euler_step(name, dt):
    """|1 + δ(b + iω)| = 1 at (-1 ± √(1 - (δω)²)) / δ. A radius is right to a few units in the last place; b follows
    from it divided by the slope of the radius there, δ √(1 - (δω)²)."""
    omega = np.linspace(0.0, 0.9999, 60) / dt
    lower, upper = Plane(name, dt).boundary(omega)
    root = np.sqrt(1 - (dt * omega) ** 2)
    tolerance = 16 * np.finfo(float).eps / (dt * root)
    assert (np.abs(upper - (-1 + root) / dt) < tolerance).all()
    assert (np.abs(lower - (-1 - root) / dt) < tolerance).all()


def test_no_damping_is_stable_beyond_the_boundary():
    lower, upper = Plane("rf", 0.01).boundary(np.array([99.0, 101.0]))
    np.testing.assert_array_equal(np.isnan(lower), [False, True])
    np.testing.assert_array_equal(np.isnan(upper), [False, True])


def test_boundaries_of_the_semi_implicit_step_of_bhrf():
    """Its characteristic polynomial z² - (2 - 2δb - (δω)²) z + (1 - 2δb) has both roots inside the unit circle where
    0 < b and 4 - 4δb - (δω)² > 0 (Jury)."""
    dt, omega = 0.01, np.linspace(1.0, 100.0, 40)
    lower, upper = Plane("bhrf", dt).boundary(omega)
    np.testing.assert_allclose(lower, 0.0, atol=1e-11)
    np.testing.assert_allclose(upper, (4 - (dt * omega) ** 2) / (4 * dt), rtol=1e-11)


@pytest.mark.parametrize("dt", [0.01, 0.001])
@pytest.mark.parametrize("name", RESONATORS)
def test_twenty_thousand_neurons_do_as_theory_says(name, dt):
    found = stability_map(name, dt=dt)
    facts = found.to_dict()
    assert facts["neurons"] == 20_000
    assert 1000 < facts["diverged"] < 19_000
    assert facts["agreement"] >= 99.9
    assert facts["disagreements_beyond_rounding"] == 0


def test_float32_disagrees_only_within_its_rounding():
    """A strip around the upper boundary so narrow that rounding in float32 decides for many."""
    plane = Plane("rf", 0.01, dtype="float32")
    rng = np.random.default_rng(3)
    omega = rng.uniform(5, 60, 4000)
    b = plane.boundary(omega)[1] + rng.uniform(-1e-4, 1e-4, 4000)
    population = plane.population(omega, b)
    diverged = simulate_divergence(population, 1 << 16, "numba", Work(1, 1, None))
    radius = plane.radius(omega, b)
    wrong = diverged != (radius > 1)
    assert wrong.any()  # the strip is narrow enough to be a test
    # Rounding b itself to float32 moves the radius by δ|b| eps / 2 < 2e-8, little beside the rounding of a step.
    limit = rounding_of_a_step(build_model("rf").step, "float32")
    assert np.abs(radius - 1)[wrong].max() < limit


def test_the_boundary_ends_in_a_tip():
    """Of an Euler step at δω = 1 and δb = -1; (1 + δb)² + (δω)² < 1 has nothing beyond."""
    plane = Plane("rf", 0.01)
    tip = plane.tip(99.75, 100.2)
    assert tip == pytest.approx(100.0, rel=1e-11)
    lower, upper = plane.boundary(np.array([tip]))
    # With the tip off by e = 1e-9, the branches are still sqrt(2e/δ) = 4.5e-4 away from its middle.
    np.testing.assert_allclose([lower, upper], -100.0, atol=1e-3)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("name", ["brf", "rf"])
def test_the_boundary_is_found_to_the_last_digits(name, distance):
    """Neurons whose radius is 1 ± ``distance``: 1e-12 is still hundreds of roundings of a step away from 1."""
    omega = np.linspace(5.0, 60.0, 60)
    plane = Plane(name, 0.01)
    slope = 0.01 * np.sqrt(1 - (0.01 * omega) ** 2)
    for sign in (-1.0, 1.0):
        b = plane.boundary(omega)[1] + sign * distance / slope
        diverged = simulate_divergence(plane.population(omega, b), 1 << 16, "numba", Work(1, 1, None))
        assert diverged.all() if sign > 0 else not diverged.any()


def test_reference_and_threads_give_the_same():
    runs = [
        stability_map("brf", neurons=150, steps=2048, seed=5, **how)
        for how in ({"backend": "reference"}, {"threads": 1}, {"threads": 2})
    ]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.diverged, runs[0].diverged)
        np.testing.assert_array_equal(run.omega, runs[0].omega)
    assert runs[0].diverged.any()


def test_balance_is_the_upper_boundary_of_brf_only():
    brf, rf = stability_map("brf", neurons=1), stability_map("rf", neurons=1)
    assert brf.to_dict()["upper_boundary_from_closed_form"] < 1e-11
    assert rf.to_dict()["upper_boundary_from_closed_form"] is None
    np.testing.assert_array_equal(rf.balance, 0.0)
    off = stability_map("brf", neurons=1, options={"divergence_boundary": False})
    np.testing.assert_array_equal(off.balance, 0.0)
    assert off.to_dict()["upper_boundary_from_closed_form"] is None


def step(x, u, v, w, b, dt, theta):
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
    neuron = Neuron(
        name="semi-implicit", title="semi-implicit resonator", doc="", source="", states=("u", "v"),
        parameters=(OMEGA, B_OFFSET), derive=derive, step=step, constants={"theta": 1.0}, equations=(),
    )  # fmt: skip
    register(neuron)
    yield neuron.name
    del NEURONS[neuron.name]


def test_another_integrator_has_a_plane_of_its_own(integrator):
    """Its determinant is (1 + δb)², so the upper boundary of a slow oscillator is b = 0."""
    found = stability_map(integrator, neurons=4000)
    assert found.to_dict()["disagreements_beyond_rounding"] == 0
    assert found.agreement >= 99.9
    np.testing.assert_allclose(Plane(integrator).boundary(np.linspace(5, 100, 20))[1], 0.0, atol=1e-9)


def run_folder(folder, seed=3):
    """A run as training leaves it: weights that differ from the initial ones, and the settings."""
    config = resolve("tones", "brf", overrides={"training": {"seed": seed}})
    network: Network = config.network.build(4, 3)
    initial = network.initialise(seed, np.float32, config.network.initial_distributions())
    weights = {name: value * np.float32(1.25) for name, value in initial.items()}
    save_checkpoint(folder / "best.npz", Checkpoint(network, weights, {"config": config.to_dict()}))
    return network, initial, weights


def test_a_network_before_and_after_training(tmp_path):
    _, initial, weights = run_folder(tmp_path)
    found = stability_map(checkpoint=tmp_path, neurons=100)
    assert list(found.network) == ["before", "after"]
    for name, expected in (("before", initial), ("after", weights)):
        one = found.network[name]
        omega = np.abs(expected["hidden0.omega"]).astype(float)
        p = (-1 + np.sqrt(1 - (0.01 * omega) ** 2)) / 0.01
        np.testing.assert_array_equal(one.omega, omega)
        np.testing.assert_allclose(one.b, p - np.abs(expected["hidden0.b_offset"]), rtol=1e-9)
        np.testing.assert_allclose(one.radius, np.abs(1 + 0.01 * (one.b + 1j * omega)), rtol=1e-12)
        assert one.to_dict()["stable"] == len(omega)


def test_a_published_network_has_no_before(reference_dir):
    found = stability_map("brf", checkpoint=reference_dir / "checkpoints" / "ecg_brf.pt", neurons=10)
    assert list(found.network) == ["after"]
    assert len(found.network["after"].omega) == 36
    with pytest.raises(BrfkitError, match="network of alif"):
        stability_map(checkpoint=reference_dir / "checkpoints" / "ecg_alif.pt")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"neuron": "alif"}, "no ω–b plane"),
        ({"omega": (5.0, 1.0)}, "range of omega must rise"),
        ({"b": (1.0, 1.0)}, "range of b must rise"),
        ({"omega": (-5.0, 1.0)}, "start at 0 or above"),
        ({"omega": (0.0, 150.0)}, "needs δω < 1"),
        ({"neuron": "rf", "omega": (150.0, 200.0)}, "no b is stable"),
        ({"dt": 0.0}, "time step dt"),
        ({"backend": "cupy"}, "does not run this analysis"),
        ({"neurons": 0}, "at least one neuron"),
    ],
)
def test_what_does_not_fit_is_refused(settings, words):
    with pytest.raises(BrfkitError, match=words):
        stability_map(**settings)


def test_json_csv_and_pictures(command, tmp_path):  # noqa: F811
    run_folder(tmp_path)
    table, plot = tmp_path / "plane.csv", tmp_path / "plane.png"
    done = command("stability", "--checkpoint", tmp_path, "--neurons", "300", "--json", "--out", table, "--plot", plot)
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["agreement"] == 100.0
    assert set(facts["network"]) == {"before", "after"}
    rows = list(csv.DictReader(table.open()))
    kinds = [row["kind"] for row in rows]
    assert kinds.count("simulated") == 300
    assert kinds.count("before") == kinds.count("after") == facts["network"]["after"]["neurons"]
    simulated = [row for row in rows if row["kind"] == "simulated"]
    assert sum(row["diverged"] == "yes" for row in simulated) == facts["diverged"]
    for row in rows:
        if row["kind"] == "upper" and row["b"]:
            expected = abs(1 + 0.01 * (float(row["b"]) + 1j * float(row["omega"])))
            assert expected == pytest.approx(1.0, abs=1e-9)
    assert plot.read_bytes().startswith(b"\x89PNG")
    again = command("stability", "--neurons", "300", "--plot", plot)
    assert (again.code, "--force" in again.err) == (1, True)


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_other_pictures(command, tmp_path, suffix):  # noqa: F811
    plot = tmp_path / f"plane.{suffix}"
    assert command("stability", "--neuron", "rf", "--neurons", "50", "--plot", plot).code == 0
    assert plot.read_bytes().startswith({"svg": b"<?xml", "pdf": b"%PDF"}[suffix])


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--neuron", "lif"], 1, "no ω–b plane"),
        (["--checkpoint", "nowhere"], 1, "nowhere"),
        (["--checkpoint", "x", "--dt", "0.1"], 2, "leave them out"),
        (["--omega", "7"], 2, "range such as"),
        (["--set", "theta"], 2, "NAME=VALUE"),
        (["--neuron", "rf", "--no-refractory"], 1, "no option"),
    ],
)
def test_wrong_usage_is_one_line(command, words, code, text):  # noqa: F811
    done = command("stability", *words)
    assert (done.code, done.out) == (code, "")
    assert text in " ".join(done.err.split())
