"""Constants that are trained: their weights, their bounds, and that nothing else changes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brfkit.analysis.network.gradients.eigenvalues import linearise
from brfkit.analysis.network.inspect.measures import effective, resonance
from brfkit.backends.reference import ReferenceBackend
from brfkit.checkpoints.native import Checkpoint, load_checkpoint, save_checkpoint
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, recurrent_network
from brfkit.neurons import NEURONS
from brfkit.simulation.population import simulate

TRAINABLE = [(name, one) for name, neuron in NEURONS.items() for one in neuron.trainable]


def scanned(network, weights, x):
    backend = ReferenceBackend()
    trace = backend.scan(network, weights, x, differentiate=True)
    return trace.outputs, backend.scan_vjp(trace, np.ones_like(trace.outputs)).weights


@pytest.mark.parametrize("name", ["brf", "bhrf"])
def test_gamma_begins_at_the_constant_and_changes_nothing_there(name, make_network):
    plain, weights, x = make_network(name, gain=60.0)
    network = recurrent_network(4, (5,), 3, name, trainable=["gamma"])
    assert network.parameter_count() == plain.parameter_count() + 5
    assert network.shapes()["hidden0.gamma"] == (5,)
    own = network.initialise(7, np.float64)
    np.testing.assert_array_equal(own["hidden0.gamma"], 0.9)
    for key, value in plain.initialise(7, np.float64).items():
        np.testing.assert_array_equal(own[key], value)
    given = weights | {"hidden0.gamma": np.full(5, 0.9)}
    (outputs, gradients), (wanted, expected) = scanned(network, given, x), scanned(plain, weights, x)
    np.testing.assert_array_equal(outputs, wanted)
    for key, value in expected.items():
        np.testing.assert_array_equal(gradients[key], value)
    assert (gradients["hidden0.gamma"] != 0).any()


def test_gamma_is_mirrored_at_0_and_1_and_held_below_1(make_network):
    """A step of the optimiser beyond 1, where q would never decay, leaves a gradient that leads back."""
    network, weights, x = make_network("brf", gain=60.0, trainable=["gamma"], steps=40)
    cases = {"inside": 0.75, "minus": -0.75, "beyond": 1.25, "bound": 0.9999, "one": 1.0, "far": -1e9}
    found = {k: scanned(network, weights | {"hidden0.gamma": np.full(5, v)}, x) for k, v in cases.items()}
    outputs, gradients = ({k: f[i] for k, f in found.items()} for i in (0, 1))
    slopes = {k: g["hidden0.gamma"] for k, g in gradients.items()}
    for key in ("minus", "beyond"):
        np.testing.assert_array_equal(outputs[key], outputs["inside"])
        np.testing.assert_array_equal(slopes[key], -slopes["inside"])
    assert (slopes["inside"] != 0).any()
    for key in ("one", "far"):
        np.testing.assert_array_equal(outputs[key], outputs["bound"])
        np.testing.assert_array_equal(slopes[key], 0)
    assert not np.array_equal(outputs["inside"], outputs["bound"])


def test_a_layer_with_another_constant_begins_there():
    layer = Layer("a", "brf", 4, constants={"gamma": 0.7}, options={"train_gamma": True})
    np.testing.assert_array_equal(Network(2, (layer,)).initialise(0, np.float64)["a.gamma"], 0.7)
    assert [p.name for p in layer.parameters] == ["omega", "b_offset", "gamma"]
    assert [p.name for p in Layer("a", "brf", 4).parameters] == ["omega", "b_offset"]


@pytest.mark.parametrize(("name", "one"), TRAINABLE, ids=lambda v: getattr(v, "name", v))
def test_every_trainable_constant_is_one_of_its_neuron(name, one):
    neuron = NEURONS[name]
    value = neuron.constants[one.name]
    assert one.constrain(np.float64(value)) == value, "training begins elsewhere than the constant"
    model = build_model(name, neuron.trainable_options([one.name]))
    assert one.name in model.parameters
    assert one.name in model.derived
    assert one.name not in model.constants
    assert neuron.parameter(one.name).default == value


def test_checkpoint_keeps_both_choices_and_old_ones_load(tmp_path):
    network = recurrent_network(4, [5], 3, discretisation="exact", trainable=["gamma"])
    assert network.layers[0].options == {"train_gamma": True, "discretisation": "exact"}
    assert Network.from_dict(json.loads(json.dumps(network.to_dict()))) == network
    save_checkpoint(tmp_path / "a.npz", Checkpoint(network, network.initialise(0)))
    assert load_checkpoint(tmp_path / "a.npz").network == network
    # What networks without a choice are described by is what it was, so their checkpoints keep their identity.
    plain = recurrent_network(4, [5], 3, options={"smooth_reset": False})
    assert plain.layers[0].options == {"smooth_reset": False}
    assert recurrent_network(4, [5], 3).to_dict()["layers"][0] == {
        **{"name": "hidden0", "neuron": "brf", "units": 5, "recurrent": True, "bias": False},
        **{"options": {}, "constants": {}, "surrogate": None},
    }


def test_analyses_take_the_trained_values():
    network = recurrent_network(4, [5], 3, "brf", trainable=["gamma"], discretisation="exact")
    layer, weights = network.layers[0], network.initialise(0, np.float64)
    weights["hidden0.gamma"] = np.linspace(-0.9, 0.9, 5)
    np.testing.assert_array_equal(effective(layer, weights, 0.01)["gamma"], np.abs(weights["hidden0.gamma"]))
    assert resonance(layer, weights, 0.01).omega == pytest.approx(weights["hidden0.omega"], rel=1e-9)
    own = {p.name: weights[f"hidden0.{p.name}"] for p in layer.parameters}
    step = linearise("brf", own, dt=0.01, options=layer.options, sub_threshold=True)
    np.testing.assert_allclose(step.transition[:, 2, 2], np.abs(own["gamma"]), rtol=1e-15)
    with pytest.raises(BrfkitError, match="neuron brf needs a value of gamma"):
        linearise("brf", {n: own[n] for n in ("omega", "b_offset")}, options=layer.options)
    with pytest.raises(BrfkitError, match="neuron brf has no parameter 'gamma'"):
        linearise("brf", own)


def test_simulated_neurons_may_each_have_their_own():
    how = {"steps": 200, "backend": "reference", "amplitude": 60.0, "stimulus": "step", "omega": 10.0}
    several = simulate(parameters={"gamma": [0.5, 0.9]}, options={"train_gamma": True}, **how)
    for column, gamma in enumerate((0.5, 0.9)):
        one = simulate(constants={"gamma": gamma}, **how)
        np.testing.assert_array_equal(several.states["q"][:, column], one.states["q"][:, 0])
    assert several.spikes > 0
    with pytest.raises(BrfkitError, match="neuron brf has no parameter 'gamma'; it has omega, b_offset"):
        simulate(parameters={"gamma": 0.5}, **how)
