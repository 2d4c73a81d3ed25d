"""Networks that are described layer by layer: configuration, training, and what is refused."""

import json

import numpy as np
import pytest

import brfkit
from brfkit.analysis.runs.labels import name_groups
from brfkit.backends import get_backend
from brfkit.checkpoints.native import load_checkpoint
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.neurons import Uniform
from brfkit.runs.config import Config, NetworkConfig
from brfkit.runs.layers import LayerConfig
from brfkit.runs.resolve import parse_settings, resolve
from brfkit.training.lstm import build_lstm
from brfkit.training.run import train as train_in_folder

MIXED = """
[data]
dataset = "tones"
limit_train = 60
limit_test = 10

[training]
epochs = 2
dtype = "float64"

[network]
readout = "li"

[[network.layers]]
neuron = "BRF"
units = 12
recurrent = true
constants = { gamma = 0.8 }
discretisation = "exact"
trainable = ["theta"]
init = { omega = ["uniform", 5, 30], w_in = ["normal", 0, 30] }

[[network.layers]]
neuron = "alif"
units = 7
recurrent = false
bias = true
surrogate = "sigmoid"
init = { w_in = ["uniform", 0, 2] }
"""


@pytest.fixture
def mixed(tmp_path):
    file = tmp_path / "mixed.toml"
    file.write_text(MIXED)
    return file


def test_layers_of_a_file(mixed):
    config = resolve(file=mixed)
    assert config.network.neuron == "brf"  # that of the first layer, by which the preset is found
    assert (config.network.hidden, config.network.title) == ((12, 7), "brf+alif")
    first, second, readout = config.network.build(3, 10).layers
    assert (first.neuron, first.units, first.recurrent, first.bias) == ("brf", 12, True, False)
    assert first.constants == {"gamma": 0.8}
    assert first.options == {"discretisation": "exact", "train_theta": True}
    assert (second.neuron, second.recurrent, second.bias, second.surrogate) == ("alif", False, True, "sigmoid")
    assert second.constants == {}
    assert (readout.name, readout.neuron) == ("readout", "li")
    init = config.network.initial_distributions()
    assert init["hidden0.omega"] == Uniform(5.0, 30.0)
    assert [name for name in init if name.startswith("hidden1.")] == ["hidden1.w_in"]  # the preset's are those of BRF
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_a_layer_leaves_out_is_as_the_network_says():
    network = {
        "layers": [{"units": 4}, {"units": 5, "neuron": "brf", "constants": {"theta": 2.0}, "recurrent": True},
                   {"units": 6, "neuron": "lif"}],
        "neuron": "brf", "recurrent": False, "bias": True, "surrogate": "atan", "trainable": ["gamma"],
        "constants": {"gamma": 0.7}, "options": {"refractory": False}, "init": {"omega": ["uniform", 1, 2]},
    }  # fmt: skip
    config = Config.from_dict({"network": network})
    first, second, third, _ = config.network.build(3, 2).layers
    assert first.options == second.options == {"refractory": False, "train_gamma": True}
    assert (first.surrogate, third.surrogate) == ("atan", None)
    assert (first.constants, second.constants, third.constants) == ({"gamma": 0.7}, {"gamma": 0.7, "theta": 2.0}, {})
    assert [layer.recurrent for layer in (first, second, third)] == [False, True, False]
    assert config.network.recurrent_layers == (False, True, False)
    assert third.bias
    assert third.options == {}
    assert set(config.network.initial_distributions()) == {"hidden0.omega", "hidden1.omega"}


def test_equal_layers_are_the_short_form():
    short = NetworkConfig(hidden=(5, 4), constants={"gamma": 0.8}, init={"omega": Uniform(1, 2)})
    long = NetworkConfig(layers=(LayerConfig(5), LayerConfig(4)), constants=short.constants, init=short.init)
    assert long.build(3, 2) == short.build(3, 2) == recurrent_network(3, (5, 4), 2, constants={"gamma": 0.8})
    assert long.initial_distributions() == short.initial_distributions()
    assert long.hidden == short.hidden


def test_layers_made_in_python():
    layer = brfkit.Layer(
        "any", "brf", 6, False, True, {"discretisation": "exact", "train_gamma": True}, {"gamma": 0.5}, "atan"
    )
    config = resolve("tones", overrides={"network": {"layers": [layer, LayerConfig(3, "alif")]}})
    first, second, _ = config.network.build(3, 2).layers
    assert (first.options, first.constants, first.surrogate) == (layer.options, layer.constants, "atan")
    assert (first.recurrent, first.bias, second.neuron) == (False, True, "alif")


