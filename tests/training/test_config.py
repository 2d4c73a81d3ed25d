"""Configurations: presets, files, single settings, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS, Normal, Uniform
from brfkit.runs.config import Config
from brfkit.runs.config_files import merge, read_config_file
from brfkit.runs.presets import find_preset, preset_names, read_preset
from brfkit.runs.resolve import parse_settings, published, resolve
from brfkit.runs.settings import declared, differences
from brfkit.training.lstm import build_lstm


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_resolves_and_builds(name):
    config = resolve(preset=name)
    if config.network.neuron == "lstm":
        build_lstm(config.network, 4, 6).initialise(0)
    else:
        config.network.build(4, 6).initialise(0, init=config.network.initial_distributions())
    dataset, _, rest = name.partition("-")
    neuron = next((one for one in ("lstm", *NEURONS) if rest == one), None)
    if neuron is not None:  # found by data set and neuron, too
        assert find_preset(dataset, neuron) == (name, read_preset(name))
        assert config.network.neuron == neuron


def test_a_preset_by_name():
    config = resolve(preset="ecg-brf-2x128", overrides={"training": {"epochs": 3}})
    assert (config.data.dataset, config.network.neuron, config.network.hidden) == ("ecg", "brf", (128, 128))
    assert (config.training.epochs, config.training.spike_dropout) == (3, 0.1)
    assert resolve("tones", preset="ecg-brf-2x128").data.dataset == "tones"
    with pytest.raises(BrfkitError, match=r"unknown preset 'ecg-brf-2x28'; did you mean 'ecg-brf-2x128'\?"):
        resolve(preset="ecg-brf-2x28")


# Trainable parameters as published (S-MNIST, SHD, ECG).
@pytest.mark.parametrize(
    ("dataset", "inputs", "outputs", "count"), [("smnist", 1, 10, 68874), ("shd", 700, 20, 108820), ("ecg", 4, 6, 1734)]
)
def test_parameter_counts_are_the_published_ones(dataset, inputs, outputs, count):
    assert resolve(dataset, "brf").network.build(inputs, outputs).parameter_count() == count


def test_published_settings_of_ecg():
    config = resolve("ecg", "brf")
    assert config.training.learning_rate == 0.1
    assert config.training.batch_size == 16
    assert config.training.epochs == 400
    assert config.training.clip_norm is None
    assert config.network.init["omega"] == Uniform(3.0, 5.0)
    assert config.network.init["readout.tau_mem"] == Normal(20.0, 1.0)
    assert published("ecg", "alif").task.skip_steps == 10


def test_round_trip_through_json():
    config = resolve("ecg", "bhrf", overrides={"network": {"hidden": [5, 7]}})
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_order_of_precedence(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[data]\ndataset = "ecg"\n[training]\nepochs = 7\nbatch_size = 3\n')
    config = resolve(file=file, overrides=parse_settings(["training.epochs=9", "network.init.omega=['uniform', 1, 2]"]))
    assert (config.training.epochs, config.training.batch_size) == (9, 3)
    assert config.training.learning_rate == 0.1  # from the preset that the file's data set chose
    assert config.network.init["omega"] == Uniform(1.0, 2.0)
    assert config.network.init["b_offset"] == Uniform(0.1, 1.0)


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"trainig": {}}, "did you mean 'training'"),
        ({"training": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"training": {"epochs": 0}}, "at least 1"),
        ({"training": {"epochs": "many"}}, "must be an integer"),
        ({"training": {"epochs": True}}, "must be an integer"),
        ({"training": {"learning_rate": -1.0}}, "positive"),
        ({"training": {"learning_rate": float("nan")}}, "positive"),
        ({"training": {"optimizer": "lbfgs"}}, "adam"),
        ({"training": {"clip_norm": 0.0}}, "positive"),
        ({"data": {"validation_fraction": 1.0}}, "below 1"),
        ({"network": {"init": {"omega": ["cauchy", 0, 1]}}}, "uniform"),
        ({"network": {"options": {"refractory": 1}}}, "must be true or false"),
        ({"network": []}, "keys and values"),
        ({"network": {"constants": {"gamma": "high"}}}, "constants.gamma must be a number, not 'high'"),
        ({"network": {"constants": {"gamma": float("nan")}}}, "constants.gamma must be finite"),
        ({"network": {"constants": 0.8}}, "constants must hold names and values"),
        ({"network": {"omega_init": "noise"}}, "must be one of spectrum"),
        ({"network": {"neuron": "alif", "omega_init": "spectrum"}}, "neuron alif has no omega; .*brf.* have one"),
        ({"network": {"neuron": "lstm", "omega_init": "spectrum"}}, "neuron lstm has no omega"),
        ({"task": {"loss_on": "first"}}, "last"),
        ({"task": {"loss_on": "mean"}, "training": {"tbptt": 5}}, "tbptt"),
        ({"training": {"accumulate": 0}}, "at least 1"),
        ({"training": {"accumulate": 2, "tbptt": 5}}, "tbptt"),
        ({"training": {"epochs": 3, "warmup_epochs": 3}}, "below training.epochs"),
        ({"training": {"input_dropout": 1.0}}, "below 1"),
        ({"training": {"spike_dropout": 1.0}}, "below 1"),
        ({"training": {"rate_penalty": -1.0}}, "at least 0, not -1.0"),
        ({"training": {"rate_target": 1.5}}, "below 1"),
        ({"training": {"stop_accuracy": 0.0}}, "above 0 and at most 100"),
        ({"training": {"stop_accuracy": 101}}, "above 0 and at most 100"),
        ({"training": {"weight_decay": -1}}, "weight_decay must be at least 0, not -1"),
        ({"training": {"weight_decay": float("inf")}}, "weight_decay must be finite"),
        ({"training": {"learning_rate": float("inf")}}, "learning_rate must be finite"),
        ({"training": {"learning_rate": 10**400}}, "a number that float64 can hold"),
        ({"training": {"seed": -1}}, "seed must be from 0 to"),
        ({"training": {"seed": 2**63}}, "seed must be from 0 to"),
        ({"training": {"epochs": 10**12}}, "epochs must be at most 2,147,483,647"),
        ({"training": {"optimizer": ["adam"]}}, "optimizer must be text"),
        ({"network": {"hidden": [1e11]}}, "hidden must be an integer, not 1"),
        ({"network": {"hidden": [10**11]}}, "hidden must be at most 2,147,483,647"),
        ({"network": {"hidden": [0]}}, "hidden must be at least 1"),
        ({"network": {"hidden": []}}, "hidden names no layer"),
        ({"network": {"dt": -0.1}}, "dt must be positive"),
        ({"network": {"neuron": "b\0rf"}}, "NUL"),
        ({"network": {"neuron": ""}}, "network.neuron is empty"),
        ({"data": {"dataset": ""}}, "data.dataset is empty"),
        ({"data": {"bins": 0}}, "bins must be at least 1"),
        ({"data": {"bin_width": 0}}, "bin_width must be positive"),
        ({"data": {"limit_train": -3}}, "limit_train must be at least 1"),
        ({"network": {"init": {"omega": ["uniform", 5, 3]}}}, "lower end 5 is above the upper end 3"),
        ({"network": {"init": {"omega": ["normal", 5, -3]}}}, "standard deviation must be at least 0"),
        ({"network": {"init": {"omega": ["constant", float("nan")]}}}, "must be finite"),
    ],
)
def test_refused(sections, text):
    with pytest.raises(BrfkitError, match=text):
        Config.from_dict(sections)


@pytest.mark.parametrize("setting", ["epochs=3", "training.epochs", "=3", ".a=3"])
def test_malformed_single_settings(setting):
    with pytest.raises(BrfkitError, match=r"section\.key=value"):
        parse_settings([setting])


@pytest.mark.parametrize("text", ["[training\n", "", "\x00"])
def test_damaged_files_are_one_line(tmp_path, text):
    file = tmp_path / "c.json"
    file.write_text(text)
    with pytest.raises(BrfkitError) as error:
        read_config_file(file)
    assert "\n" not in str(error.value)


def test_every_field_states_its_setting():
    for section in dataclasses.fields(Config):
        if section.name == "task":
            continue  # says what loss and accuracy are, and checks it itself
        for one in declared(section.name, type(getattr(Config(), section.name))).values():
            assert one.setting is not None, one.key
            assert one.setting.help.endswith((".", "]", ")")), one.key
            one.setting.check(one.key, one.default)


@pytest.mark.parametrize("text", ["[16, 8]", "16,8", "16, 8", "(16, 8)", "['16', '8']", "[16,8,]"])
def test_lists_in_any_form(text):
    assert Config.from_dict(parse_settings([f"network.hidden={text}"])).network.hidden == (16, 8)


@pytest.mark.parametrize("text", ["gamma", "'gamma'", "[gamma]", "['gamma']"])
def test_names_in_any_form(text):
    assert Config.from_dict(parse_settings([f"network.trainable={text}"])).network.trainable == ("gamma",)


@pytest.mark.parametrize("text", ["['uniform', 1, 2]", "[uniform, 1, 2]", "uniform,1,2", "uniform, 1, 2.0"])
def test_distributions_in_any_form(text):
    init = Config.from_dict(parse_settings([f"network.init.omega={text}"])).network.init
    assert init["omega"] == Uniform(1.0, 2.0)


def test_constants_are_those_of_all_hidden_layers():
    overrides = {"network": {"hidden": [5, 7]}} | parse_settings(["network.constants.gamma=0.8"])
    assert parse_settings(["network.constants.gamma=1"]) == {"network": {"constants": {"gamma": 1}}}
    config = resolve("ecg", "brf", overrides=merge({"network": {"hidden": [5, 7], "trainable": ["gamma"]}}, overrides))
    network = config.network.build(4, 6)
    assert [layer.constants for layer in network.layers] == [{"gamma": 0.8}, {"gamma": 0.8}, {}]
    assert (network.initialise(0)["hidden1.gamma"] == np.float32(0.8)).all()  # a trained one begins there
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(BrfkitError, match=r"neuron brf has no constant 'tau' \(it has .*gamma"):
        resolve("ecg", "brf", overrides=parse_settings(["network.constants.tau=1"])).network.build(4, 6)
    with pytest.raises(BrfkitError, match=r"lstm takes no setting network\.constants"):
        build_lstm(resolve("ecg", "lstm", overrides=parse_settings(["network.constants.gamma=1"])).network, 4, 6)


def test_differences_name_keys():
    one, other = resolve("ecg", "brf"), resolve("ecg", "brf", overrides={"training": {"epochs": 3}})
    assert differences(one, other) == [("training.epochs", 400, 3)]


def test_merge_keeps_what_is_not_named():
    assert merge({"a": {"x": 1, "y": {"p": 1}}}, {"a": {"y": {"q": 2}}}) == {"a": {"x": 1, "y": {"p": 1, "q": 2}}}


def test_unknown_experiment_has_no_published_task():
    with pytest.raises(BrfkitError, match="published setting"):
        published("ecg", "lif")
    assert find_preset("nothing", None) == (None, {})
