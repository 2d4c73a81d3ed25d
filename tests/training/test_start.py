"""Training that goes on from another network's weights."""

import json

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.checkpoints.native import open_checkpoint
from brfkit.errors import BrfkitError
from brfkit.runs.config import NetworkConfig
from brfkit.runs.resolve import resolve
from brfkit.training.run import train

BACKEND = get_backend("numba", threads=1)


def config(neuron="brf", dataset="tones", epochs=1, seed=0, **network):
    small = {"data": {"limit_train": 60, "limit_test": 20}, "network": {"hidden": [12], **network}}
    return resolve(dataset, neuron, overrides=small | {"training": {"epochs": epochs, "seed": seed}})


def metrics(folder):
    """Lines of the metrics without the seconds."""
    return [line.rsplit(",", 1)[0] for line in (folder / "metrics.csv").read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "run"
    train(config(epochs=2), folder, BACKEND)
    return folder


def test_epoch_0_is_the_network_it_starts_from(first, tmp_path):
    train(config(seed=5, epochs=2, start_from=str(first)), tmp_path / "next", BACKEND)
    given = open_checkpoint(first)
    best = given.meta["epoch"]
    ended = [line for line in metrics(first) if line.startswith(f"{best},test")]
    began = [line for line in metrics(tmp_path / "next") if line.startswith("0,test")]
    assert began[0].split(",")[2:] == ended[0].split(",")[2:]
    recorded = json.loads((tmp_path / "next" / "run.json").read_text())["start_from"]
    assert recorded == {"path": str(first), "sha256": given.sha256, "neuron": "brf"}
    after = open_checkpoint(tmp_path / "next" / "last.npz").weights
    assert not np.array_equal(after["hidden0.w_in"], given.weights["hidden0.w_in"])
    # The settings of the run repeat it.
    train(resolve(file=tmp_path / "next" / "config.json"), tmp_path / "again", BACKEND)
    assert metrics(tmp_path / "again") == metrics(tmp_path / "next")


def test_a_run_is_resumed_without_the_network_it_started_from(first, tmp_path):
    gone = tmp_path / "gone.npz"
    gone.write_bytes((first / "best.npz").read_bytes())
    settings = config(epochs=3, start_from=str(gone))
    train(settings, tmp_path / "whole", BACKEND)
    stops = iter([False, True])
    train(settings, tmp_path / "parts", BACKEND, stop=lambda: next(stops))
    gone.unlink()
    train(settings, tmp_path / "parts", BACKEND, resume=True)
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    with pytest.raises(BrfkitError, match="cannot be read"):
        train(settings, tmp_path / "other", BACKEND)
    assert not (tmp_path / "other").exists()


def test_another_neuron_may_go_on(first, tmp_path):
    train(config("rf", start_from=str(first)), tmp_path / "rf", BACKEND)
    recorded = json.loads((tmp_path / "rf" / "run.json").read_text())["start_from"]
    assert recorded["neuron"] == "brf"
    assert open_checkpoint(tmp_path / "rf").network.layers[0].neuron == "rf"


@pytest.mark.parametrize("neuron", ["brf", "alif"])
def test_a_published_network_goes_on(reference_dir, data_dir, tmp_path, neuron):
    """The test accuracy before training is the published one."""
    published = json.loads((reference_dir / "published.json").read_text())["checkpoints"][f"ecg_{neuron}"]
    path = reference_dir / "checkpoints" / f"ecg_{neuron}.pt"
    settings = resolve("ecg", neuron, overrides={
        "data": {"limit_train": 20}, "network": {"start_from": str(path)}, "training": {"epochs": 1, "batch_size": 4},
    })  # fmt: skip
    train(settings, tmp_path / "run", BACKEND, data_dir=data_dir)
    row = next(line for line in metrics(tmp_path / "run") if line.startswith("0,test"))
    assert float(row.split(",")[3]) == pytest.approx(published["accuracy"], abs=0.2)


@pytest.mark.parametrize(("changes", "text"), [
    ({"hidden": [13]}, r"hidden0.w_in is \(12, 4\) there and \(13, 4\) here"),
    ({"hidden": [12, 8]}, r"readout.w_in is|hidden1.* is absent there"),
    ({"trainable": ["gamma"]}, r"hidden0.gamma is absent there and \(12,\) here"),
    ({"recurrent": False}, r"hidden0.w_rec is \(12, 12\) there and absent here"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused(first, tmp_path, changes, text):
    with pytest.raises(BrfkitError, match=text):
        train(config(start_from=str(first), **changes), tmp_path / "run", BACKEND)
    assert not (tmp_path / "run").exists()


def test_another_order_of_the_pixels_is_refused(tmp_path, data_dir):
    def pixels(seed, **network):
        small = {"data": {"limit_train": 20, "limit_test": 10}, "network": {"hidden": [4], **network}}
        return resolve("psmnist", "brf", overrides=small | {"training": {"epochs": 1, "seed": seed}})

    train(pixels(0), tmp_path / "a", BACKEND, data_dir=data_dir)
    train(pixels(0, start_from=str(tmp_path / "a")), tmp_path / "b", BACKEND, data_dir=data_dir)
    with pytest.raises(BrfkitError, match="another permutation"):
        train(pixels(1, start_from=str(tmp_path / "a")), tmp_path / "c", BACKEND, data_dir=data_dir)


def test_settings_that_do_not_go_together():
    with pytest.raises(BrfkitError, match="lstm cannot go on"):
        NetworkConfig(neuron="lstm", start_from="x")
    with pytest.raises(BrfkitError, match="omega_init"):
        NetworkConfig(start_from="x", omega_init="spectrum")
