"""Disturbed networks: each perturbation does what it says, no more, and the same again for the same seed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from brfkit.analysis.network.perturbations.input import ChangedSplit, warped_steps
from brfkit.analysis.network.perturbations.registry import PERTURBATIONS, Streams, Trial, get_perturbation
from brfkit.analysis.network.perturbations.spikes import DeletingBackend
from brfkit.analysis.network.perturbations.weights import parameter_of, quantised, rounded
from brfkit.analysis.network.robustness import most_frequent, robustness
from brfkit.analysis.network.robustness_files import read_results
from brfkit.backends import get_backend
from brfkit.backends.reference import derive_values
from brfkit.backends.spike_mask import SpikeMask
from brfkit.checkpoints.native import Checkpoint, save_checkpoint
from brfkit.cli import run
from brfkit.cli.commands import robustness as command
from brfkit.codegen.model import build_model
from brfkit.data import DenseSplit, EventSplit
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.events import Events
from brfkit.network import Layer, recurrent_network
from brfkit.neurons import NEURONS
from brfkit.runs.config import Config
from brfkit.task import Task

REFERENCE = get_backend("reference")
INPUTS = [name for name in PERTURBATIONS if name.startswith(("input", "missing", "time"))]
SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]


@pytest.fixture
def split(rng):
    """Twenty samples of 40 steps and 4 channels, labels per step."""
    return DenseSplit(rng.uniform(0.5, 1, (20, 40, 4)), rng.integers(0, 3, (20, 40)))


def trial(split, neuron="brf", gain=150.0, backend=REFERENCE):
    network = recurrent_network(split.x.shape[2], (6,), 3, neuron)
    weights = network.initialise(2, np.float64)
    weights["hidden0.w_in"] *= gain
    return Trial(network, weights, split, backend)


def batch(name, split, level, *, numbers=None, seed=0, repeat=0):
    changed = PERTURBATIONS[name].apply(trial(split), level, Streams(seed, repeat, name)).split
    return changed.batch(np.arange(len(split)) if numbers is None else numbers, np.float64)


@pytest.mark.parametrize("name", INPUTS)
def test_input_depends_on_seed_repeat_and_sample_only(name, split):
    level = 0.5
    x, y = batch(name, split, level)
    again, _ = batch(name, split, level)
    np.testing.assert_array_equal(x, again)
    one, label = batch(name, split, level, numbers=[7])
    np.testing.assert_array_equal(one[:, 0], x[:, 7])
    np.testing.assert_array_equal(label[:, 0], y[:, 7])
    for other in ({"seed": 1}, {"repeat": 1}):
        assert not np.array_equal(batch(name, split, level, **other)[0], x)
    original, _ = split.batch(np.arange(20), np.float64)
    assert np.array_equal(split.batch(np.arange(20), np.float64)[0], original)
    assert not np.array_equal(x, original)


def test_input_noise_has_the_right_size_and_grows_with_the_level(split):
    original, _ = split.batch(np.arange(20), np.float64)
    noise = batch("input-noise", split, 0.3)[0] - original
    # 3,200 normal numbers: mean and standard deviation to four standard errors.
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(0.3, rel=4 / np.sqrt(2 * noise.size))
    np.testing.assert_allclose(batch("input-noise", split, 0.6)[0] - original, 2 * noise, rtol=1e-9)


def test_channels_are_silent(split):
    x, y = batch("missing-channels", split, 0.5)
    silent = (x == 0).all(0)  # [B, I]
    assert (silent.sum(1) == 2).all()
    assert len({tuple(row) for row in silent.tolist()}) > 1
    original, labels = split.batch(np.arange(20), np.float64)
    np.testing.assert_array_equal(np.where(silent, 0, original), x)
    np.testing.assert_array_equal(y, labels)
    with pytest.raises(BrfkitError, match="more than one channel"):
        batch("missing-channels", DenseSplit(split.x[..., :1], split.y), 0.5)


def test_a_span_is_silent(split):
    x, _ = batch("missing-span", split, 0.25)
    for sample in x.transpose(1, 0, 2):
        gone = np.flatnonzero((sample == 0).all(1))
        assert len(gone) == 10
        assert gone[-1] - gone[0] == 9
    assert (batch("missing-span", split, 1.0)[0] == 0).all()


def test_time_is_warped_with_its_labels(split):
    for strength in (0.0, 0.2, 1.0, 5.0):
        source = warped_steps(40, strength, np.random.default_rng(1))
        assert (source[0], source[-1]) == (0, 39)
        assert (np.diff(source) >= 0).all()
    np.testing.assert_array_equal(warped_steps(40, 0.0, np.random.default_rng(1)), np.arange(40))
    x, y = batch("time-warping", split, 0.5)
    original, labels = split.batch(np.arange(20), np.float64)
    for b in range(20):
        source = [int(np.flatnonzero((original[:, b] == row).all(1))[0]) for row in x[:, b]]
        np.testing.assert_array_equal(labels[source, b], y[:, b])


def test_events_stay_events_where_they_can():
    indptr = np.array([[0, 1, 3, 3], [0, 0, 2, 3]], np.int32)
    split = EventSplit(
        np.array([2, 0, 1, 1, 3, 0], np.int32), np.array([0, 3]), indptr, np.arange(2), np.array([0, 1]), 4, 0.1
    )
    dense = split.batch([0, 1])[0].dense()
    same = ChangedSplit(split, lambda x, y, n: (x, y)).batch([0, 1])[0]
    assert isinstance(same, Events)
    np.testing.assert_array_equal(same.dense(), dense)
    noisy = ChangedSplit(split, lambda x, y, n: (x + 0.5, y)).batch([0, 1])[0]
    np.testing.assert_array_equal(noisy, dense + 0.5)


def test_a_selection_of_a_changed_split_keeps_the_change_of_its_samples(split):
    changed = PERTURBATIONS["input-noise"].apply(trial(split), 0.5, Streams(0, 0, "x")).split
    np.testing.assert_array_equal(changed.select([5, 3]).batch([1])[0], changed.batch([3])[0])
    np.testing.assert_array_equal(changed.select([5, 3]).y, split.y[[5, 3]])


def test_synaptic_noise_is_relative_and_leaves_vectors_alone(split):
    before = trial(split)
    after = PERTURBATIONS["synaptic-noise"].apply(before, 0.2, Streams(0, 0, "synaptic-noise"))
    relative = np.concatenate([(after.weights[n] / w - 1).ravel() for n, w in before.weights.items() if w.ndim == 2])
    assert relative.std() == pytest.approx(0.2, rel=4 / np.sqrt(2 * relative.size))  # four standard errors
    for name, value in before.weights.items():
        assert np.array_equal(after.weights[name], value) == (value.ndim == 1)


def test_quantised_weights_are_few_and_near():
    rng = np.random.default_rng(0)
    weights = {"a.w_in": rng.standard_normal((30, 20)).astype(np.float32), "a.omega": rng.uniform(5, 10, 30)}
    for bits, top in ((8, 127), (4, 7), (2, 1)):
        found = quantised(weights, bits)
        scale = np.abs(weights["a.w_in"]).max() / top
        whole = found["a.w_in"] / scale
        np.testing.assert_allclose(whole, np.rint(whole), atol=1e-3)
        assert np.abs(np.rint(whole)).max() == top
        assert np.abs(found["a.w_in"] - weights["a.w_in"]).max() <= 0.5001 * scale
        assert found["a.omega"] is weights["a.omega"]
    zero = {"a.w_in": np.zeros((3, 3))}
    np.testing.assert_array_equal(quantised(zero, 4)["a.w_in"], 0)


@pytest.mark.parametrize("readout", ["li", "li-sigmoid"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_parameters_and_decay_have_so_many_fractional_bits(readout, bits, dtype):
    network = recurrent_network(3, (5,), 4, "brf", readout=readout)
    weights = network.initialise(1, dtype)
    found = rounded(network, weights, bits)
    last = network.layers[-1]
    for name, value in found.items():
        assert value.dtype == dtype
        if name != "readout.tau_mem":
            np.testing.assert_array_equal(value * 2**bits, np.rint(value * 2**bits))
            assert np.abs(value - weights[name]).max() <= 0.5 / 2**bits
    with np.errstate(divide="ignore"):
        (decay,) = derive_values(build_model(readout), last, found, 0.01)[0].values()
        (before,) = derive_values(build_model(readout), last, weights, 0.01)[0].values()
    # The time constant is stored in `dtype`; one rounding of it moves α by less than this.
    np.testing.assert_allclose(decay * 2**bits, np.rint(decay * 2**bits), atol=2**bits * np.finfo(dtype).eps)
    # Rounding τ changes α by dα/dτ/2/2^bits (at most 0.25 of it for the logit), rounding α by half a step.
    assert np.abs(decay - before).max() <= 1.0 / 2**bits


def test_a_decay_that_cannot_be_is_refused():
    with pytest.raises(BrfkitError, match="tau_mem"):
        parameter_of(Layer("readout", "li", 1, recurrent=False), np.array([1.5]), 0.01)


@pytest.mark.parametrize("neuron", SPIKING)
@pytest.mark.parametrize("recurrent", [True, False])
def test_no_lost_spike_is_the_plain_scan(make_network, neuron, recurrent):
    network, weights, x = make_network(neuron, (5, 4), gain=150.0, recurrent=recurrent)
    plain = REFERENCE.scan(network, weights, x)
    found = DeletingBackend(REFERENCE, 0.0, 1).scan(network, weights, x)
    np.testing.assert_array_equal(found.outputs, plain.outputs)
    for name, count in plain.spike_counts.items():
        np.testing.assert_array_equal(found.spike_counts[name], count)
    for name, value in plain.final_state.items():
        np.testing.assert_array_equal(found.final_state[name], value)


def test_all_spikes_lost_is_a_network_without_connections(make_network):
    network, weights, x = make_network("brf", (5,), gain=150.0)
    found = DeletingBackend(REFERENCE, 1.0, 1).scan(network, weights, x)
    silent = {n: np.zeros_like(v) if n in ("hidden0.w_rec", "readout.w_in") else v for n, v in weights.items()}
    alone = REFERENCE.scan(network, silent, x)
    assert alone.spike_counts["hidden0"].sum() > 0
    assert found.spike_counts["hidden0"].sum() == 0
    np.testing.assert_array_equal(found.outputs, 0)
    np.testing.assert_array_equal(found.final_state["hidden0.q"], alone.final_state["hidden0.q"])


def test_lost_spikes_do_not_depend_on_the_batch(make_network, rng):
    network, weights, x = make_network("brf", (6,), gain=150.0, steps=50, batch=7)
    whole = DeletingBackend(REFERENCE, 0.4, 9).scan(network, weights, x)
    parts = DeletingBackend(REFERENCE, 0.4, 9)
    outputs = [parts.scan(network, weights, x[:, part]).outputs for part in (slice(0, 3), slice(3, 7))]
    np.testing.assert_array_equal(np.concatenate(outputs, axis=1), whole.outputs)
    assert not np.array_equal(DeletingBackend(REFERENCE, 0.4, 10).scan(network, weights, x).outputs, whole.outputs)
    assert whole.spike_counts["hidden0"].sum() < REFERENCE.scan(network, weights, x).spike_counts["hidden0"].sum()


@pytest.mark.parametrize(("neuron", "kind"), [("brf", "dense"), ("brf", "events"), ("alif", "dense")])
def test_the_numba_kernels_lose_the_same_spikes(make_network, rng, neuron, kind):
    """Inside the time loop and one step at a time, two layers, a width that fills no vector, two tiles."""
    network, weights, x = make_network(neuron, (19, 6), gain=150.0, steps=40, batch=11)
    given = Events.from_dense((x < 0.5).astype(np.float64)) if kind == "events" else x
    numba = get_backend("numba", threads=1)
    found = DeletingBackend(numba, 0.3, 5).scan(network, weights, given)
    for other in (DeletingBackend(numba, 0.3, 5, stepwise=True), DeletingBackend(REFERENCE, 0.3, 5)):
        wanted = other.scan(network, weights, given)
        np.testing.assert_allclose(found.outputs, wanted.outputs, atol=1e-10 * np.abs(wanted.outputs).max())
        for name, count in wanted.spike_counts.items():
            np.testing.assert_array_equal(found.spike_counts[name], count)
        np.testing.assert_array_equal(found.final_state["hidden0.z"], wanted.final_state["hidden0.z"])
    plain = REFERENCE.scan(network, weights, given)
    assert 0 < found.spike_counts["hidden0"].sum() < plain.spike_counts["hidden0"].sum()


def test_deleted_spikes_have_no_gradient_here(make_network):
    network, weights, x = make_network("brf", (5,))
    numba = get_backend("numba", threads=1)
    for backend in (DeletingBackend(REFERENCE, 0.3, 5), DeletingBackend(numba, 0.3, 5)):
        with pytest.raises(BrfkitError, match="neither records nor gradients"):
            backend.scan(network, weights, x, differentiate=True)


def test_each_spike_is_dropped_with_the_same_probability_and_independently():
    mask = SpikeMask.of_samples(0.3, 77, 0, 400)
    sample, neuron = np.divmod(np.arange(400 * 50), 50)
    gone = np.array([mask.dropped(sample, 0, step, neuron) for step in range(20)])
    cube = gone.reshape(20, 400, 50).astype(np.float64) - 0.3
    # Shares of n independent spikes: within five standard errors of 0.3, along every axis.
    for axes in ((0, 1, 2), (1, 2), (0, 1), (0, 2)):
        share = cube.mean(axes)
        count = cube.size / max(np.size(share), 1)
        assert np.abs(share).max() < 5 * np.sqrt(0.21 / count)
    # Neighbours in time, sample and neuron know nothing of each other.
    for a, b in ((cube[1:], cube[:-1]), (cube[:, 1:], cube[:, :-1]), (cube[..., 1:], cube[..., :-1])):
        assert abs((a * b).mean()) < 5 * 0.21 / np.sqrt(a.size)
    other = np.array([mask.dropped(sample, 1, step, neuron) for step in range(20)])
    assert abs((gone == other).mean() - 0.58) < 0.01


def test_spikes_of_events_are_dropped_too(make_network, rng):
    network, weights, _ = make_network("brf", (6,), gain=300.0)
    dense = (rng.random((40, 3, 4)) < 0.5).astype(np.float64)
    found = DeletingBackend(REFERENCE, 0.3, 2).scan(network, weights, Events.from_dense(dense))
    wanted = DeletingBackend(REFERENCE, 0.3, 2).scan(network, weights, dense)
    np.testing.assert_array_equal(found.outputs, wanted.outputs)


def test_levels_that_mean_nothing():
    for name, level in (("spike-deletion", 1.5), ("input-noise", -1.0), ("bit-precision", 2.5),
                        ("weight-quantisation", 1), ("missing-span", 2.0)):  # fmt: skip
        with pytest.raises(BrfkitError, match=name):
            PERTURBATIONS[name].check(level)
    with pytest.raises(BrfkitError, match="did you mean 'input-noise'"):
        get_perturbation("input-nois")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network for the embedded data."""
    network = recurrent_network(4, (8,), 10, "brf")
    weights = network.initialise(1)
    weights["hidden0.w_in"] *= 30.0
    config = Config.from_dict({"data": {"dataset": "tones"}, "network": {"neuron": "brf"}})
    path = tmp_path_factory.mktemp("run") / "best.npz"
    save_checkpoint(path, Checkpoint(network, weights, {"config": config.to_dict()}))
    return str(path)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_runs(checkpoint, name):
    levels = PERTURBATIONS[name].levels[:2]
    result = robustness(checkpoint, name, levels=levels, repeats=2, samples=6, backend="reference", seed=3)
    facts = result.to_dict()
    assert facts["levels"] == list(levels)
    for key in ("accuracy_mean", "accuracy_std", "loss_mean", "spikes_per_sample_mean"):
        assert len(facts[key]) == 2
        assert np.isfinite(facts[key]).all()
    expected = 3 if PERTURBATIONS[name].random else 2  # level 0 and what knows no chance are evaluated once
    assert len(result.points) == expected


