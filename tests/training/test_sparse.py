"""Sparse connections: which weights connect, that the others stay 0, and that gradients agree on all backends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import brfkit
from brfkit.analysis.landscape.directions import random_directions
from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint, save_checkpoint
from brfkit.checkpoints.schema import check_description
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network
from brfkit.nn import NetworkModule
from brfkit.runs.config import OPTIMIZERS, Config
from brfkit.runs.resolve import parse_settings, resolve
from brfkit.training.run import train
from brfkit.training.trainer import Trainer

SPARSE = """
[data]
dataset = "tones"
limit_train = 60
limit_test = 10

[training]
epochs = 2
batch_size = 20
dtype = "float64"
average = 0.9
weight_decay = 0.1
accumulate = 2

[network]
readout = "li"

[[network.layers]]
neuron = "brf"
units = 11
density = 0.5
init = { w_in = ["normal", 0, 60], w_rec = ["normal", 0, 5] }

[[network.layers]]
neuron = "alif"
units = 7
recurrent = false
init = { w_in = ["uniform", 0, 2] }
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "sparse.toml"
    file.write_text(SPARSE)
    return resolve(file=file)


def built(config, inputs=4, outputs=3):
    network = config.network.build(inputs, outputs, config.training.seed)
    return network, network.initialise(3, np.float64, config.network.initial_distributions())


def outside(network, weights):
    """What the weights hold where nothing connects."""
    return np.concatenate([weights[name][~mask] for name, mask in network.masks().items()])


def test_masks_follow_from_seed_and_name_alone(config):
    network, weights = built(config)
    masks = network.masks()
    assert {name: mask.shape for name, mask in masks.items()} == {"hidden0.w_in": (11, 4), "hidden0.w_rec": (11, 11)}
    assert 0.3 < np.mean(masks["hidden0.w_rec"]) < 0.7
    assert not np.array_equal(masks["hidden0.w_rec"][:, :4], masks["hidden0.w_in"])
    other = config.network.build(4, 3, config.training.seed + 1).masks()
    assert not np.array_equal(masks["hidden0.w_rec"], other["hidden0.w_rec"])
    assert network.parameter_count() == sum(w.size for w in weights.values()) - sum((~m).sum() for m in masks.values())
    large = Network(1, (Layer("a", "brf", 400, density={"w_rec": 0.1}),)).masks()
    assert list(large) == ["a.w_rec"]
    assert abs(np.mean(large["a.w_rec"]) - 0.1) < 4 * np.sqrt(0.09 / 400**2)


def test_weights_that_connect_are_those_of_the_dense_network():
    dense = Network(3, (Layer("a", "brf", 9), Layer("out", "li", 2, recurrent=False)))
    sparse = replace(dense, layers=(replace(dense.layers[0], density=0.4, mask_seed=5), dense.layers[1]))
    one, other, masks = dense.initialise(1), sparse.initialise(1), sparse.masks()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], np.where(masks.get(name, True), value, 0), strict=True)


def test_descriptions_of_sparse_layers_only_say_so(tmp_path, config):
    network, weights = built(config)
    described = network.to_dict()["layers"]
    assert described[0]["density"] == {"w_in": 0.5, "w_rec": 0.5}
    assert "density" not in described[1]
    check_description(network.to_dict())
    assert Network.from_dict(network.to_dict()) == network
    brfkit.TrainedNetwork(network, weights).save(tmp_path / "a.npz")
    stored = load_checkpoint(tmp_path / "a.npz")
    assert stored.network == network
    assert not outside(network, stored.weights).any()
    full = {name: np.where(value == 0, 1.0, value) for name, value in weights.items()}
    with pytest.raises(BrfkitError, match=r"hidden0\.w_in is not 0 where its density leaves no connection"):
        save_checkpoint(tmp_path / "b.npz", replace(stored, weights=full))
    assert not (tmp_path / "b.npz").exists()


def test_gradients_agree_on_all_backends(config):
    network, weights = built(config)
    rng = np.random.default_rng(0)
    x, bar = rng.normal(size=(60, 5, 4)), rng.normal(size=(60, 5, 3))
    found = {}
    for name in ("reference", "torch", "numba"):
        backend = get_backend(name)
        trace = backend.scan(network, weights, x, differentiate=True)
        assert all(counts.sum() > 20 for counts in trace.spike_counts.values())
        found[name] = backend.scan_vjp(trace, bar, input_grad=True)
    for name in ("torch", "numba"):
        for weight, value in found["reference"].weights.items():
            tolerance = 1e-10 * max(1.0, np.abs(value).max())
            np.testing.assert_allclose(found[name].weights[weight], value, rtol=1e-10, atol=tolerance, err_msg=weight)
        np.testing.assert_allclose(found[name].input, found["reference"].input, rtol=1e-10, atol=1e-10)
    for gradients in found.values():
        assert not outside(network, gradients.weights).any()
        assert gradients.weights["hidden0.w_rec"].any()
    for backend in ("torch", "numba"):
        module = NetworkModule(network, weights, backend)
        module(torch.from_numpy(x)).backward(torch.from_numpy(bar))
        for name, parameter in module.weight_tensors().items():
            value = found["reference"].weights[name]
            tolerance = 1e-10 * max(1.0, np.abs(value).max())
            np.testing.assert_allclose(parameter.grad.numpy(), value, rtol=1e-10, atol=tolerance, err_msg=name)


