"""Gradients back through time: against transition matrices, against autograd, and the theory of BRF."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from brfkit.analysis.network.gradients.eigenvalues import eigenvalues, trajectory, transitions
from brfkit.analysis.network.gradients.flow import Scanned, norms
from brfkit.analysis.network.gradients.profile import gradient_flow, loss_gradient
from brfkit.backends import get_backend
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.cli import run
from brfkit.codegen.linearise import linearise, transition_matrix
from brfkit.data import load
from brfkit.network import Layer, Network, recurrent_network
from brfkit.neurons import NEURONS
from brfkit.runs.config import Config
from brfkit.task import Task

SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]
# Sums of float64 in another order: a few hundred terms, each rounded to 1e-16 of the largest.
RTOL = 1e-10


def close(found, wanted):
    scale = max(float(np.abs(wanted).max()), 1e-300)
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=RTOL)


@pytest.mark.parametrize("segment", [1, 3, 7, 20])
@pytest.mark.parametrize("hidden", [(5,), (5, 4)])
def test_segments_give_the_gradient_of_one_scan(make_network, rng, segment, hidden):
    network, weights, x = make_network("brf", hidden, gain=150.0)
    backend = get_backend("reference")
    grad = rng.standard_normal((20, 2, 3))
    whole = backend.scan(network, weights, x, differentiate=True)
    wanted = backend.scan_vjp(whole, grad, initial_state_grad=True)
    scanned = Scanned(network, weights, x, backend, segment)
    found = scanned.gradients(grad)
    np.testing.assert_array_equal(found.steps, np.arange(0, 20, segment))
    np.testing.assert_array_equal(scanned.outputs, whole.outputs)
    assert sum(c.sum() for c in whole.spike_counts.values()) > 20  # otherwise little is tested
    for name, value in wanted.weights.items():
        close(found.weights[name], value)
    for name, value in wanted.initial_state.items():
        close(found.states[name][0], value)


@pytest.mark.parametrize("neuron", SPIKING)
def test_state_gradients_follow_from_the_transition_matrices(neuron, rng):
    """s̄_{t-1} = J_tᵀ s̄_t + (dz_t/ds_{t-1})ᵀ z̄_t, for neurons that are not connected, at every step."""
    network = Network(3, (Layer("hidden0", neuron, 4, recurrent=False),), 0.01)
    weights = network.initialise(3, np.float64)
    weights["hidden0.w_in"] = 30.0 * np.abs(weights["hidden0.w_in"])
    x = rng.uniform(0, 1, (30, 2, 3))
    grad = rng.standard_normal((30, 2, 4))
    layer, backend = network.layers[0], get_backend("reference")
    found = Scanned(network, weights, x, backend, 1).gradients(grad)
    records = trajectory(network, weights, x, backend)
    assert records["hidden0.z"].sum() > 10
    matrices = transitions(network, weights, x, records, layer, np.arange(30))
    before = {s: np.concatenate([np.zeros((1, 2, 4)), records[f"hidden0.{s}"][:-1]]) for s in layer.spec.states}
    step = linearise(
        neuron,
        {p.name: weights[f"hidden0.{p.name}"] for p in layer.spec.parameters},
        before,
        current=x @ weights["hidden0.w_in"].T,
    )
    bar = np.zeros((2, 4, len(layer.spec.states)))
    for t in reversed(range(30)):
        bar = np.einsum("bhij,bhi->bhj", matrices[t], bar) + step.output[t] * grad[t][..., None]
        for i, s in enumerate(layer.spec.states):
            close(found.states[f"hidden0.{s}"][t], bar[..., i])


@pytest.mark.parametrize("neuron", ["brf", "bhrf", "rf"])
def test_without_w_rec_is_autograd_with_detached_spikes(make_network, rng, neuron):
    """The torch step by step, its recurrent spikes detached: nothing passes through W_rec."""
    import torch

    from brfkit.backends.torch_bptt import run_layer

    network, weights, x = make_network(neuron, (6,), gain=150.0)
    grad = rng.standard_normal((20, 2, 3))
    found = Scanned(network, weights, x, get_backend("reference"), 4, cut=True).gradients(grad)
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    of = {y.name: {n.partition(".")[2]: v for n, v in tensors.items() if n.startswith(y.name)} for y in network.layers}
    hidden, readout = network.layers
    state, spikes = {}, []
    for t in range(20):
        z, state, _ = run_layer(hidden, network.dt, of["hidden0"], torch.tensor(x[t : t + 1]), state)
        state["z"] = state["z"].detach()
        spikes.append(z)
    output, _, _ = run_layer(readout, network.dt, of["readout"], torch.cat(spikes))
    (output * torch.tensor(grad)).sum().backward()
    assert float(torch.cat(spikes).detach().sum()) > 10
    for name, tensor in tensors.items():
        close(found.weights[name], tensor.grad.numpy())
    whole = Scanned(network, weights, x, get_backend("reference"), 4).gradients(grad)
    assert np.abs(whole.weights["hidden0.w_rec"] - found.weights["hidden0.w_rec"]).max() > 1e-6


def test_without_w_rec_is_the_whole_where_w_rec_is_zero(make_network, rng):
    network, weights, x = make_network("alif", (5, 4))
    weights = {n: np.zeros_like(v) if n.endswith("w_rec") else v for n, v in weights.items()}
    grad = rng.standard_normal((20, 2, 3))
    pair = [Scanned(network, weights, x, get_backend("reference"), 6, cut).gradients(grad) for cut in (False, True)]
    for name, value in pair[0].weights.items():
        close(pair[1].weights[name], value)


def test_at_the_divergence_boundary_the_gradient_keeps_its_magnitude():
    """b = p(ω): 1,000 steps below threshold in float64, with a state that moves, keep ‖∂L/∂(u, v)‖ to 1e-12.

    The smooth reset is off: with it the gradient also flows into q, which a neuron below threshold never uses.
    """
    units, steps = 50, 1000
    layer = Layer("n", "brf", units, recurrent=False, options={"smooth_reset": False, "refractory": False})
    network = Network(1, (layer,), 0.01)
    rng = np.random.default_rng(5)
    weights = {
        "n.w_in": np.ones((units, 1)), "n.omega": rng.uniform(1, 99, units), "n.b_offset": np.zeros(units),
    }  # fmt: skip
    x = 0.5 * rng.standard_normal((steps, 1, 1))
    backend = get_backend("numba")
    state, traces = None, []
    for t in range(steps):
        trace = backend.scan(network, weights, x[t : t + 1], initial_state=state, differentiate=True)
        traces.append(trace)
        state = trace.final_state
    assert sum(int(trace.spike_counts["n"].sum()) for trace in traces) == 0
    assert np.abs(state["n.u"]).max() > 0.01
    bar = {"n.u": rng.standard_normal((1, units)), "n.v": rng.standard_normal((1, units))}
    start = np.hypot(bar["n.u"], bar["n.v"])
    worst = 0.0
    for trace in reversed(traces):
        bar = backend.scan_vjp(trace, None, final_state_grad=bar, initial_state_grad=True).initial_state
        worst = max(worst, float(np.abs(np.hypot(bar["n.u"], bar["n.v"]) / start - 1.0).max()))
    assert worst < 1e-12


def test_the_resonator_block_of_the_transition_matrix_is_a_rotation():
    """The u-v block of the whole BRF neuron, wherever it is, turns without shrinking at b = p(ω); not so at b' > 0."""
    rng = np.random.default_rng(6)
    omega = rng.uniform(1, 99, 200)
    state = {"u": rng.uniform(-1, 1, 200), "v": rng.uniform(-1, 1, 200)}
    block = transition_matrix("brf", {"omega": omega, "b_offset": 0.0}, state)[:, :2, :2]
    np.testing.assert_allclose(block @ block.transpose(0, 2, 1), np.broadcast_to(np.eye(2), block.shape), atol=1e-15)
    damped = transition_matrix("brf", {"omega": omega, "b_offset": 1.0}, state)[:, :2, :2]
    assert (np.abs(eigenvalues(damped)) < 1.0 - 1e-4).all()