def test_the_later_of_hidden_and_layers_counts(mixed):
    assert resolve(file=mixed, overrides={"network": {"hidden": [9]}}).network.neurons == ("brf",)
    layers = parse_settings(['network.layers=[{units=3},{units=4,neuron="lif"}]'])
    assert resolve("ecg", "brf", overrides=layers).network.hidden == (3, 4)
    assert resolve("ecg", overrides=layers).network.title == "brf+lif"


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({"layers": [{}]}, r"network\.layers\[0\]\.units is missing"),
        ({"layers": [{"units": 3}, {"unit": 3}]}, r"network\.layers\[1\]\.unit .* did you mean 'units'"),
        ({"layers": [{"units": 0}]}, r"network\.layers\[0\]\.units must be at least 1, not 0"),
        ({"layers": [{"units": "many"}]}, r"network\.layers\[0\]\.units must be an integer, not 'many'"),
        ({"layers": 3}, r"network\.layers must be a list of tables"),
        ({"layers": [3]}, r"network\.layers\[0\] must be a table of settings, not 3"),
        ({"layers": [{"units": 3, "recurrent": 1}]}, r"network\.layers\[0\]\.recurrent must be true or false"),
        ({"layers": [{"units": 3, "init": {"omega": 3}}]}, r"network\.layers\[0\]\.init\.omega must look like"),
        ({"layers": [{"units": 3}], "hidden": [4]}, r"network\.hidden = \[4\] contradicts network\.layers"),
        ({"layers": [{"units": 3, "neuron": "lif"}], "omega_init": "spectrum"}, "neuron lif has no omega"),
        ({"layers": [{"units": 3, "neuron": "brff"}]}, r"network\.layers\[0\]: unknown neuron 'brff'; did you mean"),
        (
            {"layers": [{"units": 3, "constants": {"tau": 1}}]},
            r"layers\[0\]: neuron brf has no constant 'tau'",
        ),
        (
            {"layers": [{"units": 3, "trainable": ["tau"]}]},
            r"layers\[0\]: neuron brf has no constant 'tau' that can be",
        ),
        ({"layers": [{"units": 3, "options": {"odd": True}}]}, r"layers\[0\]: neuron brf has no option 'odd'"),
        ({"layers": [{"units": 3, "surrogate": "flat"}]}, r"layers\[0\]: .*surrogate 'flat'"),
        ({"layers": [{"units": 3, "neuron": "lif", "discretisation": "exact"}]}, r"layers\[0\]: .*one discretisation"),
        ({"layers": [{"units": 3, "neuron": "li"}]}, r"layers\[0\]: layer hidden0: neuron li does not spike"),
        ({"layers": [{"units": 3, "neuron": "li", "recurrent": False}]}, "only the last layer may be without spikes"),
    ],
)
def test_refused(network, text):
    with pytest.raises(BrfkitError, match=text) as error:
        Config.from_dict({"network": network}).network.build(3, 2)
    assert "\n" not in str(error.value)


def test_lstm_has_no_layers_of_this_kind():
    config = Config.from_dict({"network": {"neuron": "lstm", "layers": [{"units": 3}]}})
    with pytest.raises(BrfkitError, match=r"lstm takes no setting network\.layers"):
        build_lstm(config.network, 3, 2)


def test_labels_name_neurons_and_what_differs():
    def config(**layer):
        return Config.from_dict({"network": {"layers": [{"units": 3}, {"units": 4, "neuron": "alif", **layer}]}})

    names = name_groups([config().to_dict(), config(bias=True).to_dict(), Config().to_dict()])
    assert [one.label for one in names] == ["brf+alif", "brf+alif, layer 1.bias", "brf"]


def train(config, folder, resume=False, stop=None):
    return train_in_folder(config, folder, get_backend("numba", threads=1), resume=resume, stop=stop)


def test_a_mixed_network_is_trained_and_resumed(mixed, tmp_path):
    config = resolve(file=mixed)
    whole = train(config, tmp_path / "whole")
    assert (whole.neuron, len(whole.spikes_by_layer)) == ("brf+alif", 2)
    train(config, tmp_path / "parts", stop=lambda: True)  # before the first epoch
    stored = resolve(file=tmp_path / "parts" / "config.json")
    assert stored == config
    train(stored, tmp_path / "parts", resume=True)
    first, again = (load_checkpoint(tmp_path / name / "last.npz") for name in ("whole", "parts"))
    assert first.meta["epoch"] == again.meta["epoch"] == 2
    for name, value in first.weights.items():
        assert (value == again.weights[name]).all(), name
    assert {k: v.tobytes() for k, v in first.extra.items()} == {k: v.tobytes() for k, v in again.extra.items()}


def test_analyses_take_a_mixed_network(mixed, tmp_path):
    run = train(resolve(file=mixed), tmp_path / "run")
    net, how = brfkit.load(tmp_path / "run"), {"backend": "numba", "threads": 1}
    assert brfkit.evaluate(net, **how).accuracy == pytest.approx(run.test_accuracy)
    layers = brfkit.inspect(net, **how).to_dict()["layers"]
    assert {name: layer["neuron"] for name, layer in layers.items()} == {"hidden0": "brf", "hidden1": "alif"}
    assert brfkit.robustness(net, "spike-deletion", levels=[0.0, 0.5], repeats=1, samples=5, **how).mean("loss")
    assert brfkit.gradients(net, samples=2, points=5, **how).layers
    surface = brfkit.landscape(net, out=tmp_path / "surface.h5", points=3, samples=5, **how)
    assert np.isfinite(surface.figures.loss_max)
    page = brfkit.report(tmp_path / "run", out=tmp_path / "report.html", sections=("run", "curves"), **how)
    assert not page.skipped
    (group,) = brfkit.compare([tmp_path / "run"]).groups
    assert group.label == "brf+alif"
    assert group.runs[0].cost.effective > 0