def test_a_module_takes_what_does_not_connect_for_0(config):
    network, weights = built(config)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 2, 4)))
    module = NetworkModule(network, weights, "numba")
    wanted = module(x).detach()
    assert not any("mask" in name for name in module.state_dict())
    with torch.no_grad():
        module.hidden0__w_rec[torch.from_numpy(~network.masks()["hidden0.w_rec"])] = 3.0
    for backend in ("numba", "torch"):
        module.backend = backend
        torch.testing.assert_close(module(x), wanted, rtol=1e-12, atol=1e-12)
    assert not outside(network, module.weights()).any()
    other = NetworkModule(replace(network, layers=(replace(network.layers[0], mask_seed=9), *network.layers[1:])))
    with pytest.raises(RuntimeError, match=r"hidden0\.mask_seed is 0 there and 9 here"):
        other.load_state_dict(module.state_dict())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_does_not_connect_stays_0(config, optimizer):
    data = load("tones", limit_train=40, limit_test=5)
    config = replace(config, training=replace(config.training, optimizer=optimizer, learning_rate=0.01))
    network, weights = built(config, data.channels, data.classes)
    trainer = Trainer(config, data, network, weights, get_backend("numba", threads=1))
    trainer.train_epoch()
    for found in (trainer.weights(), trainer.module.weights()):
        assert not outside(network, found).any()
        mask = network.masks()["hidden0.w_rec"]
        assert np.any(found["hidden0.w_rec"][mask] != weights["hidden0.w_rec"][mask])
    for name, parameter in trainer.module.weight_tensors().items():
        assert not parameter.detach().numpy()[~network.masks().get(name, np.ones(parameter.shape, bool))].any()


def test_training_repeats_and_resumes_bit_for_bit(config, tmp_path):
    backend = get_backend("numba", threads=1)
    whole = train(config, tmp_path / "whole", backend)
    train(config, tmp_path / "again", get_backend("numba", threads=2))
    done = []
    train(config, tmp_path / "parts", backend, stop=lambda: bool(done) or done.append(1))  # after one epoch
    assert load_checkpoint(tmp_path / "parts" / "last.npz").meta["epoch"] == 1
    train(config, tmp_path / "parts", backend, resume=True)
    first = load_checkpoint(tmp_path / "whole" / "last.npz")
    assert not outside(first.network, first.weights).any()
    assert first.network.masks().keys() == {"hidden0.w_in", "hidden0.w_rec"}
    for name in ("again", "parts"):
        other = load_checkpoint(tmp_path / name / "last.npz")
        assert first.network == other.network
        for ours, theirs in ((first.weights, other.weights), (first.extra, other.extra)):
            assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}
    assert whole.parameters == first.network.parameter_count()
    dense = replace(config, network=replace(config.network, layers=(
        replace(config.network.layers[0], density={}), config.network.layers[1])))  # fmt: skip
    train(dense, tmp_path / "dense", backend)
    start = replace(config.network, start_from=str(tmp_path / "dense"))
    train(replace(config, network=start), tmp_path / "pruned", backend)
    pruned = load_checkpoint(tmp_path / "pruned" / "last.npz")
    assert not outside(pruned.network, pruned.weights).any()


def test_landscapes_stay_within_the_weights_that_connect(config):
    network, weights = built(config)
    found = random_directions(network, weights, "weights", 1)
    for vector in found.vectors:
        assert not outside(network, vector).any()
        rows = np.linalg.norm(weights["hidden0.w_rec"], axis=1)
        np.testing.assert_allclose(np.linalg.norm(vector["hidden0.w_rec"], axis=1), rows, rtol=1e-12)
    network.check(found.point(weights, (0.3, -0.2), np.float64))


def test_density_of_all_hidden_layers():
    settings = parse_settings(["network.density=0.5", "network.hidden=[6,5]", "network.recurrent=false"])
    config = resolve("tones", "brf", overrides=settings)
    first, second, readout = config.network.build(4, 3, 8).layers
    assert first.density == second.density == {"w_in": 0.5}
    assert (first.mask_seed, readout.density) == (8, {})
    assert Config.from_dict(config.to_dict()) == config
    assert config.network.initial_distributions().keys() >= {"hidden0.omega", "hidden1.omega"}
    by_name = resolve("tones", "brf", overrides=parse_settings(["network.density.w_rec=0.2", "network.mask_seed=3"]))
    assert by_name.network.build(4, 3, 8).layers[0].density == {"w_rec": 0.2}
    assert by_name.network.build(4, 3, 8).layers[0].mask_seed == 3


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({"density": 0}, r"network\.density must be above 0 and at most 1, not 0"),
        ({"density": 1.5}, r"network\.density must be above 0 and at most 1, not 1\.5"),
        ({"density": "half"}, r"network\.density must be a number, not 'half'"),
        ({"density": {"w_out": 0.5}}, r"network\.density\.w_out: density is of w_in and w_rec"),
        ({"density": 0.001, "hidden": [2]}, r"density of 0\.001 leaves none of the 6 weights of hidden0\.w_in"),
        ({"density": 0.5, "mask_seed": -1}, r"network\.mask_seed must be from 0 to"),
        ({"layers": [{"units": 3, "density": 2}]}, r"network\.layers\[0\]\.density must be above 0 and at most 1"),
        (
            {"layers": [{"units": 3, "density": {"w_rec": 0.5}, "recurrent": False}]},
            r"network\.layers\[0\]: layer hidden0: density is of w_in, not of 'w_rec'",
        ),
    ],
)
def test_refused(network, text):
    with pytest.raises(BrfkitError, match=text) as error:
        Config.from_dict({"network": network}).network.build(3, 2).initialise(0)
    assert "\n" not in str(error.value)