def test_loss_gradient_is_that_of_each_sample(rng):
    outputs = rng.standard_normal((6, 3, 4))
    labels = rng.integers(0, 4, (6, 3))
    for task in (Task("every", "every"), Task("last", "last"), Task("every", "every", 2)):
        grad = loss_gradient(task, outputs, labels)
        for b in range(3):
            one = loss_gradient(task, outputs[:, b : b + 1], labels[:, b : b + 1])
            close(grad[:, b : b + 1], one)
        step = 1e-6 * rng.standard_normal(outputs.shape)
        sums = [task.loss_sum(outputs + sign * step, labels) for sign in (1, -1)]
        slope = (sums[0][0] - sums[1][0]) / 2 / sums[0][1] * outputs.shape[1]
        assert slope == pytest.approx(float((grad * step).sum()), rel=1e-5)  # second-order difference of step 1e-6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Checkpoints of untrained networks for the embedded data."""
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for neuron in ("brf", "alif"):
        network = recurrent_network(4, (8, 6), 10, neuron)
        config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": neuron}})
        weights = network.initialise(1)
        for name in ("hidden0.w_in", "hidden1.w_in"):
            weights[name] *= 30.0
        path = folder / f"{neuron}.npz"
        save_checkpoint(path, Checkpoint(network, weights, {"config": config.to_dict()}))
        found.append(str(path))
    return found


