"""The non-spiking baseline: torch's LSTM under the same commands."""

import numpy as np
import pytest
import torch

from brfkit.analysis.network.evaluate import evaluate
from brfkit.analysis.network.inspect.inspection import inspect
from brfkit.analysis.network.robustness import robustness
from brfkit.backends import get_backend
from brfkit.baseline import run_lstm
from brfkit.checkpoints.lstm import LstmNetwork, load_lstm, save_lstm
from brfkit.checkpoints.native import open_checkpoint
from brfkit.errors import BrfkitError
from brfkit.runs.metrics import read_metrics
from brfkit.runs.resolve import resolve
from brfkit.training.lstm import build_lstm
from brfkit.training.run import train

SMALL = {
    "data": {"limit_train": 120, "limit_test": 40},
    "network": {"hidden": [9]},
    "training": {"epochs": 3, "batch_size": 25},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def figures(folder):
    return [(r.epoch, r.split, r.loss, r.accuracy, r.spikes_per_sample) for r in read_metrics(folder / "metrics.csv")]


def test_outputs_are_those_of_torch_modules():
    """Two layers of different width, in float64: the same operations, so nothing but the last bits may differ."""
    network = LstmNetwork(3, (5, 4), 2)
    weights = {name: torch.from_numpy(w) for name, w in network.initialise(1, np.float64).items()}
    first, second = torch.nn.LSTM(3, 5, dtype=torch.float64), torch.nn.LSTM(5, 4, dtype=torch.float64)
    for index, module in enumerate((first, second)):
        module.load_state_dict(
            {f"{n}_l0": weights[f"hidden{index}.{n}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        )
    x = torch.randn(11, 6, 3, dtype=torch.float64)
    wanted = torch.nn.functional.linear(second(first(x)[0])[0], weights["readout.weight"], weights["readout.bias"])
    out, after = run_lstm(network, weights, x)
    torch.testing.assert_close(out, wanted, rtol=1e-12, atol=1e-12)
    part, state = run_lstm(network, weights, x[:4])
    rest, end = run_lstm(network, weights, x[4:], state)
    torch.testing.assert_close(torch.cat([part, rest]), out, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end["hidden1.c"], after["hidden1.c"], rtol=1e-12, atol=1e-12)
    modules = sum(p.numel() for m in (first, second, torch.nn.Linear(4, 2)) for p in m.parameters())
    assert network.parameter_count() == modules


def test_run_learns_without_spikes_and_resumes(tmp_path):
    config = resolve(
        "tones", "lstm", overrides=SMALL | {"training": {"epochs": 3, "batch_size": 12, "learning_rate": 0.05}}
    )
    backend = get_backend("torch", threads=1)
    result = train(config, tmp_path / "a", backend)
    assert (result.neuron, result.backend, result.spikes_per_sample) == ("lstm", "torch", 0.0)
    losses = [f[2] for f in figures(tmp_path / "a") if f[1] == "train"]
    assert losses[-1] < losses[0]
    stops = iter([False, True])
    train(config, tmp_path / "b", backend, stop=lambda: next(stops))
    train(config, tmp_path / "b", backend, resume=True)
    assert figures(tmp_path / "b") == figures(tmp_path / "a")
    with pytest.raises(BrfkitError, match="this is an LSTM, a baseline without spikes"):
        open_checkpoint(tmp_path / "a")
    for name in ("best.npz", "last.npz"):
        a, b = load_lstm(tmp_path / "a" / name), load_lstm(tmp_path / "b" / name)
        for key in a[0]:
            np.testing.assert_array_equal(a[0][key], b[0][key], err_msg=key)


def test_evaluation_and_robustness_are_those_of_the_run(tmp_path):
    """The figures of the run at its best epoch again, by the functions that evaluate spiking networks."""
    config = resolve("tones", "lstm", overrides=SMALL)
    found = train(config, tmp_path / "run", get_backend("torch", threads=1))
    again = evaluate(tmp_path / "run", samples=40)
    assert (again.neuron, again.backend, again.samples) == ("lstm", "torch", 40)
    assert again.accuracy == found.test_accuracy
    assert again.loss == pytest.approx(found.test_loss, rel=1e-6)
    assert (again.spikes_per_sample, again.firing_rate) == (0.0, 0.0)
    assert again.parameters == found.parameters
    noisy = robustness(tmp_path / "run", "input-noise", levels=(0.0, 50.0), repeats=2, samples=40)
    assert noisy.mean("accuracy")[0] == found.test_accuracy
    assert noisy.mean("loss")[1] > noisy.mean("loss")[0]
    assert noisy.neuron == "lstm"
    wide = evaluate(tmp_path / "run", samples=40, dtype="float64", neuron="lstm")
    assert wide.loss == pytest.approx(again.loss, rel=1e-4)
    for wrong, reason in (
        (lambda: robustness(tmp_path / "run", "spike-deletion"), "takes input-noise, missing-channels"),
        (lambda: evaluate(tmp_path / "run", backend="numba"), "computed by torch"),
        (lambda: evaluate(tmp_path / "run", neuron="brf"), "holds an LSTM, not brf"),
        (lambda: evaluate(tmp_path / "run", "ecg"), "labels per step"),
        (lambda: inspect(tmp_path / "run"), "this is an LSTM, a baseline without spikes"),
    ):
        with pytest.raises(BrfkitError, match=reason):
            wrong()


def test_truncated_windows_carry_the_state(tmp_path):
    """With a window as long as the sequence nothing is truncated; shorter ones give another run."""
    backend = get_backend("torch", threads=1)
    for name, tbptt in (("a", None), ("b", 250), ("c", 100)):
        over = SMALL | {"training": SMALL["training"] | {"epochs": 1, "tbptt": tbptt}}
        config = resolve("tones", "lstm", overrides=over | {"task": {"loss_on": "every", "accuracy_from": "every"}})
        train(config, tmp_path / name, backend)
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    assert figures(tmp_path / "a") != figures(tmp_path / "c")


@pytest.mark.parametrize(
    ("section", "name"),
    [({"options": {"refractory": False}}, "options"), ({"recurrent": False}, "no recurrent"), ({"bias": True}, "bias")],
)
def test_settings_of_spiking_neurons_are_refused(section, name):
    config = resolve("ecg", "lstm", overrides={"network": section})
    with pytest.raises(BrfkitError, match=name):
        build_lstm(config.network, 4, 6)


def test_damaged_files_are_refused(tmp_path):
    network = LstmNetwork(1, (2,), 2)
    save_lstm(tmp_path / "a.npz", network, network.initialise(0), {"epoch": 3}, {"x/y": np.arange(3)})
    weights, meta, extra = load_lstm(tmp_path / "a.npz")
    assert meta == {"epoch": 3}
    assert weights.keys() == network.shapes().keys()
    np.testing.assert_array_equal(extra["x/y"], np.arange(3))
    data = (tmp_path / "a.npz").read_bytes()
    for name, content in (("cut", data[:200]), ("none", b""), ("text", b"hello")):
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(BrfkitError):
            load_lstm(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    with pytest.raises(BrfkitError, match="no checkpoint of an LSTM"):
        load_lstm(tmp_path / "other.npz")
