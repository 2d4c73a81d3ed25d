"""The description of a network, its weights by name, and its way to plain values and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, recurrent_network
from brfkit.neurons import Normal, Uniform


@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "count"), [(1, 256, 10, 68_874), (700, 128, 20, 108_820), (4, 36, 6, 1_734)]
)
def test_parameter_counts_of_the_paper(inputs, hidden, outputs, count):
    assert recurrent_network(inputs, [hidden], outputs).parameter_count() == count


def test_shapes_in_the_order_of_the_layers():
    network = recurrent_network(4, [5, 3], 2, "alif", bias=True)
    assert network.shapes() == {
        **{"hidden0.w_in": (5, 4), "hidden0.w_rec": (5, 5), "hidden0.bias": (5,)},
        **{"hidden0.tau_mem": (5,), "hidden0.tau_adp": (5,)},
        **{"hidden1.w_in": (3, 5), "hidden1.w_rec": (3, 3), "hidden1.bias": (3,)},
        **{"hidden1.tau_mem": (3,), "hidden1.tau_adp": (3,)},
        **{"readout.w_in": (2, 3), "readout.tau_mem": (2,)},
    }
    assert network.outputs == 2
    assert [layer.name for layer in network.spiking_layers] == ["hidden0", "hidden1"]
    assert "hidden0.w_rec" not in recurrent_network(4, [5], 2, recurrent=False).shapes()


def test_initialise_draws_both_matrices_as_one():
    """Xavier-uniform of the H x (I + H) matrix: bound sqrt(6 / (I + H + H)) for both parts."""
    network = recurrent_network(40, [100], 10, bias=True)
    weights = network.initialise(1)
    bound = np.sqrt(6 / (40 + 100 + 100))
    for name in ("hidden0.w_in", "hidden0.w_rec"):
        assert 0.99 * bound < np.abs(weights[name]).max() <= bound * (1 + 1e-6)
        assert abs(weights[name].mean()) < 0.1 * bound
    readout = np.sqrt(6 / (100 + 10))
    assert 0.98 * readout < np.abs(weights["readout.w_in"]).max() <= readout * (1 + 1e-6)
    assert not weights["hidden0.bias"].any()
    assert 5 <= weights["hidden0.omega"].min() < weights["hidden0.omega"].max() <= 10
    assert all(w.dtype == np.float32 and w.flags.c_contiguous for w in weights.values())
    network.check(weights)


def test_initialise_follows_seed_and_distributions():
    network = recurrent_network(4, [50], 3)
    first, again, other = network.initialise(1), network.initialise(1), network.initialise(2)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert not np.array_equal(first["hidden0.w_in"], other["hidden0.w_in"])
    given = network.initialise(1, np.float64, {"hidden0.omega": Uniform(15, 16)})
    assert 15 <= given["hidden0.omega"].min() < given["hidden0.omega"].max() <= 16
    with pytest.raises(BrfkitError, match=r"hidden1\.omega, which this network does not have"):
        network.initialise(1, init={"hidden1.omega": Uniform(0, 1)})


def test_plain_values_and_back():
    layers = (
        Layer("a", "brf", 5, True, True, {"smooth_reset": False}, {"theta": 0.5}, "linear"),
        Layer("b", "lif", 4, recurrent=False),
        Layer("c", "li", 3, recurrent=False),
    )
    network = Network(7, layers, 0.002)
    again = Network.from_dict(json.loads(json.dumps(network.to_dict())))
    assert again == network
    assert again.layers[0].surrogate_name == "linear"
    assert again.layers[1].surrogate_name == "linear"
    assert again.layers[2].surrogate_name is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("layers"),
        lambda d: d.update(layers=None),
        lambda d: d.update(inputs="many"),
        lambda d: d["layers"][0].pop("units"),
        lambda d: d["layers"][0].update(options=[1]),
        lambda d: d["layers"].append(3),
    ],
)
def test_damaged_plain_values_are_refused(damage):
    data = recurrent_network(4, [5], 3).to_dict()
    damage(data)
    with pytest.raises(BrfkitError, match="not the description of a network"):
        Network.from_dict(data)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Layer("a", "brf", 0), "layer a needs at least one unit, not 0"),
        (lambda: Layer("a", "li", 3), "neuron li does not spike, so it cannot be recurrent"),
        (lambda: Layer("a", "brf", 3, options={"reset": True}), "neuron brf has no option 'reset'"),
        (lambda: Layer("a", "brf", 3, constants={"alpha": 1.0}), "neuron brf has no constant 'alpha'"),
        (lambda: Layer("a", "brf", 3, surrogate="step"), "unknown surrogate 'step'"),
        (lambda: Layer("a", "bfr", 3), "unknown neuron 'bfr'"),
        (lambda: Network(0, (Layer("a", "brf", 3),)), "at least one input channel"),
        (lambda: Network(2, ()), "at least one layer"),
        (lambda: Network(2, (Layer("a", "brf", 3), Layer("a", "brf", 3))), "layer names must differ: a, a"),
        (lambda: Network(2, (Layer("a", "li", 3, False), Layer("b", "brf", 3))), "only the last layer may be without"),
        (lambda: Network(2, (Layer("a", "brf", 3),), dt=0.0), "time step dt must be a positive number"),
    ],
)
def test_impossible_networks_are_refused(make, reason):
    with pytest.raises(BrfkitError, match=reason):
        make()


def test_any_weight_may_be_given_a_distribution() -> None:
    network = recurrent_network(3, [50], 4)
    plain = network.initialise(5, np.float64)
    init = {"hidden0.w_rec": Normal(1.0, 0.5), "readout.tau_mem": Uniform(100, 200)}
    drawn = network.initialise(5, np.float64, init)
    w_rec = drawn["hidden0.w_rec"]
    assert w_rec.shape == (50, 50)
    # mean and deviation of 2500 draws are known to 0.01; five times that
    assert abs(w_rec.mean() - 1.0) < 0.05
    assert abs(w_rec.std() - 0.5) < 0.05
    for name in plain.keys() - init.keys():
        np.testing.assert_array_equal(drawn[name], plain[name])
    with pytest.raises(BrfkitError, match=r"hidden0\.w_out, which this network does not have"):
        network.initialise(5, init={"hidden0.w_out": Normal(0.0, 1.0)})
