"""Frequency response: measured against analytic, against single simulations, and the command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from brfkit.analysis.neuron.frequency.response import frequency_grid, frequency_response
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS
from brfkit.simulation import simulate
from brfkit.simulation.reduce import Population, reduce_block
from brfkit.simulation.reduce_kernel import REDUCTIONS
from tests.cli.conftest import command, environment  # noqa: F401

# Where measuring begins 1e-9 of the start is left, and no gain of these grids is below a thousandth of the largest.
AGREEMENT = 1e-6


# Whether neurons have currents of their own changes what is loaded, not the neuron: every neuron meets both ways, and
# every dtype, with half of the kernels to compile.
KERNELS = [
    (name, dtype, (i + j) % 2 == 1) for i, name in enumerate(NEURONS) for j, dtype in enumerate(("float64", "float32"))
]


@pytest.mark.parametrize(("name", "dtype", "own"), KERNELS)
def test_the_kernel_computes_what_numpy_does(name, dtype, own, rng):
    """Bit for bit, spikes included: both round every operation of the step once and in the same order."""
    spec = NEURONS[name]
    size, channels, steps = 37, 3, 101
    parameters = {p.name: np.abs(p.init.sample(rng, size)) for p in spec.parameters}
    population = Population(name, parameters, dtype=dtype)
    kept = REDUCTIONS
    plan = population.plan(spec.states[0], kept, own)
    drive = rng.normal(0, 60, (channels, steps, size) if own else (channels, steps))
    chosen = rng.permutation(size)[:29]
    drive = drive[..., :29] if own else drive
    runs = [
        reduce_block(
            population, plan, chosen, drive, references=(np.cos(drive), np.sin(drive)), skip=7, frame=20, engine=engine
        )
        for engine in ("numba", "reference")
    ]
    for fast, slow in zip(*runs, strict=True):
        np.testing.assert_array_equal(fast, slow)
    sums = runs[1][0]
    assert sums.shape == (channels, 5, len(kept), 29)
    if spec.spiking:
        assert sums[:, :, kept.index("output")].sum() > 0


def test_a_run_in_parts_is_the_same_as_at_once(rng):
    population = Population("brf", {"omega": rng.uniform(5, 50, 20), "b_offset": np.ones(20)})
    plan = population.plan("u", ("abs", "output"))
    drive = rng.normal(0, 80, (2, 300))
    whole, end = reduce_block(population, plan, np.arange(20), drive)
    first, state = reduce_block(population, plan, np.arange(20), drive[:, :130])
    second, last = reduce_block(population, plan, np.arange(20), drive[:, 130:], state=state)
    np.testing.assert_array_equal(last, end)
    np.testing.assert_allclose(first + second, whole, rtol=1e-13)


@pytest.mark.parametrize("neurons", [2, 25])
@pytest.mark.parametrize("name", ["brf", "bhrf", "rf-izhikevich", "lif", "alif", "li"])
def test_measured_agrees_with_analytic(name, neurons):
    spec = NEURONS[name]
    values = {p.name: p.default * np.linspace(1.0, 1.4, neurons) for p in spec.parameters}
    if name == "rf-izhikevich":
        values["b_offset"] += 1.0
    found = frequency_response(
        name, parameters=values, frequencies=np.geomspace(0.3, 100, 25), measure=("sine", "chirp"), duration=5.0
    )
    assert found.measured["sine"].shape == found.analytic.shape == (neurons, 25)
    assert found.error("sine") < AGREEMENT
    assert found.error("chirp") < AGREEMENT


def test_the_grid_of_the_paper_agrees_to_a_thousandth():
    """ω in [0, 100), b' in (0, 10), δ = 0.001, coarser than in the paper; measured to far better than 0.1 %."""
    omega, b_offset = (a.ravel() for a in np.meshgrid(np.arange(0.0, 100.0, 12.5), [1.0, 3.0, 9.0]))
    found = frequency_response(
        omega=omega, b_offset=b_offset, dt=0.001, frequencies=np.linspace(0.5, 100, 12), measure=("sine",), duration=4.0
    )
    assert found.error("sine") < AGREEMENT < 1e-3


def test_spike_trains_are_those_of_single_simulations():
    """Counted by the kernel of sums and by the reference backend, which calls the step as it is written."""
    omega, frequencies = np.linspace(5, 40, 21), np.array([3.0, 10.0, 21.0])
    found = frequency_response(omega=omega, b_offset=0.5, frequencies=frequencies, measure=("spikes",), duration=10.0)
    trains = found.spike_trains
    assert trains is not None
    assert trains.spikes.sum() > 100
    for column, frequency in enumerate(frequencies):
        run = simulate(
            omega=omega, b_offset=0.5, stimulus="pulse", frequency=frequency, amplitude=found.amplitude, steps=1000,
            backend="reference",
        )  # fmt: skip
        np.testing.assert_array_equal(trains.spikes[:, column], run.spike_counts)
        np.testing.assert_allclose(trains.mean_abs[:, column], np.abs(run.states["u"]).mean(0), rtol=1e-9)


