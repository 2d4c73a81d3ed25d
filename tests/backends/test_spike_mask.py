"""Scans with a spike mask: forward and back like autograd through the same network with the same spikes taken away.

The reference is the eager loop in float64, in which a spike is multiplied by 0 or 1 before the recurrence and the next
layer see it. The bound is that of the conformance battery, 1e-10 of the largest entry; spikes must be equal. The shapes
are those of the tests of robustness, so that few kernels are compiled.
"""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError

TOLERANCE = 1e-10


def mask_of(batch, probability=0.3):
    return SpikeMask.of_samples(probability, 5, 0, batch)


def assert_close(got, wanted, what):
    assert np.isfinite(got).all(), what
    error = np.abs(got - wanted).max() / max(1e-3, np.abs(wanted).max())
    assert error < TOLERANCE, f"{what}: {error:.1e}"


def problem(make_network, rng, neuron):
    """Two hidden layers that fill no vector, two tiles, several segments, states and spikes at the start."""
    network, weights, x = make_network(neuron, (19, 6), gain=150.0, steps=40, batch=11)
    state = {}
    for layer in network.layers:
        symbols = (*layer.spec.states, *(("z",) if layer.spec.spiking else ()))
        shape = (11, layer.units)
        state |= {f"{layer.name}.{s}": 0.2 * rng.random(shape) for s in symbols}
        if layer.spec.spiking:
            state[f"{layer.name}.z"] = (rng.random(shape) < 0.3).astype(float)
    output_bar = rng.normal(0, 1, (40, 11, network.outputs))
    state_bar = {name: rng.normal(0, 1, value.shape) for name, value in state.items()}
    return network, weights, x, state, output_bar, state_bar


@pytest.mark.parametrize("neuron", ["brf", "alif"])
def test_values_and_gradients_are_those_of_autograd(make_network, rng, neuron):
    """ALIF keeps its last spike as a state of its own, which has to stay apart from the spike after the mask."""
    network, weights, x, state, output_bar, state_bar = problem(make_network, rng, neuron)
    results = []
    for backend in (get_backend("numba", threads=2), get_backend("torch")):
        trace = backend.scan(
            network, weights, x, initial_state=state, record=["hidden0.u"], differentiate=True, spike_mask=mask_of(11)
        )
        wanted = {"final_state_grad": state_bar, "input_grad": True, "initial_state_grad": True}
        results.append((trace, backend.scan_vjp(trace, output_bar, **wanted)))
    (trace, got), (expected, wanted) = results
    plain = get_backend("torch").scan(network, weights, x, initial_state=state)
    assert (expected.outputs != plain.outputs).mean() > 0.5
    for name, count in expected.spike_counts.items():
        np.testing.assert_array_equal(trace.spike_counts[name], count)
        assert 0 < count.sum() < plain.spike_counts[name].sum()
    assert_close(trace.outputs, expected.outputs, "outputs")
    assert_close(trace.records["hidden0.u"], expected.records["hidden0.u"], "record")
    for name, value in expected.final_state.items():
        assert_close(trace.final_state[name], value, f"final {name}")
    for name, value in wanted.weights.items():
        assert_close(got.weights[name], value, f"gradient of {name}")
    assert_close(got.input, wanted.input, "gradient of the input")
    for name, value in wanted.initial_state.items():
        assert_close(got.initial_state[name], value, f"gradient of initial {name}")


def test_threads_and_batch_change_nothing(make_network, rng):
    network, weights, x, _, output_bar, _ = problem(make_network, rng, "brf")
    mask = mask_of(11)
    gradients = []
    for threads in (1, 3):
        backend = get_backend("numba", threads=threads)
        trace = backend.scan(network, weights, x, differentiate=True, spike_mask=mask)
        gradients.append(backend.scan_vjp(trace, output_bar, input_grad=True))
    for name, value in gradients[0].weights.items():
        np.testing.assert_array_equal(gradients[1].weights[name], value, err_msg=name)
    order = rng.permutation(11)
    moved = SpikeMask(mask.probability, mask.keys[order])
    other = backend.scan(network, weights, x[:, order], spike_mask=moved)
    np.testing.assert_array_equal(other.outputs, trace.outputs[:, order])


def test_kept_is_the_complement_of_dropped(rng):
    mask = mask_of(5)
    kept = mask.kept(1, 30, 40)
    assert abs(kept.mean() - 0.7) < 0.03  # 6,000 draws: standard deviation 0.006
    t, b, h = 7, np.array([0, 3, 4]), np.array([39, 0, 12])
    np.testing.assert_array_equal(mask.dropped(b, 1, t, h), ~kept[t, b, h])
    assert not np.array_equal(mask.kept(0, 30, 40), kept)
    later = mask.after(30)
    assert mask.after(0) is mask
    # Two independent draws agree at 0.7² + 0.3² = 0.58 of the places.
    assert abs((later.kept(1, 30, 40) == kept).mean() - 0.58) < 0.04
    some = SpikeMask.of_numbers(0.3, 5, np.array([4, 0]))
    np.testing.assert_array_equal(some.keys, mask.keys[[4, 0]])


def test_a_backend_that_cannot_is_refused(make_network):
    from torch import from_numpy

    from brfkit.nn.function import scan

    network, weights, x = make_network("brf")
    tensors = {name: from_numpy(value) for name, value in weights.items()}
    with pytest.raises(BrfkitError, match="backend reference cannot drop spikes"):
        scan(get_backend("reference"), network, tensors, from_numpy(x), spike_mask=mask_of(2))
