"""Simulating neurons: the same states as the reference, the physics of each model, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import brfkit
from brfkit.backends import get_backend
from brfkit.errors import BrfkitError
from brfkit.network import Layer
from brfkit.neurons import NEURONS
from brfkit.simulation import STIMULI, simulate, write_trace
from brfkit.simulation.divergence import eigenvalues, first_divergence, resonance
from brfkit.simulation.stimulus import Stimulus, read_stimulus

SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]


def by_hand(omega, b_offset, current, dt=0.01):
    """BRF as the paper has it, one neuron, float64."""
    u = v = q = 0.0
    rows = []
    p = (-1 + np.sqrt(1 - (dt * omega) ** 2)) / dt
    for x in current:
        b = p - abs(b_offset) - q
        u, v = u + dt * (b * u - omega * v + x), v + dt * (omega * u + b * v)
        z = float(u - 1.0 - q > 0)
        q = 0.9 * q + z
        rows.append((u, v, q, z))
    return np.array(rows).T


@pytest.mark.parametrize("backend", ["reference", "numba", "torch"])
def test_brf_follows_its_equations(backend):
    steps = 200 if backend == "torch" else 1000
    run = simulate("brf", omega=12.0, b_offset=0.4, steps=steps, backend=backend, dtype="float64")
    u, v, q, z = by_hand(12.0, 0.4, run.input[:, 0])
    for symbol, expected in zip("uvq", (u, v, q), strict=True):
        np.testing.assert_allclose(run.states[symbol][:, 0], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(run.z[:, 0], z)
    assert run.spikes == z.sum() > 0
    assert run.firing_rate == run.spikes / steps


@pytest.mark.parametrize("neuron", list(NEURONS))
def test_numba_equals_the_reference_for_populations_of_any_size(neuron, rng):
    """Beyond one block of shared and of own currents, with the last block not full, but as wide for the kernel."""
    symbol, size = NEURONS[neuron].parameters[0].name, 396
    values = {symbol: rng.uniform(5, 30, size)} if neuron != "li-sigmoid" else {symbol: rng.normal(0, 1, size)}
    for stimulus in (rng.normal(0, 60, 60), rng.normal(0, 60, (60, size))):
        runs = [
            simulate(neuron, parameters=values, stimulus=stimulus, backend=name, dtype="float64", threads=threads)
            for name, threads in (("reference", None), ("numba", 2))
        ]
        assert runs[0].neurons == size
        for name, expected in runs[0].states.items():
            np.testing.assert_allclose(runs[1].states[name], expected, rtol=1e-9, atol=1e-11)
        if NEURONS[neuron].spiking:
            np.testing.assert_array_equal(runs[1].z, runs[0].z)
            assert runs[0].spikes > 0
            np.testing.assert_array_equal(runs[1].spike_counts, runs[1].z.sum(0))


def test_long_runs_go_on_where_the_last_stretch_ended():
    long = simulate(steps=40_000, dtype="float64")
    current = np.asarray(long.input[:, 0])
    u, _, _, z = by_hand(10.0, 1.0, current)
    np.testing.assert_allclose(long.states["u"][:, 0], u, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(long.z[:, 0], z)
    assert simulate(steps=40_000, dtype="float64", record=False).spikes == long.spikes


@pytest.mark.parametrize("stimulus", STIMULI)
@pytest.mark.parametrize("neuron", SPIKING)
def test_the_default_amplitude_makes_every_neuron_spike(neuron, stimulus):
    run = simulate(neuron, stimulus=stimulus)
    assert 0 < run.spikes < 0.5 * run.steps
    assert not run.diverged
    assert run.to_dict().keys() == {
        "neuron", "backend", "steps", "neurons", "spikes", "firing_rate", "diverged", "seconds",
    }  # fmt: skip


@pytest.mark.parametrize("dt", [0.01, 0.002])
@pytest.mark.parametrize("omega", [1.0, 10.0, 50.0, 95.0])
@pytest.mark.parametrize("neuron", ["brf", "bhrf"])
def test_the_default_frequency_is_that_of_the_discrete_neuron(neuron, omega, dt):
    run = simulate(neuron, omega=omega, dt=dt, steps=int(20 / dt))
    assert run.spikes > 0
    eigen = eigenvalues(Layer("n", "brf", 1, recurrent=False), {"omega": [omega], "b_offset": [0.0]}, dt)
    frequency, damping = resonance(eigen, dt)
    assert frequency[0] == pytest.approx(np.arcsin(omega * dt) / dt)
    assert damping[0] == pytest.approx(0.0, abs=1e-8)


def test_a_resonator_answers_most_at_its_own_frequency():
    peaks = [
        np.abs(simulate("brf", omega=20.0, amplitude=0.5, frequency=f, steps=3000).states["u"]).max()
        for f in (10.0, 20.0, 40.0)
    ]
    assert peaks[1] > 4 * max(peaks[0], peaks[2])


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("numba", "float32"), ("numba", "float64"), ("torch", "float32"), ("torch", "float64"), ("reference", "float64")],
)
def test_divergence_is_told_and_warns_of_nothing(backend, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        run = simulate("rf", omega=50.0, b_offset=0.1, steps=400, backend=backend, dtype=dtype)
    assert run.diverged
    assert run.amplification == pytest.approx(abs(1 + 0.01 * (-0.1 + 50j)), rel=1e-5)
    bound = 10 * max(1, np.abs(run.input).sum() * 0.01, np.abs(run.input).max())
    beyond = np.flatnonzero((np.abs(run.states["u"]) > bound) | (np.abs(run.states["v"]) > bound))
    assert run.diverged_at == beyond[0]


def test_what_ends_as_nan_has_diverged_too():
    run = simulate("rf", omega=[10.0, 60.0], b_offset=0.0, steps=2000)
    assert not np.isfinite(run.states["u"][-1, 1])
    assert run.diverged
    assert first_divergence(np.array([[0.0], [np.nan]]), np.array([False]), np.inf) == 1


@pytest.mark.parametrize("neuron", ["brf", "bhrf"])
def test_the_balanced_neurons_never_diverge(neuron):
    run = simulate(neuron, omega="1:99", neurons=99, b_offset=0.0, stimulus="noise", steps=3000)
    assert not run.diverged
    assert (run.amplification <= 1 + 1e-6).all()


def test_resets_hold_an_unstable_neuron():
    """Without p(ω) the resonator is unstable, but its spikes damp it: that is no divergence."""
    off = {"divergence_boundary": False}
    run = simulate("brf", omega=10.0, b_offset=0.1, options=off, stimulus="pulse", steps=5000)
    assert run.amplification[0] > 1
    assert not run.diverged


def test_omega_beyond_the_boundary_is_refused():
    with pytest.raises(BrfkitError, match=r"omega 100 is too fast for brf at dt 0.01.*δω < 1"):
        simulate("brf", omega=[5.0, -100.0])
    assert not simulate("brf", omega=100.0, dt=0.005, steps=10).diverged
    assert simulate("rf", omega=100.0, steps=10).steps == 10


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"steps": 0}, "at least one step"),
        ({"neurons": 0}, "at least one neuron"),
        ({"dt": float("nan")}, "dt must be a positive"),
        ({"omega": float("nan")}, "omega must be a finite number"),
        ({"omega": "5:x"}, "omega must be"),
        ({"omega": "5:50"}, "over how many neurons"),
        ({"omega": [1.0, 2.0], "neurons": 3}, "2 values for 3 neurons"),
        ({"omega": [1.0, 2.0], "b_offset": [1.0, 2.0, 3.0]}, "values for 3 neurons"),
        ({"neuron": "lif", "omega": 5.0}, "has no parameter 'omega'"),
        ({"neuron": "brff"}, "did you mean 'brf'"),
        ({"options": {"reset": False}}, "no option 'reset'"),
        ({"constants": {"theta": float("inf")}}, "must be finite"),
        ({"constants": {"kappa": 1.0}}, "no constant 'kappa'"),
        ({"amplitude": float("nan")}, "amplitude must be finite"),
        ({"amplitude": 1e39}, "beyond float32"),
        ({"stimulus": "square"}, "unknown stimulus 'square'"),
        ({"stimulus": "noise", "frequency": 3.0}, "noise has no frequency"),
        ({"frequency": 400.0}, "π/δ"),
        ({"frequency": -1.0}, "frequency must lie above 0"),
        ({"omega": 0.0}, "no frequency of their own"),
        ({"start": -1.0}, "from 0 on"),
        ({"start": 2.0, "stop": 1.0}, "stop after it starts"),
        ({"start": 20.0}, "after the last step"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"backend": "reference", "dtype": "float32"}, "float64 only"),
        ({"stimulus": np.zeros((5, 2)), "neurons": 3}, "2 columns for 3 neurons"),
        ({"stimulus": np.zeros((5, 2, 2))}, "must be \\(steps,\\)"),
        ({"stimulus": np.array([1.0, np.inf])}, "step 1, column 1 is inf"),
        ({"stimulus": np.zeros(5), "steps": 6}, "5 steps, fewer than the 6"),
        ({"stimulus": np.zeros(5), "frequency": 6.0}, "has no frequency"),
        (
            {"steps": 10**6, "neurons": 10**5, "stimulus": "step"},
            r"recording 1,000,000 steps of 100,000 neurons needs .* GiB of memory",
        ),
    ],
)
def test_refused(arguments, complaint):
    if "neurons" in arguments and arguments["neurons"] == 10**5:
        arguments = {**arguments, "stimulus": np.broadcast_to(np.zeros(1), (10**6,)), "steps": None}
    with pytest.raises(BrfkitError, match=complaint):
        simulate(**arguments)


def test_ranges_and_lists():
    run = simulate(omega="5:50", neurons=4, b_offset="0.5,0.6,0.7,0.8", steps=5)
    np.testing.assert_allclose(run.parameters["omega"], [5, 20, 35, 50])
    np.testing.assert_allclose(run.parameters["b_offset"], [0.5, 0.6, 0.7, 0.8], rtol=1e-6)


def test_stimuli():
    def made(kind, *rest, **more):
        return Stimulus(kind, 2.0, *rest, **more).samples(100, 0.1)

    assert np.flatnonzero(made("pulse", start=0.3)).tolist() == [3]
    assert np.flatnonzero(made("pulse", start=0.3, stop=0.6)).tolist() == [3, 4, 5]
    train = np.flatnonzero(made("pulse", 2 * np.pi, start=1.0, stop=5.0))
    assert train.tolist() == [10, 20, 30, 40]
    assert made("step", start=0.3, stop=0.6).sum() == 6.0
    t = np.arange(100) * 0.1
    np.testing.assert_allclose(made("sine", 3.0, start=1.0)[10:], 2 * np.sin(3 * (t[10:] - 1.0)))
    chirp = made("chirp", 3.0)
    np.testing.assert_allclose(chirp, 2 * np.sin(3 * t**2 / t[-1]))
    assert np.array_equal(made("noise", seed=1), made("noise", seed=1))
    assert not np.array_equal(made("noise", seed=1), made("noise", seed=2))
    assert Stimulus("noise", 3.0).samples(100_000, 0.1).std() == pytest.approx(3.0, rel=0.02)


def test_files_give_the_current(tmp_path: Path, rng):
    current = rng.normal(size=(7, 3))
    np.save(tmp_path / "x.npy", current.astype(np.float32))
    text = "\n".join(",".join(map(repr, row)) for row in current.tolist())
    (tmp_path / "x.csv").write_text(f"# made by hand\na,b,c\n\n{text}\n")
    np.testing.assert_array_equal(read_stimulus(tmp_path / "x.csv"), current)
    np.testing.assert_array_equal(read_stimulus(tmp_path / "x.npy"), current.astype(np.float32))
    run = simulate(stimulus=tmp_path / "x.csv", amplitude=2.0, dtype="float64", steps=5)
    assert run.neurons == 3
    np.testing.assert_array_equal(run.input, 2 * current[:5])
    np.save(tmp_path / "one.npy", np.arange(6))
    assert simulate(stimulus=str(tmp_path / "one.npy"), neurons=4, start=0.02).input[:, 3].tolist() == [
        0,
        0,
        2,
        3,
        4,
        5,
    ]


BAD_CSV = {
    "1,2\n3,x\n": "line 2, column 2 is 'x'",
    "1,2\n3\n": "line 2 has 1 columns",
    "1\nnan\n": "line 2, column 1 is nan",
    "a,b\n": "no numbers",
    "": "no numbers",
    "1,\n": "line 1, column 2 is ''",
}


@pytest.mark.parametrize("text", BAD_CSV)
def test_bad_csv_names_the_line(tmp_path: Path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(BrfkitError, match=BAD_CSV[text]):
        read_stimulus(tmp_path / "x.csv")


def test_damaged_arrays_are_refused_in_one_line(tmp_path: Path, rng):
    """Every mutation of an .npy either reads as finite numbers or is refused; pickles are never opened."""
    file = tmp_path / "x.npy"
    np.save(file, rng.normal(size=(20, 2)))
    good = file.read_bytes()
    refused = []
    for _ in range(300):
        data = bytearray(good)
        if rng.random() < 0.4:
            del data[int(rng.integers(len(data))) :]
        for _ in range(int(rng.integers(1, 4))):
            if data:
                data[int(rng.integers(min(len(data), 160)))] = int(rng.integers(256))
        file.write_bytes(bytes(data))
        try:
            assert np.isfinite(read_stimulus(file)).all()
        except BrfkitError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(str(file) in message and "\n" not in message for message in refused)
    for name, value, complaint in (
        ("object", np.array([{}], object), "damaged or no array"),
        ("text", np.array(["1"]), "not real numbers"),
        ("complex", np.array([1j]), "not real numbers"),
        ("empty", np.zeros((0, 3)), "has shape"),
        ("scalar", np.array(3.0), "has shape"),
    ):
        np.save(tmp_path / name, value, allow_pickle=True)
        with pytest.raises(BrfkitError, match=complaint):
            read_stimulus(tmp_path / f"{name}.npy")
    for name, complaint in (("none.npy", "no such file"), ("x.txt", r"no \.npy or \.csv")):
        with pytest.raises(BrfkitError, match=complaint):
            read_stimulus(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".csv"])
@pytest.mark.parametrize("neurons", [1, 3])
def test_traces_read_back_exactly(tmp_path: Path, suffix, neurons):
    run = simulate(neurons=neurons, steps=50)
    path = tmp_path / f"trace{suffix}"
    write_trace(path, run)
    expected = run.arrays()
    assert list(expected) == ["t", "input", "u", "v", "q", "z"]
    if suffix == ".csv":
        table = np.genfromtxt(path, delimiter=",", names=True, dtype=np.float64)
        for name in ("u", "v", "q", "z"):
            for i in range(neurons):
                column = table[name if neurons == 1 else f"{name}_{i}"].astype(expected[name].dtype)
                np.testing.assert_array_equal(column, expected[name][:, i])
        np.testing.assert_array_equal(table["input"].astype(np.float32), run.input[:, 0])
    else:
        with np.load(path) if suffix == ".npz" else h5py.File(path) as file:
            for name, values in expected.items():
                np.testing.assert_array_equal(file[name][()], values)
                assert file[name].shape == ((50,) if name == "t" else (50, neurons))
    before = path.read_bytes()
    with pytest.raises(BrfkitError, match="--force"):
        write_trace(path, run)
    assert path.read_bytes() == before
    write_trace(path, run, force=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_nothing_recorded_is_not_written(tmp_path: Path):
    run = simulate(steps=5, record=False)
    with pytest.raises(BrfkitError, match="nothing was recorded"):
        write_trace(tmp_path / "x.npz", run)
    with pytest.raises(BrfkitError, match="written as"):
        write_trace(tmp_path / "x.txt", run)


def test_progress_and_the_package_function():
    seen = []
    run = brfkit.simulate(steps=40_000, neurons=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (80_000, 80_000)
    assert seen == sorted(seen)
    assert run.backend == get_backend("auto").name


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"neuron": "rf", "omega": 50.0, "b_offset": 0.1},
        {"neuron": "lif"},
        {"steps": 6000},
        {"steps": 1},
        {"amplitude": 0.0},
        {"neurons": 30, "omega": "5:50"},
        {"neurons": 2, "neuron": "li"},
        {"neuron": "rf", "neurons": 2, "omega": "10:60", "b_offset": 0.0, "steps": 2000},
    ],
)
def test_pictures_are_drawn_without_warnings(tmp_path: Path, arguments):
    from brfkit.plotting.traces import trace_figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = trace_figure(simulate(**arguments))
        figure.savefig(tmp_path / "x.svg")
    labels = {ax.get_ylabel().split("\n")[0] for ax in figure.axes} | {ax.get_xlabel() for ax in figure.axes}
    assert {"input I", "u", "time t = step · δ"} <= labels


def test_the_drawn_threshold_is_the_one_that_is_met():
    from brfkit.plotting.traces import threshold

    run = simulate("brf", steps=2000, dtype="float64")
    above = run.states["u"][:, 0] > threshold(run, 0)
    np.testing.assert_array_equal(above, run.z[:, 0] > 0)
    without = simulate("brf", steps=500, options={"refractory": False})
    assert (threshold(without, 0) == 1.0).all()
