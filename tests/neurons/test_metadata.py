"""What a neuron declares about itself is what it does."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.network import Layer, Network
from brfkit.neurons import NEURONS
from brfkit.plotting.traces import threshold
from brfkit.simulation.population import simulate


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_names(neuron):
    assert neuron.membrane in neuron.states
    for term in neuron.threshold_terms:
        assert term.state in neuron.states
        assert term.factor is None or term.factor in neuron.constants
        assert term.option is None or term.option in {option.name for option in neuron.options}
    assert set(neuron.memoryless) <= {p.name for p in neuron.parameters}
    assert all(option.without for option in neuron.options)


@pytest.mark.parametrize(
    ("neuron", "options"),
    [("rf", {}), ("brf", {}), ("brf", {"refractory": False}), ("bhrf", {}), ("lif", {}), ("rf-izhikevich", {})],
)
def test_a_neuron_spikes_where_its_membrane_is_above_its_threshold(neuron, options):
    """Where no reset hides it: a neuron whose membrane is reset spikes at the steps at which it is not above."""
    found = simulate(neuron, steps=400, dtype="float64", backend="reference", options=options, amplitude=400.0)
    level = threshold(found, 0)
    above = found.states[NEURONS[neuron].membrane][:, 0] > level
    z = found.z[:, 0] > 0
    assert 0 < z.sum() < len(z)
    if neuron in ("lif", "rf-izhikevich"):  # reset below the threshold in the same step
        assert not (above & z).all()
    else:
        np.testing.assert_array_equal(above, z)


def test_the_threshold_rises_with_what_is_declared():
    alif = simulate("alif", steps=200, dtype="float64", backend="reference", amplitude=5.0)
    raised = alif.constants["theta"] + alif.constants["beta"] * alif.states["a"][:, 0]
    assert raised.max() > 2 * alif.constants["theta"]
    np.testing.assert_array_equal(threshold(alif, 0), raised)


@pytest.mark.parametrize("name", [n for n, neuron in NEURONS.items() if neuron.memoryless])
def test_memoryless(name, rng):
    layer = Layer("readout", name, 3, recurrent=False)
    network = Network(2, (layer,), 0.01)
    weights = network.initialise(1, np.float64)
    for parameter, value in NEURONS[name].memoryless.items():
        weights[f"readout.{parameter}"] = np.full(3, value)
    x = rng.normal(0, 1, (7, 2, 2))
    out = get_backend("reference").scan(network, weights, x).outputs
    np.testing.assert_allclose(
        out, x @ weights["readout.w_in"].T + weights.get("readout.bias", 0.0), atol=1e-30, rtol=1e-14
    )
