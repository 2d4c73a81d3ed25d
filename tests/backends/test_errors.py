"""What does not fit is refused with a line that says what and where, by every backend alike."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.errors import BrfkitError
from brfkit.events import Events


@pytest.fixture(params=["reference", "numba", "torch"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param)


@pytest.fixture
def setup(make_network):
    return make_network("brf", (5,), inputs=4, steps=6, batch=2)


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 3), (2, 6, 4, 1)])
def test_input_shape(backend, setup, shape):
    network, weights, _ = setup
    with pytest.raises(BrfkitError, match=r"input must have shape \(T, B, 4\)"):
        backend.scan(network, weights, np.zeros(shape))


def test_event_channels_of_another_network(backend, setup):
    network, weights, _ = setup
    with pytest.raises(BrfkitError, match="3 channels, the network takes 4"):
        backend.scan(network, weights, Events.from_dense(np.ones((6, 2, 3))))


@pytest.mark.parametrize("channel", [-1, 4, 1_000_000])
def test_event_channel_out_of_range(backend, setup, channel):
    network, weights, _ = setup
    events = Events(np.array([[0, 1, 1]]), np.array([channel], np.int32), 4)
    with pytest.raises(BrfkitError, match="channels outside 0 … 3"):
        backend.scan(network, weights, events)


@pytest.mark.parametrize("indptr", [[0, 1, 9], [-1, 0, 1]])
def test_event_offsets_out_of_range(backend, setup, indptr):
    network, weights, _ = setup
    with pytest.raises(BrfkitError, match="offsets of the events"):
        backend.scan(network, weights, Events(np.array([indptr]), np.array([1], np.int32), 4))


def test_missing_weight(backend, setup):
    network, weights, x = setup
    del weights["hidden0.omega"]
    with pytest.raises(BrfkitError, match=r"weight hidden0\.omega is missing"):
        backend.scan(network, weights, x)


def test_unknown_weight(backend, setup):
    network, weights, x = setup
    with pytest.raises(BrfkitError, match=r"weight hidden0\.bias does not belong"):
        backend.scan(network, weights | {"hidden0.bias": np.zeros(5)}, x)


def test_weight_shape(backend, setup):
    network, weights, x = setup
    with pytest.raises(BrfkitError, match=r"weight hidden0\.w_in has shape \(4, 5\), this network needs \(5, 4\)"):
        backend.scan(network, weights | {"hidden0.w_in": np.zeros((4, 5))}, x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weight_that_is_not_finite(backend, setup, value):
    network, weights, x = setup
    weights["hidden0.w_rec"][1, 2] = value
    with pytest.raises(BrfkitError, match=r"hidden0\.w_rec holds values that are not finite"):
        backend.scan(network, weights, x)


@pytest.mark.parametrize("name", ["numba", "torch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
def test_mixed_or_foreign_dtypes(name, setup, dtype):
    network, weights, x = setup
    with pytest.raises(
        BrfkitError, match=f"all float64, not float64, {np.dtype(dtype)}|not {np.dtype(dtype)}, float64"
    ):
        get_backend(name).scan(network, weights | {"hidden0.omega": weights["hidden0.omega"].astype(dtype)}, x)


@pytest.mark.parametrize("name", ["u", "hidden0.a", "hidden1.u", "readout.z"])
def test_unknown_state_names(backend, setup, name):
    network, weights, x = setup
    with pytest.raises(BrfkitError, match=f"record '{name}' is not a state.*hidden0.u"):
        backend.scan(network, weights, x, record=[name])
    with pytest.raises(BrfkitError, match=f"initial state '{name}' is not a state"):
        backend.scan(network, weights, x, initial_state={name: np.zeros((2, 5))})
    trace = backend.scan(network, weights, x, differentiate=True)
    with pytest.raises(BrfkitError, match=f"'{name}' is not a state"):
        backend.scan_vjp(trace, None, final_state_grad={name: np.zeros((2, 5))})


def test_initial_state_shape(backend, setup):
    network, weights, x = setup
    with pytest.raises(BrfkitError, match=r"hidden0\.u has shape \(5, 2\), not \(2, 5\)"):
        backend.scan(network, weights, x, initial_state={"hidden0.u": np.zeros((5, 2))})


def test_output_grad_shape(backend, setup):
    network, weights, x = setup
    trace = backend.scan(network, weights, x, differentiate=True)
    with pytest.raises(BrfkitError, match=r"output_grad has shape \(2, 3\), not \(6, 2, 3\)"):
        backend.scan_vjp(trace, np.zeros((2, 3)))


def test_events_have_no_gradient(backend, setup):
    network, weights, _ = setup
    trace = backend.scan(network, weights, Events.from_dense(np.ones((6, 2, 4))), differentiate=True)
    with pytest.raises(BrfkitError, match="events have no gradient"):
        backend.scan_vjp(trace, None, input_grad=True)


def test_trace_without_what_the_gradient_needs(backend, setup):
    network, weights, x = setup
    with pytest.raises(BrfkitError, match="differentiate=True"):
        backend.scan_vjp(backend.scan(network, weights, x), None)


@pytest.mark.parametrize(("steps", "batch"), [(0, 2), (6, 0)])
def test_empty_batches_and_sequences(backend, setup, steps, batch):
    """Nothing to compute: states stay, gradients of weights are 0."""
    network, weights, x = setup
    x = x[:steps, :batch]
    state = {"hidden0.u": np.full((batch, 5), 0.5)}
    trace = backend.scan(network, weights, x, initial_state=state, record=["hidden0.u"], differentiate=True)
    assert trace.outputs.shape == (steps, batch, 3)
    assert trace.records["hidden0.u"].shape == (steps, batch, 5)
    assert trace.spike_counts["hidden0"].tolist() == [0] * batch
    gradients = backend.scan_vjp(trace, np.zeros_like(trace.outputs), final_state_grad=state, initial_state_grad=True)
    assert not any(value.any() for value in gradients.weights.values())
    if steps == 0:
        np.testing.assert_array_equal(trace.final_state["hidden0.u"], state["hidden0.u"])
        np.testing.assert_array_equal(gradients.initial_state["hidden0.u"], state["hidden0.u"])