def test_several_networks_in_one_picture(checkpoint):
    from brfkit.plotting.robustness import robustness_figure

    one = robustness(checkpoint, "missing-span", levels=(0.0, 0.5), repeats=2, samples=4, backend="reference")
    figure = robustness_figure({"first": one, "second": one})
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["first", "second"]
    accuracy = figure.axes[0].containers[1].lines[0]
    np.testing.assert_array_equal(accuracy.get_xydata(), np.transpose([one.levels, one.mean("accuracy")]))


def test_level_0_is_evaluate_and_batches_change_nothing(checkpoint, split):
    few = robustness(checkpoint, "spike-deletion", levels=(0.0, 0.2), repeats=1, samples=9, backend="reference")
    other = robustness(
        checkpoint, "spike-deletion", levels=(0.2, 0.0), repeats=1, samples=9, backend="reference", batch_size=2
    )
    assert few.mean("loss") == pytest.approx(other.mean("loss")[::-1], rel=1e-12)
    import brfkit

    plain = brfkit.evaluate(checkpoint, limit_test=9, backend="reference", dtype="float64")
    assert few.points[0].loss == pytest.approx(plain["loss"], rel=1e-6)  # of float32 weights in either
    assert few.points[0].spikes_per_sample == plain["spikes_per_sample"]


