"""The benchmark on shapes so small that only its logic is tested, not the speed of anything."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from brfkit.backends import get_backend
from brfkit.bench import bench, jax_loop, latency, measure, memory, rates, roofline, workloads
from brfkit.bench.contestants import PEERS
from brfkit.bench.roofline import LayerSize, Work, count_backward, count_forward, operations
from brfkit.bench.workloads import SHAPES, PaperShape, make_workload
from brfkit.cli import run as run_cli
from brfkit.cli.commands.bench import PEERS as PEER_NAMES
from brfkit.cli.commands.bench import SHAPES as SHAPE_NAMES
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer
from brfkit.runs.provenance import git_commit, machine

TINY = {
    "ecg": PaperShape("ecg", 3, 40, 4, 6, 5, firing_rate=0.14, density=0.06, labels_per_step=True),
    "shd": PaperShape("shd", 3, 30, 20, 6, 5, firing_rate=0.10, density=0.10, events=True),
    "smnist": PaperShape("smnist", 3, 50, 1, 6, 5, firing_rate=0.08, density=0.2),
}


@pytest.fixture(autouse=True)
def _nothing_at_hand(monkeypatch, tmp_path):
    """No data and no trained weights, and one thread, since the tensors are tiny."""
    monkeypatch.setenv("BRFKIT_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("BRFKIT_REFERENCE_DIR", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(name: str = "ecg", **options) -> workloads.Workload:
    return make_workload(name, get_backend("numba", threads=1), shape=TINY[name], **options)


@pytest.mark.parametrize("name", TINY)
def test_generated_workloads_spike_as_often_as_trained_ones(name):
    workload, shape = tiny(name), TINY[name]
    assert workload.firing_rate == pytest.approx(shape.firing_rate, rel=workloads.RATE_TOLERANCE)
    assert workload.nonzeros / workload.dense().size == pytest.approx(shape.density, abs=0.05)
    assert isinstance(workload.x, Events) == shape.events
    assert workload.labels.ndim == 1 + shape.labels_per_step
    assert "generated" in workload.data


def test_a_workload_follows_from_its_seed():
    one, same, other = tiny(), tiny(), tiny(seed=1)
    assert all(np.array_equal(one.weights[n], same.weights[n]) for n in one.weights)
    assert np.array_equal(one.x, same.x)
    assert not np.array_equal(one.x, other.x)


def test_the_papers_shapes_are_those_of_the_command():
    assert set(SHAPE_NAMES) == set(SHAPES)
    assert tuple(PEER_NAMES) == PEERS
    assert SHAPES["shd"].sizes == (32, 250, 700, 128, 20)


def test_gains_that_do_not_exist_are_reported():
    with pytest.raises(BrfkitError, match="no scale"):
        workloads._search_gain(lambda gain: 0.0, 0.1)
    assert workloads._search_gain(lambda gain: gain / 64, 0.5) == pytest.approx(32, rel=workloads.RATE_TOLERANCE)


def test_trained_weights_are_taken(tmp_path):
    from brfkit.checkpoints.native import Checkpoint, save_checkpoint

    made = tiny()
    save_checkpoint(tmp_path / "mine.npz", Checkpoint(made.network, made.weights))
    found = tiny(checkpoint=tmp_path / "mine.npz")
    assert found.weights_from == "mine.npz"
    assert np.array_equal(found.weights["hidden0.w_rec"], made.weights["hidden0.w_rec"])
    with pytest.raises(BrfkitError, match="not of 1 inputs"):
        tiny("smnist", checkpoint=tmp_path / "mine.npz")
    with pytest.raises(BrfkitError, match="not a folder"):
        tiny(checkpoints=tmp_path / "nowhere")


@pytest.mark.parametrize("name", TINY)
def test_both_contestants_compute_the_same_and_keep_their_weights(name):
    workload = tiny(name)
    backend = get_backend("numba", threads=1)
    plain, ours = measure.PlainLoop(workload, 1), measure.Fused(workload, backend, 1)
    assert measure.warm(ours) == pytest.approx(measure.warm(plain), rel=1e-3)
    assert all(np.array_equal(workload.weights[n], w) for n, w in ours.trainer.module.weights().items())
    weight = np.hstack([workload.weights["hidden0.w_in"], workload.weights["hidden0.w_rec"]])
    assert np.array_equal(plain.model.cell.weight.detach().numpy(), weight)
    for mine, theirs in (("hidden0__w_rec", "cell.weight"), ("readout__w_in", "readout.weight")):
        a = dict(ours.trainer.module.named_parameters())[mine].grad
        b = dict(plain.model.named_parameters())[theirs].grad
        torch.testing.assert_close(a, b[:, -a.shape[1] :], rtol=1e-3, atol=1e-5)


def test_contestants_that_disagree_are_not_timed():
    workload = tiny()
    ours = measure.Fused(workload, get_backend("numba", threads=1), 1)
    with pytest.raises(BrfkitError, match="do not compute the same"):
        measure.compare(measure.PlainLoop(workload, 1), 100.0, ours, 1)


def test_turns_alternate_and_the_median_counts(monkeypatch):
    calls = []
    clock = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(measure.time, "sleep", lambda seconds: None)
    pair = measure.take_turns(lambda: calls.append("A"), lambda: calls.append("B"), 3)
    assert "".join(calls) == "AB" + "AABB" * 3  # the first call of a turn is not timed
    assert (pair.peer_ms, pair.ours_ms, pair.ratio, pair.turns, pair.calls) == (500.0, 500.0, 1.0, 3, 1)


@pytest.mark.parametrize("name", ["ecg", "shd"])
def test_the_peak_of_a_step_is_measured_from_a_file(name, tmp_path):
    workload = tiny(name)
    memory.save_workload(tmp_path / "w.npz", workload)
    loaded = memory.load_workload(tmp_path / "w.npz")
    assert loaded.network == workload.network
    assert loaded.task == workload.task
    np.testing.assert_array_equal(loaded.dense(), workload.dense())
    np.testing.assert_array_equal(loaded.first_steps(7).dense(), workload.dense()[:7])
    for who in ("plain", "numba"):
        found = memory.peak_of_step(loaded, who, 1)
        assert found["extra_mib"] is None or 0 <= found["extra_mib"] < 500
        assert found["first_step_s"] > 0


def test_a_failing_process_is_one_line(tmp_path):
    with pytest.raises(BrfkitError, match="unknown backend"):
        memory.measure_fresh(tiny(), "nobody", 1)


def size(**changes) -> LayerSize:
    given = LayerSize(10, 4, 3, 5, "dense", active=7, spikes=20, above=0, tile=4, segment=4)
    return replace(given, **changes)


def by_name(work: list[Work]) -> dict[str, Work]:
    return {w.name: w for w in work}


def test_forward_work_is_what_it_is_by_hand():
    layer, brf = Layer("hidden0", "brf", 5), build_model("brf")
    cells = 10 * 4 * 5
    work = by_name(count_forward(layer, size(), keep=True))
    assert work["input"].fused == 2 * cells * 3
    assert (work["recurrent"].single, work["recurrent"].cache) == (20 * 5, 4 * 20 * 5)
    # u, v: 4 products or sums for each of 2 and 3 terms; b, argument of the spike, q
    assert operations(brf.step) == len(brf.step.statements) == 1 + 8 + 6 + 3 + 2
    assert work["neurons"].single == operations(brf.step) * cells
    assert work["out"].memory == cells / 8
    assert work["kept"].memory == 4 * 3 * 4 * 5 * 3  # three segments of at most 4 steps
    events = by_name(count_forward(layer, size(source="events"), keep=False))
    assert (events["input"].single, events["input"].fused) == (7 * 5, 0)
    assert "kept" not in events


def test_backward_work_is_what_it_is_by_hand():
    layer, brf = Layer("hidden0", "brf", 5), build_model("brf")
    cells = 10 * 4 * 5
    work = by_name(count_backward(layer, size(above=2)))
    assert work["input"].fused == 2 * cells * 3
    assert work["recurrent"].single == 20 * 5
    assert work["recompute"].memory == 4 * 3 * 4 * 5 * 3
    assert work["recurrent product"].fused == 2 * 4 * 10 * 5**2
    assert work["recurrent product"].cache == 4 * 10 * 5**2
    assert work["from above"].fused == 2 * 4 * 10 * 5 * 2
    assert work["adjoint"].single == (operations(brf.step_vjp_of_slopes) + 3) * cells
    assert operations(brf.step_with_slopes) == len(brf.step_with_slopes.statements) + 15 * sum(
        s.op == "exp" for s in brf.step_with_slopes.statements
    )
    readout = by_name(count_backward(Layer("readout", "li", 5, recurrent=False), size(source="spikes")))
    assert "recurrent product" not in readout
    assert readout["input gradient"].single == 7 * 5


def test_the_bound_is_the_slowest_resource():
    machine = rates.Rates(2, sgemm=100.0, cache_read=10.0, cache_copy=5.0, memory_copy=1.0)
    assert Work("", fused=50, single=25, cache=5, memory=0.5).seconds(machine) == 1.0
    assert Work("", cache=20).seconds(machine) == 2.0
    assert Work("", memory=3).seconds(machine) == 3.0
    single = rates.Rates(1, sgemm=80.0, cache_read=4.0, cache_copy=5.0, memory_copy=1.0)
    used = machine.at_most(single, 1)
    assert (used.sgemm, used.cache_read, used.memory_copy) == (80.0, 4.0, 1.0)
    assert machine.at_most(single, 2) == machine


def test_roofline_of_a_workload():
    workload = tiny("shd")
    machine = rates.Rates(1, 1e9, 1e9, 1e9, 1e9)
    found = roofline.roofline(workload, machine, machine, dict.fromkeys(roofline.SCANS, 10.0))
    backward = found["backward"]
    assert backward["share"] == pytest.approx(backward["bound_ms"] / 10.0)
    assert {p["name"] for p in backward["parts"]} >= {"hidden0: recurrent product", "readout: adjoint"}
    assert found["inference"]["memory_mb"] < found["forward"]["memory_mb"]
    hidden, readout = roofline.sizes(workload)
    assert (hidden.active, readout.active) == (workload.nonzeros, workload.spikes["hidden0"])


def test_the_machine_is_described(tmp_path):
    facts = machine(1)
    assert {"cpu", "processors", "threads", "torch", "numba", "commit", "date"} <= facts.keys()
    assert git_commit(tmp_path) is None


@pytest.fixture
def tiny_command(monkeypatch):
    """The command with tiny shapes, and with a machine whose rates are known."""
    monkeypatch.setattr(bench, "SHAPES", TINY)
    monkeypatch.setattr(rates, "measure_rates", lambda threads: rates.Rates(threads, 1e9, 1e9, 1e9, 1e9))
    monkeypatch.setattr(rates, "product_rate", lambda units, batch, threads: 1e9)
    return ["bench", "--shape", "shd", "--threads", "1", "--repeats", "2", "--no-memory"]


def test_json_report_and_file(tiny_command, tmp_path, capsys):
    out = tmp_path / "report.json"
    backends = ["--backend", "numba", "--backend", "torch"]
    assert run_cli([*tiny_command, *backends, "--json", "--roofline", "--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == report
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    assert [r["backend"] for r in report["results"]] == ["numba", "torch"]
    first = report["results"][0]
    assert (first["shape"], first["batch"], first["steps"], first["hidden"]) == ("shd", 3, 30, 6)
    for what in ("train", "inference"):
        pair = first[what]
        assert pair["lowest"] <= pair["ratio"] <= pair["highest"]
        assert pair["turns"] == 2
    assert first["roofline"]["backward"]["bound_ms"] > 0
    assert report["results"][1]["roofline"] is None
    assert report["machine"]["threads"] == 1
    assert run_cli([*tiny_command, "--out", str(out)]) == 1  # an existing report stays
    assert "--force" in capsys.readouterr().err


def test_table(tiny_command, capsys):
    assert run_cli([*tiny_command, "--roofline"]) == 0
    shown = capsys.readouterr().out
    for text in ("training", "inference", "×", "Roofline", "backward", "generated"):
        assert text in shown


def test_memory_of_fresh_processes_is_reported(tiny_command, capsys, monkeypatch):
    found = {"plain": memory.FreshProcess(100.0, 0.1), "numba": memory.FreshProcess(8.0, 0.2, 7.0)}
    monkeypatch.setattr(memory, "measure_fresh", lambda workload, who, *rest: found[who])
    assert run_cli([*tiny_command[:-1], "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["memory"] == {"plain_mib": 100.0, "ours_mib": 8.0, "ratio": 12.5}
    assert result["first_step"] == {"first_step_s": 0.2, "compile_s": 7.0, "plain_first_step_s": 0.1}


@pytest.mark.parametrize("name", ["ecg", "shd"])
def test_steps_one_by_one_give_what_the_sequence_gives(name):
    workload = tiny(name)
    sample = np.ascontiguousarray(workload.dense()[:, :1])
    backend = get_backend("numba", threads=1)
    expected = backend.scan(workload.network, workload.weights, sample).outputs
    for contestant in (measure.PlainLoop(workload, 1), measure.Fused(workload, backend, 1)):
        for _ in range(2):  # each stream begins anew
            step = latency.stream(contestant)
            found = np.stack([step(x) for x in sample])
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_the_latency_of_single_steps(tiny_command, capsys):
    assert run_cli([*tiny_command, "--latency", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = report["results"][0]["latency"]
    assert (report["against"], found["steps"], found["turns"]) == ("plain", 30, 2)
    assert found["ratio"] == found["plain_us"] / found["ours_us"]
    assert 0 < found["ours_us"] <= found["ours_99_us"]
    assert run_cli([*tiny_command, "--latency"]) == 0
    shown = capsys.readouterr().out
    assert "µs" in shown
    assert "99" in shown


def test_medians_of_the_steps_after_the_first_turn(monkeypatch):
    workload, backend = tiny("shd"), get_backend("numba", threads=1)
    took = iter([9.0, 9.0, 3e-6, 1e-6, 5e-6, 1e-6])  # seconds a step: peer, ours, peer, ours, …
    monkeypatch.setattr(latency, "_pass", lambda contestant, sample: np.full(len(sample), next(took)))
    ours = measure.Fused(workload, backend, 1)
    found = latency.measure_latency(measure.PlainLoop(workload, 1), ours, workload, 2)
    assert (found.peer_us, found.ours_us, found.ratio) == pytest.approx((4.0, 1.0, 4.0))
    assert found.peer_99_us == pytest.approx(5.0)


def test_gradients_in_bfloat16_are_timed(tiny_command, capsys, caplog, monkeypatch):
    seen = []
    step = measure.Fused.train_step

    def noted(self):
        seen.append(self.trainer.backend.gradient_precision)
        return step(self)

    monkeypatch.setattr(measure.Fused, "train_step", noted)
    assert run_cli([*tiny_command, "--gradient-precision", "bfloat16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gradient_precision"] == "bfloat16"
    assert set(seen) == {"bfloat16"}
    assert "no effect on shd" in caplog.text  # its layer is narrower than what bfloat16 is for
    assert run_cli([*tiny_command, "--gradient-precision", "bfloat16", "--backend", "torch"]) == 1
    assert "no gradient_precision bfloat16" in capsys.readouterr().err


def test_against_jax(tiny_command, capsys):
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    arguments = [a for a in tiny_command if a not in ("--threads", "1")]
    assert run_cli([*arguments, "--against", "jax", "--latency", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (result,) = report["results"]
    assert report["against"] == "jax"
    assert result["jax_loss"] == pytest.approx(result["loss"], rel=1e-3)
    assert result["jax_device"]
    assert result["train"]["jax_ms"] > 0
    assert result["latency"]["jax_us"] > 0
    assert not any("plain" in key for key in (*result, *result["train"], *result["latency"]))
    found = memory.peak_of_step(tiny("shd"), "jax", 1)
    assert found["extra_mib"] is None or 0 <= found["extra_mib"] < 500


def test_without_jax_nothing_is_begun(tiny_command, capsys, monkeypatch):
    def missing(name):
        raise BrfkitError(f"{name} is not here")

    monkeypatch.setattr(jax_loop, "_import", missing)
    monkeypatch.setattr(bench, "make_workload", lambda *given, **named: pytest.fail("a workload was made"))
    arguments = [a for a in tiny_command if a not in ("--threads", "1")]
    assert run_cli([*arguments, "--against", "jax"]) == 1
    assert capsys.readouterr().err == "Error: jax is not here\n"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--against", "jax", "--threads", "1000"], 1, "not with 1000"),
        (["--against", "tpu"], 2, "against"),
        (["--gradient-precision", "float16"], 2, "gradient-precision"),
        (["--shape", "shd", "--shape", "ecg", "--checkpoint", "x.npz"], 1, "one shape"),
        (["--shape", "mnist"], 2, "shape"),
        (["--backend", "tpu"], 2, "backend"),
        (["--shape", "ecg", "--checkpoint", "no-such-file.npz"], 1, "no-such-file"),
    ],
)
def test_mistakes_are_one_line(arguments, code, complaint, capsys):
    assert run_cli(["bench", *arguments]) == code
    assert complaint in capsys.readouterr().err