def test_flow_of_a_network(runs):
    flow = gradient_flow(runs[0], samples=3, points=25, check=True, backend="reference")
    assert flow.autograd_difference < RTOL
    assert len(flow.steps) == 25
    assert set(flow.curves) == {"task", "last"}
    for by_layer in flow.curves.values():
        assert set(by_layer) == {"hidden0", "hidden1"}
        for curve in by_layer.values():
            assert (curve.low <= curve.high).all()
            assert ((curve.lost >= 0) & (curve.lost + curve.exploded <= 1)).all()
    last = flow.curves["last"]["hidden0"]
    assert last.lost[-1] < 1.0
    for figures in flow.parameters["task"].values():
        assert figures["share_through_w_rec"] >= 0
    assert flow.parameters["task"]["readout.w_in"]["share_through_w_rec"] == 0.0


def test_norms_are_those_of_the_states(runs):
    data = load("tones", splits=("test",), limit_test=2)
    from brfkit.checkpoints.native import load_checkpoint

    opened = load_checkpoint(runs[1])
    weights = {n: v.astype(np.float64) for n, v in opened.weights.items()}
    x, labels = data.test.batch([0, 1], np.float64)
    scanned = Scanned(opened.network, weights, x, get_backend("reference"), 50)
    found = scanned.gradients(loss_gradient(Task("mean", "mean"), scanned.outputs, labels))
    layer = opened.network.layers[0]
    wanted = sum(found.states[f"hidden0.{s}"] ** 2 for s in ("u", "a", "z"))
    np.testing.assert_allclose(norms(found, layer) ** 2, wanted, rtol=1e-12)


def test_command_writes_numbers_and_picture(runs, tmp_path, capfd):
    out, plot = tmp_path / "g.csv", tmp_path / "g.svg"
    arguments = ["gradients", *runs, "--samples", "2", "--points", "10", "--backend", "reference", "--out", str(out)]
    assert run([*arguments, "--plot", str(plot), "--json"]) == 0
    captured = capfd.readouterr()
    facts = json.loads(captured.out)
    assert [one["neuron"] for one in facts["checkpoints"]] == ["brf", "alif"]
    assert b"<svg" in plot.read_bytes()[:400]
    rows = list(csv.DictReader(out.open()))
    wanted = facts["checkpoints"][0]["gradient"]["task"]["hidden0"]["norm_first"]
    key = ("brf", "task", "hidden0", "norm", "0")
    found = [r for r in rows if (r["checkpoint"], r["loss"], r["layer"], r["name"], r["step"]) == key]
    assert [float(row["value"]) for row in found] == [wanted]
    assert run(arguments) == 1
    assert "--force" in capfd.readouterr().err
    assert run(["gradients", *runs, "--neuron", "brf", "--neuron", "brf", "--neuron", "brf"]) == 2


def test_brf_keeps_the_gradient_of_a_trained_ecg_network_flatter_than_alif(reference_dir, data_dir):
    """Published checkpoints, loss of the last step: decades lost in 1,000 steps on the way back."""
    lost = {
        neuron: -gradient_flow(
            reference_dir / "checkpoints" / f"ecg_{neuron}.pt", "ecg", neuron=neuron, samples=4, points=40,
            data_dir=data_dir, backend=backend, threads=1,
        ).slope("last", "hidden0")
        for neuron, backend in (("brf", "numba"), ("alif", "reference"))  # one of each: kernels take long to compile
    }  # fmt: skip
    assert lost["alif"] > 8.0
    assert lost["brf"] < 0.5 * lost["alif"]