def test_perturbed_split_goes_through_evaluate_with_labels_per_step(split):
    one = PERTURBATIONS["time-warping"].apply(trial(split), 0.4, Streams(0, 0, "t"))
    found = evaluate(one.network, one.weights, one.split, Task("every", "every"), one.backend, batch_size=3)
    assert found.samples == 20


def test_command(checkpoint, tmp_path, capfd):
    out, plot = tmp_path / "r.csv", tmp_path / "r.png"
    arguments = ["robustness", checkpoint, "--perturbation", "input-noise", "--levels", "0,0.5", "--repeats", "2"]
    arguments += ["--samples", "5", "--backend", "reference", "--out", str(out)]
    assert run([*arguments, "--plot", str(plot), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert list(facts["levels"]) == [0.0, 0.5]
    rows = list(csv.DictReader(out.open()))
    assert [(row["level"], row["repeat"]) for row in rows] == [("0.0", "0"), ("0.5", "0"), ("0.5", "1")]
    mean = np.mean([float(row["accuracy"]) for row in rows[1:]])
    assert facts["accuracy_mean"][1] == pytest.approx(mean)
    assert facts["accuracy_std"][1] == pytest.approx(np.std([float(r["accuracy"]) for r in rows[1:]], ddof=1))
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run(arguments) == 1
    assert "--force" in capfd.readouterr().err
    assert run([*arguments, "--force"]) == 0
    assert "input-noise" in capfd.readouterr().out
    for words in (["--levels", "much"], ["--perturbation", "magic"], ["--repeats", "0"], ["--plot", "x.jpg"]):
        assert run([*arguments, *words]) == 2
    assert run([*arguments, "--force", "--levels", "-1"]) == 1
    assert tuple(PERTURBATIONS) == command.NAMES


def test_what_is_finished_stays_when_a_run_is_broken_off(checkpoint, tmp_path, monkeypatch):
    import brfkit.analysis.network.robustness as module

    calls = []

    def breaking(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(module, "evaluate", breaking)
    out = tmp_path / "r.csv"
    arguments = ["robustness", checkpoint, "--perturbation", "input-noise", "--levels", "0.1,0.5", "--repeats", "2"]
    assert run([*arguments, "--samples", "3", "--backend", "reference", "--out", str(out)]) == 130
    assert len(out.read_text().splitlines()) == 3
    # and can be drawn
    assert run(["robustness", str(out), "--plot", str(tmp_path / "r.png"), "--json"]) == 0


def test_several_networks_in_one_picture_also_from_files(checkpoint, tmp_path, capfd):
    from brfkit.plotting.robustness import robustness_figure

    settings = ["--perturbation", "spike-deletion", "--levels", "0,0.5", "--repeats", "1", "--samples", "3"]
    settings += ["--backend", "reference"]
    first, both = tmp_path / "=one.csv", tmp_path / "both.csv"
    assert run(["robustness", checkpoint, *settings, "--out", str(first)]) == 0
    capfd.readouterr()
    assert run(["robustness", checkpoint, str(first), *settings, "--label", "a", "--label", "=b", "--json",
                "--out", str(both), "--plot", str(tmp_path / "both.pdf")]) == 0  # fmt: skip
    facts = json.loads(capfd.readouterr().out)
    assert list(facts["networks"]) == ["a", "=b"]
    found = read_results(both)
    assert list(found) == ["a", "'=b"]  # no formula
    one, two = found.values()
    assert one.points == replace(two, points=one.points).points
    assert [point.accuracy for point in one.points] == [point.accuracy for point in two.points]
    assert one.to_dict()["chance"] == facts["networks"]["a"]["chance"]
    drawn = robustness_figure(found)
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert {"a", "'=b"} <= set(labels)
    assert any(label.startswith("most frequent class") for label in labels)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["A"], 2, "Missing option '--perturbation'"),
        (["T", "--perturbation", "input-noise"], 1, "is of spike-deletion, not of input-noise"),
        (["T", "T", "--label", "a"], 2, "once for each of the 2 networks"),
        (["T", "T"], 1, "there is a network n already"),
        (["O"], 1, "does not say which perturbation"),
        (["B", "--perturbation", "input-noise"], 1, "cannot be read as robustness"),
    ],
)
def test_files_that_cannot_be_drawn(tmp_path, capfd, arguments, code, reason):
    head = "level,repeat,samples,accuracy,loss,spikes_per_sample,seconds"
    (tmp_path / "T.csv").write_text(
        f"{head},network,perturbation,dataset,neuron,chance\n0,0,3,50,1,2,0.1,n,spike-deletion,ecg,brf,20\n"
    )
    (tmp_path / "O.csv").write_text(f"{head}\n0,0,3,50,1,2,0.1\n")
    (tmp_path / "B.csv").write_text(f"{head}\ninf,0,3,x,1,2,0.1\n")
    names = {"A": "run", **{n: str(tmp_path / f"{n}.csv") for n in "TOB"}}
    assert run(["robustness", *(names.get(a, a) for a in arguments)]) == code
    assert reason in capfd.readouterr().err
    old = read_results(tmp_path / "O.csv", "input-noise")
    assert old["O"].mean("accuracy") == [50.0]