def test_without_refractory_and_reset_spikes_leave_no_trace():
    """RF's oscillation does not notice its spikes, so the spiking and the linear run have the same mean |u|."""
    found = frequency_response("rf", b_offset=2.0, frequencies=[5.0, 10.0], measure=("spikes",), amplitude=200.0)
    assert found.spike_trains is not None
    assert found.subthreshold_trains is not None
    assert found.spike_trains.spikes.min() > 0
    np.testing.assert_allclose(found.spike_trains.mean_abs, found.subthreshold_trains.mean_abs, rtol=1e-9)
    brf = frequency_response("brf", b_offset=2.0, frequencies=[10.0], measure=("spikes",), amplitude=200.0)
    assert brf.spike_trains is not None
    assert brf.subthreshold_trains is not None
    assert brf.spike_trains.mean_abs[0, 0] < 0.9 * brf.subthreshold_trains.mean_abs[0, 0]


def test_threads_change_nothing():
    runs = [
        frequency_response(omega="5:40", neurons=40, frequencies=np.linspace(1, 50, 9), duration=5.0, threads=n)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(runs[0].measured["sine"], runs[1].measured["sine"])
    assert runs[0].spike_trains is not None
    assert runs[1].spike_trains is not None
    np.testing.assert_array_equal(runs[0].spike_trains.spikes, runs[1].spike_trains.spikes)


def test_neurons_without_steady_response_are_left_out():
    found = frequency_response("rf", omega=[5.0, 60.0], b_offset=1.0, frequencies=[1.0, 10.0], measure=("sine",))
    np.testing.assert_array_equal(found.stable, [True, False])
    assert np.isnan(found.analytic[1]).all()
    assert np.isnan(found.measured["sine"][1]).all()
    assert found.error("sine") < AGREEMENT
    assert found.to_dict()["unstable"] == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"neuron": "rf", "omega": 60.0}, "does not come to rest"),
        ({"omega": 120.0}, "too fast for brf"),
        ({"measure": ("noise",)}, "unknown measurement 'noise'"),
        ({"frequencies": [400.0]}, "below π/δ"),
        ({"frequencies": [-1.0]}, "above 0"),
        ({"observed": "q"}, "no current reaches the state q"),
        ({"observed": "w"}, "no state 'w'"),
        ({"backend": "torch"}, "does not run this analysis"),
        ({"duration": 0.0}, "at least two steps"),
        ({"amplitude": 0.0}, "other than 0"),
        ({"b_offset": 1e-9}, "larger b_offset"),
    ],
)
def test_what_does_not_fit_is_refused(settings, words):
    with pytest.raises(BrfkitError, match=words):
        frequency_response(**{"frequencies": [1.0], **settings})


def test_grids():
    np.testing.assert_allclose(frequency_grid(0.001, 0.1, 100.0, 1000, log=False)[[0, 1, -1]], [0.1, 0.2, 100.0])
    assert frequency_grid(0.1)[-1] < np.pi / 0.1
    with pytest.raises(BrfkitError, match="rise"):
        frequency_grid(0.01, 5.0, 1.0)


def test_json_and_csv(command, tmp_path):  # noqa: F811
    table = tmp_path / "bode.csv"
    done = command("frequency", "--json", "--out", table, "--points", "30", "--duration", "5")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["neuron"] == "brf"
    assert facts["bandwidth"] == pytest.approx(facts["upper"] - facts["lower"])
    assert facts["measured_error"]["sine"] < AGREEMENT
    rows = list(csv.DictReader(table.open()))
    found = frequency_response(frequencies=frequency_grid(0.01, points=30), measure=())
    assert [float(r["frequency"]) for r in rows] == found.frequencies.tolist()
    np.testing.assert_array_equal(
        [float(r["analytic_gain_db"]) for r in rows], 20 * np.log10(np.abs(found.analytic[0]))
    )
    again = command("frequency", "--out", table, "--points", "30")
    assert again.code == 1
    assert "--force" in again.err


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("words", [["--vary", "smooth-reset"], ["--omega", "5:20", "--neurons", "9"]])
def test_pictures(command, tmp_path, suffix, words):  # noqa: F811
    plot = tmp_path / f"picture.{suffix}"
    done = command("frequency", "--plot", plot, "--points", "12", "--duration", "3", *words)
    assert (done.code, done.err) == (0, "")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert plot.read_bytes().startswith(head)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--neuron", "rf", "--omega", "60"], 1, "does not come to rest"),
        (["--vary", "dt"], 2, "NAME=VALUE"),
        (["--vary", "refractory=1"], 2, "takes no values"),
        (["--neuron", "lif", "--vary", "refractory"], 1, "no option"),
        (["--frequencies", "5"], 2, "range such as"),
        (["--measure", "noise"], 2, "none of sine"),
        (["--set", "omega"], 2, "NAME=VALUE"),
    ],
)
def test_wrong_usage_is_one_line(command, words, code, text):  # noqa: F811
    done = command("frequency", *words)
    assert done.code == code
    assert text in " ".join(done.err.split())
    assert done.out == ""


def test_torch_is_not_imported():
    script = (
        "import sys; from brfkit.cli import run; run(['frequency', '--points', '5', '--measure', 'sine', '--json']); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment(), check=True)
