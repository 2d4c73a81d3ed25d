"""Sizes that the battery does not reach: every way in which W_rec can lie, several samples and units per thread.

Tolerances are those of the battery; see tests/backends/test_conformance.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from brfkit.backends.cupy_gpu.helpers import Helpers
from brfkit.backends.cupy_gpu.layout import adjoint_shape, adjoint_shared_bytes, max_units, pad, scan_shared_bytes
from brfkit.backends.cupy_gpu.source import ScanShape
from brfkit.backends.reference import ReferenceBackend
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network, recurrent_network
from tests.backends.cases import DRIVE
from tests.backends.test_conformance import assert_close, assert_gradients_close

KB = 1024


@dataclass(frozen=True)
class Cut:
    """A layer and a device of a certain size, and how the backward scan is then cut."""

    units: int
    batch: int
    dtype: str
    processors: int
    shared: int
    steps: int
    expected: dict[str, int]

    def __str__(self) -> str:
        return f"{self.units}-{self.dtype}"


CUTS = (
    Cut(37, 5, "float64", 2, 227 * KB, 18, {"samples": 4, "rows": 4, "register_rows": 4}),
    Cut(96, 3, "float32", 3, 227 * KB, 17, {"samples": 1, "rows": 8, "register_rows": 8}),  # registers only
    Cut(
        200, 3, "float32", 1, 227 * KB, 9, {"samples": 4, "rows": 24, "register_rows": 8, "shared_rows": 16}
    ),  # and shared memory
    Cut(200, 2, "float64", 2, 64 * KB, 9, {"samples": 1, "rows": 50, "register_rows": 8, "shared_rows": 6}),  # and L2
    Cut(
        300, 2, "float32", 1, 40 * KB, 4, {"samples": 2, "rows": 52, "register_rows": 8, "shared_rows": 0}
    ),  # registers and L2
    Cut(
        1100, 2, "float32", 2, 100 * KB, 3, {"splits": 1, "rows": 1100, "register_rows": 4, "shared_rows": 20}
    ),  # several units per thread
)


def problem(cut: Cut, neuron: str = "brf"):
    rng = np.random.default_rng(cut.units)
    network = recurrent_network(5, (cut.units,), 3, neuron)
    weights = {name: value.astype(np.float64) for name, value in network.initialise(3, np.float64).items()}
    drive = DRIVE[neuron]
    weights["hidden0.w_in"] = rng.normal(0.3, 1, (cut.units, 5)) * drive
    weights["hidden0.w_rec"] = rng.normal(0, 1, (cut.units, cut.units)) * drive / np.sqrt(cut.units)
    state = {"hidden0.z": (rng.random((cut.batch, cut.units)) < 0.2).astype(cut.dtype)}
    state["hidden0.u"] = rng.uniform(0, 1, (cut.batch, cut.units)).astype(cut.dtype)
    x = rng.uniform(0, 1, (cut.steps, cut.batch, 5)).astype(cut.dtype)
    return network, {k: np.ascontiguousarray(v, cut.dtype) for k, v in weights.items()}, x, state, rng


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_every_cut_equals_the_reference(shim, cut):
    shape = adjoint_shape(cut.dtype, cut.units, 5, True, cut.batch, cut.processors, cut.shared)
    assert {name: getattr(shape, name) for name in cut.expected} == cut.expected
    network, weights, x, state, rng = problem(cut)
    backend = shim(processors=cut.processors, shared_bytes=cut.shared)
    trace = backend.scan(network, weights, x, initial_state=state, record=["hidden0.z"], differentiate=True)
    wanted = ReferenceBackend().scan(network, weights, x, initial_state=state, record=["hidden0.z"], differentiate=True)
    np.testing.assert_array_equal(trace.records["hidden0.z"], wanted.records["hidden0.z"])
    assert 0.02 < wanted.records["hidden0.z"].mean() < 0.9
    assert_close(trace.outputs, wanted.outputs, cut.dtype, "outputs")
    bar = rng.normal(0, 1, trace.outputs.shape).astype(cut.dtype)
    arguments = {"input_grad": True, "initial_state_grad": True}
    got = backend.scan_vjp(trace, bar, **arguments)
    assert_gradients_close(got, ReferenceBackend().scan_vjp(wanted, bar, **arguments), cut.dtype, False)


@pytest.mark.parametrize("order", ["descending", "shuffled"])
@pytest.mark.parametrize("cut", CUTS[:4], ids=str)
def test_the_order_of_the_threads_does_not_matter(shim, cut, order):
    """A barrier that is missing shows here: threads run in other orders, and every bit must stay."""
    network, weights, x, state, rng = problem(cut)
    bar = rng.normal(0, 1, (cut.steps, cut.batch, 3)).astype(cut.dtype)

    def everything(kind: str) -> list[np.ndarray]:
        backend = shim(processors=cut.processors, shared_bytes=cut.shared, order=kind)
        trace = backend.scan(network, weights, x, initial_state=state, record=["hidden0.q"], differentiate=True)
        gradients = backend.scan_vjp(trace, bar, input_grad=True, initial_state_grad=True)
        found = [trace.outputs, *trace.records.values(), *trace.final_state.values(), *gradients.weights.values()]
        return [*found, gradients.input, *gradients.initial_state.values()]

    for got, wanted in zip(everything(order), everything("ascending"), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_batches_are_cut_without_changing_a_sample(shim):
    """Blocks of several samples, the last of them not full, give each sample what it gets alone."""
    cut = Cut(40, 7, "float32", 2, 227 * KB, 19, {})
    network, weights, x, state, rng = problem(cut)
    bar = rng.normal(0, 1, (cut.steps, cut.batch, 3)).astype(cut.dtype)
    together = shim(processors=2)
    trace = together.scan(network, weights, x, initial_state=state, differentiate=True)
    gradients = together.scan_vjp(trace, bar, input_grad=True, initial_state_grad=True)
    assert any(name == "scan_vjp" and blocks == 2 for name, blocks, _, _ in together.device.launches)
    for b in range(cut.batch):
        one = {name: value[b : b + 1] for name, value in state.items()}
        alone = shim()
        single = alone.scan(network, weights, x[:, b : b + 1], initial_state=one, differentiate=True)
        np.testing.assert_array_equal(single.outputs[:, 0], trace.outputs[:, b])
        found = alone.scan_vjp(single, bar[:, b : b + 1], input_grad=True, initial_state_grad=True)
        # The GEMM of the input gradient may add in another order for another number of rows.
        assert_close(found.input[:, 0], gradients.input[:, b], "float32", "input")
        for name, value in found.initial_state.items():
            np.testing.assert_array_equal(value[0], gradients.initial_state[name][b], err_msg=name)


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_weight_gradients_in_pieces(shim, monkeypatch, request, pieces):
    """Spikes and events are unpacked a piece at a time; the sum is the same but for rounding."""
    import brfkit.backends.cupy_gpu.helpers as helpers

    rng = np.random.default_rng(0)
    network = recurrent_network(20, (13, 9), 3, "brf")
    weights = network.initialise(3, np.float64)
    for name in ("hidden0.w_in", "hidden0.w_rec", "hidden1.w_in", "hidden1.w_rec"):
        weights[name] = weights[name] * 60
    events = Events.from_dense((rng.random((23, 4, 20)) < 0.3).astype(np.float64))
    bar = rng.normal(0, 1, (23, 4, 3))
    reference = ReferenceBackend()
    wanted = reference.scan_vjp(reference.scan(network, weights, events, differentiate=True), bar)
    monkeypatch.setattr(helpers, "UNPACKED_BYTES", 4 * 20 * 8 * pieces)
    monkeypatch.setattr(helpers, "UNPACKED_SHARE", 0)
    monkeypatch.setattr(helpers, "PART_ROWS", 5)
    helpers._parts.cache_clear()
    request.addfinalizer(helpers._parts.cache_clear)
    backend = shim()
    got = backend.scan_vjp(backend.scan(network, weights, events, differentiate=True), bar)
    for name, value in wanted.weights.items():
        assert np.abs(value).max() > 0, name
        assert_close(got.weights[name], value, "float64", name)


def test_events_that_stand_twice_count_twice(shim):
    network = recurrent_network(3, (4,), 2, "brf")
    weights = network.initialise(1, np.float64)
    events = Events(np.array([[0, 3, 3]]), np.array([1, 1, 2], np.int32), 3)
    backend = shim()
    traces = [b.scan(network, weights, events, differentiate=True) for b in (backend, ReferenceBackend())]
    np.testing.assert_allclose(traces[0].final_state["hidden0.u"], traces[1].final_state["hidden0.u"], atol=1e-12)
    bar = np.ones((2, 1, 2))
    got, wanted = backend.scan_vjp(traces[0], bar), ReferenceBackend().scan_vjp(traces[1], bar)
    np.testing.assert_allclose(got.weights["hidden0.w_in"], wanted.weights["hidden0.w_in"], atol=1e-12)


def test_arrays_of_the_device_stay_there(shim):
    """Weights of the device in, everything of the device out, nothing through the host."""
    cut = CUTS[0]
    network, weights, x, state, rng = problem(cut)
    bar = rng.normal(0, 1, (cut.steps, cut.batch, 3)).astype(cut.dtype)
    backend = shim()
    plain = backend.scan(network, weights, x, initial_state=state, record=["hidden0.z"], differentiate=True)
    expected = backend.scan_vjp(plain, bar, input_grad=True, initial_state_grad=True)
    device = backend.device
    there = {name: backend.put(value) for name, value in weights.items()}
    x_there, bar_there = backend.put(x), backend.put(bar)
    state_there = {name: backend.put(value) for name, value in state.items()}
    np.testing.assert_array_equal(backend.get(x_there[1:]), x[1:])
    device.to_host = None  # type: ignore[assignment]  # no way back
    trace = backend.scan(network, there, x_there, initial_state=state_there, record=["hidden0.z"], differentiate=True)
    got = backend.scan_vjp(trace, bar_there, input_grad=True, initial_state_grad=True)
    pairs = [(trace.outputs, plain.outputs), (got.input, expected.input)]
    pairs += [(trace.final_state[n], v) for n, v in plain.final_state.items()]
    pairs += [(trace.spike_counts[n], v) for n, v in plain.spike_counts.items()]
    pairs += [(got.weights[n], v) for n, v in expected.weights.items()]
    pairs += [(got.initial_state[n], v) for n, v in expected.initial_state.items()]
    for value, wanted in pairs:
        assert device.owns(value)
        np.testing.assert_array_equal(np.asarray(value), wanted)
    np.testing.assert_array_equal(np.asarray(bar_there), bar, err_msg="the cotangent was overwritten")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shared", [96 * KB, 163 * KB, 227 * KB])
def test_every_size_fits(dtype, shared):
    """Blocks, threads and shared memory of all sizes up to the largest stay within what devices have."""
    item = int(dtype[-2:]) // 8
    for units in (*range(1, 300), 511, 512, 513, 1023, 1024, 1025, 2047, max_units(item)):
        for batch, processors in ((1, 132), (200, 132), (5000, 108)):
            s = adjoint_shape(dtype, units, 1, True, batch, processors, shared)
            width = pad(units)
            assert s.threads % 32 == 0
            assert 32 <= s.threads <= 1024
            assert s.splits * (width // s.vector) <= s.threads
            assert s.splits * s.rows >= units
            assert (s.splits - 1) * s.rows < units, "a part without rows"
            assert s.register_rows + s.shared_rows <= s.rows
            assert {n % s.vector for n in (s.rows, s.register_rows, s.shared_rows)} == {0}
            assert adjoint_shared_bytes(s) <= shared
            assert -(-s.samples * width // s.threads) <= 4
    assert scan_shared_bytes(ScanShape(dtype, max_units(item), 0, True, 1024, 16)) <= 48 * KB


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_dense_input_of_many_channels(backend, bias, recurrent):
    """More than the scan multiplies itself: one matrix product beforehand, to which the scan adds the bias."""
    network = Network(20, (Layer("h", "brf", 33, recurrent=recurrent, bias=bias), Layer("out", "li", 3, False, bias)))
    rng = np.random.default_rng(5)
    weights = network.initialise(1, np.float64)
    weights |= {name: value * 60 for name, value in weights.items() if name.startswith("h.w")}
    if bias:
        weights |= {"h.bias": rng.normal(0, 10, 33), "out.bias": rng.normal(0, 1, 3)}
    x, bar = rng.uniform(0, 1, (21, 4, 20)), rng.normal(0, 1, (21, 4, 3))
    results = []
    for engine in (backend, ReferenceBackend()):
        trace = engine.scan(network, weights, x, record=["h.u", "h.z"], differentiate=True)
        results.append((trace, engine.scan_vjp(trace, bar, input_grad=True, initial_state_grad=True)))
    (trace, gradients), (wanted, expected) = results
    np.testing.assert_array_equal(trace.records["h.z"], wanted.records["h.z"])
    assert wanted.records["h.z"].mean() > 0.02
    assert_close(trace.records["h.u"], wanted.records["h.u"], "float64", "u")
    assert_close(trace.outputs, wanted.outputs, "float64", "outputs")
    assert_gradients_close(gradients, expected, "float64", False)


@pytest.mark.parametrize("neuron", ["brf", "li"])
def test_units_that_do_not_hear_each_other_lie_in_several_blocks(shim, neuron):
    """As many neurons as one simulates at a time: no limit, and a thread never has more than one."""
    network = Network(2, (Layer("h", neuron, 700, recurrent=False),))
    rng = np.random.default_rng(2)
    weights = network.initialise(1, np.float64)
    weights["h.w_in"] = rng.normal(0, 60, (700, 2))
    x, bar = rng.uniform(0, 1, (21, 3, 2)), rng.normal(0, 1, (21, 3, 700))
    state = {name: rng.uniform(0, 0.5, (3, 700)) for name in ("h.u",)}
    record = [f"h.{s}" for s in network.layers[0].spec.states]
    results = []
    for backend in (shim(), ReferenceBackend()):
        trace = backend.scan(network, weights, x, initial_state=state, record=record, differentiate=True)
        results.append((trace, backend.scan_vjp(trace, bar, input_grad=True, initial_state_grad=True)))
    (trace, gradients), (wanted, expected) = results
    assert_close(trace.outputs, wanted.outputs, "float64", "outputs")
    for name in record:
        assert_close(trace.records[name], wanted.records[name], "float64", name)
    assert {n: c.tolist() for n, c in trace.spike_counts.items()} == {
        n: c.tolist() for n, c in wanted.spike_counts.items()
    }
    assert_gradients_close(gradients, expected, "float64", False)


def test_too_many_units_are_refused(shim):
    network = recurrent_network(1, (5000,), 1, "brf")
    weights = network.initialise(0, np.float32)
    with pytest.raises(BrfkitError, match="layer hidden0 has 5000 units; backend cupy takes up to 4096"):
        shim().scan(network, weights, np.zeros((1, 1, 1), np.float32))


def test_sum_of_rows_is_exact_in_any_shape(shim):
    device = shim().device
    rng = np.random.default_rng(4)
    for rows, columns in ((0, 5), (1, 1), (7, 31), (8, 32), (65, 33), (300, 70)):
        matrix = rng.integers(-50, 50, (rows, columns)).astype(np.float32)
        with device.active():
            total = Helpers(device, "float32").sum_rows(device.to_device(matrix))
        np.testing.assert_array_equal(np.asarray(total), matrix.sum(0))