def test_chance_is_the_most_frequent_class(split):
    from types import SimpleNamespace

    labels = np.zeros((4, 10), np.int64)
    labels[:, 6:] = 1
    labels[0, 0] = -1  # does not count
    subject = SimpleNamespace(split=SimpleNamespace(y=labels), task=Task("every", "every", 2))
    assert most_frequent(subject) == 50.0
    subject.task = Task("last", "last")
    assert most_frequent(subject) == 100.0


def published(reference_dir, kind, who="brf"):
    document = json.loads((reference_dir / "published.json").read_text())["robustness_smnist"][kind]
    key = next(k for k in document[who] if "published_checkpoint" in k)
    return dict(zip(document["levels"], document[who][key], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "tolerance"),
    [("input-noise", "input_noise", 0.5), ("spike-deletion", "spike_deletion", 0.5),
     ("synaptic-noise", "synaptic_noise", 0.5), ("bit-precision", "bit_precision", 0.1)],
)  # fmt: skip
def test_published_s_mnist_network_is_as_robust_as_published(reference_dir, data_dir, name, kind, tolerance):
    """All 10,000 images, at levels where most are still right; the rest varies too much between repeats."""
    wanted = {level: value for level, value in published(reference_dir, kind).items() if value > 50}
    path = reference_dir / "checkpoints" / "smnist_brf.pt"
    result = robustness(path, name, "smnist", neuron="brf", levels=tuple(wanted), data_dir=data_dir)
    found = dict(zip(result.levels, result.mean("accuracy"), strict=True))
    std = dict(zip(result.levels, result.std("accuracy"), strict=True))
    for level, value in wanted.items():
        # Noise on weights is one draw for all images, so repeats differ by `std`: two means of 5 differ by that much.
        room = max(tolerance, 4 * std[level] * np.sqrt(2 / 5)) if name == "synaptic-noise" else tolerance
        assert abs(found[level] - value) <= room, (level, found[level], value)
