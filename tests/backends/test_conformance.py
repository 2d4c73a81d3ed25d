"""Every backend against the reference, over the networks in :mod:`cases`.

float64: the same operations in another order of summation. A sum of n terms differs by at most n eps relative to the
sum of magnitudes, and T <= 70 steps of a recurrence that amplifies by at most ~10 per case here make some 1e-13;
the bound is 1e-10. Spikes must be equal.

float32: eps is 1.2e-7, so the same estimate gives some 1e-5 relative to the largest entry; the bound is 1e-3, because a
gradient through ~100 steps amplifies the rounding of the states as well. A membrane value that close to the threshold
may flip a spike, and then the sample follows another course. Such samples are counted, held below ``FLIPPED``, and
taken out of the comparison on both sides (their cotangents are set to 0); they are never covered by the tolerance.
"""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.base import Backend, Gradients, Trace
from brfkit.backends.numba_cpu.layout import tile_size
from brfkit.backends.numba_cpu.templates import DENSE_SHARE

from .cases import RUNS, Case, Problem, cotangents, problem, reference_gradients, reference_scan

TOLERANCE = {"float64": 1e-10, "float32": 1e-3}
# Share of samples with a flipped spike, rounded up. A decision flips when |u - θ| is below the rounding error of u,
# about 1e-6 of its range, so the largest batch (17 x 70 x 33 decisions) meets one in about one of twenty-five.
FLIPPED = 0.1
BACKENDS = ("numba", "torch")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param, threads=2 if request.param == "numba" else None)


@pytest.fixture(params=RUNS, ids=lambda run: f"{run[0]}-{run[1]}")
def run(request: pytest.FixtureRequest) -> tuple[Case, str]:
    return request.param


def scan(backend: Backend, p: Problem, **changes: object) -> Trace:
    arguments = {"initial_state": p.state, "record": p.record, "differentiate": True} | changes
    return backend.scan(p.network, p.weights, p.signal, **arguments)


def unflipped(p: Problem, dtype: str, trace: Trace, expected: Trace, log) -> np.ndarray:
    """Samples [B] whose spikes are those of the reference."""
    same = np.ones(p.x.shape[1], bool)
    for layer in p.network.spiking_layers:
        name = f"{layer.name}.z"
        same &= (trace.records[name] == expected.records[name]).all((0, 2))
    flipped = int((~same).sum())
    log("flipped", (dtype, flipped, same.size))
    allowed = int(np.ceil(FLIPPED * same.size)) if dtype == "float32" else 0
    assert flipped <= allowed, f"{flipped} of {same.size} samples spike differently"
    return same


def assert_close(got: np.ndarray, wanted: np.ndarray, dtype: str, what: str) -> None:
    """Error relative to the largest entry."""
    assert got.shape == wanted.shape, what
    assert got.dtype == dtype, f"{what} is {got.dtype}"
    assert np.isfinite(got).all(), what
    scale = max(1e-3, np.abs(wanted).max(initial=0.0))
    error = np.abs(got - wanted).max(initial=0.0) / scale
    assert error < TOLERANCE[dtype], f"{what}: {error:.1e} of {scale:.1e}"


def assert_gradients_close(got: Gradients, wanted: Gradients, dtype: str, from_events: bool) -> None:
    assert list(got.weights) == list(wanted.weights)
    for name, value in wanted.weights.items():
        assert_close(got.weights[name], value, dtype, f"gradient of {name}")
    if not from_events:
        assert_close(got.input, wanted.input, dtype, "gradient of the input")
    assert got.initial_state.keys() == wanted.initial_state.keys()
    for name, value in wanted.initial_state.items():
        assert_close(got.initial_state[name], value, dtype, f"gradient of initial {name}")


def test_equals_the_reference_forward_and_backward(backend, run, record_property):
    case, dtype = run
    p, expected = problem(case, dtype), reference_scan(case, dtype)
    trace = scan(backend, p)
    keep = unflipped(p, dtype, trace, expected, record_property)

    assert_close(trace.outputs[:, keep], expected.outputs[:, keep], dtype, "outputs")
    assert trace.records.keys() == expected.records.keys()
    for name in p.record:
        assert_close(trace.records[name][:, keep], expected.records[name][:, keep], dtype, f"record of {name}")
        assert_close(trace.final_state[name][keep], expected.final_state[name][keep], dtype, f"final {name}")
        np.testing.assert_array_equal(trace.records[name][-1], trace.final_state[name])
    for name, count in trace.spike_counts.items():
        assert count.dtype == np.int64
        np.testing.assert_array_equal(count[keep], expected.spike_counts[name][keep])

    gradients = backend.scan_vjp(trace, **cotangents(p, keep), input_grad=not case.events, initial_state_grad=True)
    assert_gradients_close(gradients, reference_gradients(case, dtype, keep), dtype, case.events)


