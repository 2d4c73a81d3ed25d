"""One launch for many points of an error surface: bit for bit what a launch for each of them gives."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gpu_measure import time_points
from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.backends.cupy_gpu import layout
from brfkit.bench.workloads import Workload
from brfkit.data import DenseSplit
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.network import Weights, recurrent_network
from brfkit.task import Task
from tests.backends.cases import CASES, RUNS, problem

SETS = 3


def shifted(weights: Weights) -> list[Weights]:
    """Sets of weights that differ everywhere."""
    rng = np.random.default_rng(7)
    return [
        {name: (value * rng.uniform(0.9, 1.1, value.shape)).astype(value.dtype) for name, value in weights.items()}
        for _ in range(SETS)
    ]


def launches(backend, name: str) -> list[int]:
    return [blocks for kernel, blocks, _, _ in getattr(backend.device, "launches", ()) if kernel == name]


def assert_same(traces, single):
    assert len(traces) == len(single)
    for got, wanted in zip(traces, single, strict=True):
        np.testing.assert_array_equal(got.outputs, wanted.outputs)
        for found, expected in ((got.spike_counts, wanted.spike_counts), (got.final_state, wanted.final_state)):
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(("case", "dtype"), RUNS, ids=str)
def test_points_equal_scans(backend, case, dtype):
    given = problem(case, dtype)
    points = shifted(given.weights)
    traces = list(backend.scan_points(given.network, points, given.signal))
    scans = launches(backend, "scan")
    single = [backend.scan(given.network, weights, given.signal) for weights in points]
    assert_same(traces, single)
    final = [np.concatenate([value.ravel() for value in trace.final_state.values()]) for trace in single]
    assert not np.array_equal(final[0], final[1])
    assert not np.array_equal(final[1], final[2])
    if scans:  # of the shim: one for each layer, whatever the number of points
        assert len(scans) == len(given.network.layers)
        assert scans == [SETS * blocks for blocks in launches(backend, "scan")[len(scans) : 2 * len(scans)]]


def test_dense_input_of_many_channels(backend):
    network = recurrent_network(12, [33], 4, bias=True)
    weights = network.initialise(3, np.float32)
    weights["hidden0.w_in"] = weights["hidden0.w_in"] * np.float32(60)
    x = np.random.default_rng(5).uniform(0, 1, (40, 6, 12)).astype(np.float32)
    points = shifted(weights)
    single = [backend.scan(network, point, x) for point in points]
    assert all(trace.spike_counts["hidden0"].sum() > 0 for trace in single)
    assert_same(list(backend.scan_points(network, points, x)), single)


def test_points_are_cut_to_the_memory(shim, monkeypatch):
    """Two points to a launch where no more fit, and one where not even one does."""
    given = problem(CASES[0], "float32")
    points = shifted(given.weights)
    single = [shim().scan(given.network, weights, given.x) for weights in points]
    samples = given.x.shape[1]
    one = given.x.shape[0] * samples * (4 * (5 + 5) + 4 * 2)  # readout: currents and outputs; hidden layer: two words
    for room, expected in ((2 * one, [2, 1]), (3 * one - 1, [2, 1]), (3 * one, [3]), (1, [1, 1, 1])):
        monkeypatch.setattr(layout, "POINTS_BYTES", room)
        backend = shim()
        assert_same(list(backend.scan_points(given.network, points, given.x)), single)
        assert launches(backend, "scan")[::2] == [count * samples for count in expected]


def test_wrong_points(backend):
    given = problem(CASES[0], "float32")
    assert list(backend.scan_points(given.network, [], given.x)) == []
    wider = {name: value.astype(np.float64) for name, value in given.weights.items()}
    with pytest.raises(BrfkitError, match="same dtype"):
        list(backend.scan_points(given.network, [given.weights, wider], given.x))
    with pytest.raises(BrfkitError, match="w_in"):
        list(backend.scan_points(given.network, [given.weights, given.weights | {"h0.w_in": np.zeros(3)}], given.x))


def test_points_are_timed(shim, monkeypatch):
    """The part of ``make gpu-check`` that times them refuses points that change with their neighbours."""
    backend, case = shim(), problem(CASES[0], "float32")
    labels = np.zeros(case.x.shape[1], np.int64)
    workload = Workload("any", case.network, case.weights, case.x, labels, Task(), "generated", "generated")
    found = time_points(workload, backend, points=2, turns=1)["points"]
    assert found["ratio"] == pytest.approx(found["one_by_one_ms"] / found["together_ms"])

    def first_for_all(network, points, x):
        return (backend.scan(network, points[0], x) for _ in points)

    monkeypatch.setattr(backend, "scan_points", first_for_all)
    with pytest.raises(BrfkitError, match="differ"):
        time_points(workload, backend, points=2, turns=1)


def test_surface_equals_evaluations(backend):
    """What a landscape does: points by the block, samples by the batch, losses bit for bit those of ``evaluate``."""
    rng = np.random.default_rng(0)
    split = DenseSplit(rng.normal(size=(21, 20, 2)).astype(np.float32), rng.integers(0, 3, 21))
    network = recurrent_network(2, [9], 3)
    weights = network.initialise(1, np.float32)
    weights["hidden0.w_in"] = weights["hidden0.w_in"] * np.float32(60)
    points, task, done = shifted(weights), Task(loss_on="every", accuracy_from="mean"), []
    found = PointEvaluator(network, split, task, backend, batch_size=8)(points, point_done=lambda: done.append(1))
    single = [evaluate(network, point, split, task, backend, batch_size=8) for point in points]
    assert list(found.loss) == [s.loss for s in single]
    assert list(found.accuracy) == [s.accuracy for s in single]
    assert list(found.spikes_per_sample) == [s.spikes_per_sample for s in single]
    assert found.spikes_per_sample.min() > 0
    assert len(done) == SETS