def test_the_cases_meet_both_recurrent_products():
    """The numba backend gathers rows of W_rec, or multiplies where more than a share of the neurons of a tile spike."""
    shares = []
    for case, dtype in RUNS:
        z = reference_scan(case, dtype).records["h0.z"]
        size = tile_size(case.batch)
        if case.recurrent:
            shares += [z[t, i : i + size].mean() for t in range(case.steps - 1) for i in range(0, case.batch, size)]
    assert np.sum(np.array(shares) > DENSE_SHARE) > 50
    assert np.sum(np.array(shares) < DENSE_SHARE) > 50


def test_split_sequence_equals_one_scan(backend, run):
    """The final state of the first part, spikes included, is all that the second part needs."""
    case, dtype = run
    p = problem(case, dtype)
    middle = case.steps // 2
    if case.events or middle == 0:
        pytest.skip("one step, or events (the dense input of the same network is cut)")
    whole = scan(backend, p, differentiate=False)
    first = backend.scan(p.network, p.weights, p.x[:middle], initial_state=p.state)
    second = backend.scan(p.network, p.weights, p.x[middle:], initial_state=first.final_state)
    exact = backend.name == "numba"  # torch may sum a matrix product of other shape in another order
    for got, wanted in (
        (np.concatenate([first.outputs, second.outputs]), whole.outputs),
        *((second.final_state[name], whole.final_state[name]) for name in p.record),
    ):
        if exact:
            np.testing.assert_array_equal(got, wanted)
        elif dtype == "float64":
            assert_close(got, wanted, dtype, "split")


def test_differentiate_and_record_change_nothing(backend, run):
    case, dtype = run
    p = problem(case, dtype)
    full, bare = scan(backend, p), scan(backend, p, record=(), differentiate=False)
    assert bare.records == {}
    assert bare.saved is None
    np.testing.assert_array_equal(full.outputs, bare.outputs)
    for name in p.record:
        np.testing.assert_array_equal(full.final_state[name], bare.final_state[name])
    for name, count in full.spike_counts.items():
        np.testing.assert_array_equal(count, bare.spike_counts[name])


def test_repeated_vjp_on_one_trace_gives_the_same(backend, run):
    case, dtype = run
    p = problem(case, dtype)
    trace = scan(backend, p)
    arguments = cotangents(p, np.ones(case.batch, bool)) | {"initial_state_grad": True, "input_grad": not case.events}
    copies = {name: bar.copy() for name, bar in arguments["final_state_grad"].items()}
    first, second = (backend.scan_vjp(trace, **arguments) for _ in range(2))
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name], err_msg=name)
    for name, value in first.initial_state.items():
        np.testing.assert_array_equal(value, second.initial_state[name], err_msg=name)
        np.testing.assert_array_equal(arguments["final_state_grad"][name], copies[name], err_msg="changed in place")
    if not case.events:
        np.testing.assert_array_equal(first.input, second.input)


def test_gradients_are_linear_in_the_cotangents(backend):
    """Output and final-state cotangents alone add up to both together; none at all gives 0."""
    case = next(case for case, _ in RUNS if case.name == "brf")
    p = problem(case, "float64")
    trace = scan(backend, p)
    both = cotangents(p, np.ones(case.batch, bool))
    parts = [
        backend.scan_vjp(trace, both["output_grad"]),
        backend.scan_vjp(trace, None, final_state_grad=both["final_state_grad"]),
    ]
    together = backend.scan_vjp(trace, **both)
    nothing = backend.scan_vjp(trace, None, input_grad=True)
    for name, value in together.weights.items():
        assert_close(parts[0].weights[name] + parts[1].weights[name], value, "float64", name)
        assert not nothing.weights[name].any()
    assert not nothing.input.any()
    assert together.input is None
    assert together.initial_state is None
