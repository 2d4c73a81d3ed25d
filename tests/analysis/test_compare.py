"""Comparison of runs: grouping, figures that can be worked out by hand, tables, and what is left out."""

import csv
import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from brfkit.analysis.runs.columns import NAMES, digits_for, duration, spread
from brfkit.analysis.runs.compare import compare, figures
from brfkit.analysis.runs.groups import epoch_of_share
from brfkit.analysis.runs.labels import LONGEST, name_groups
from brfkit.analysis.runs.latex import to_latex
from brfkit.analysis.runs.significance import paired_p
from brfkit.analysis.runs.tables import cells, curves_csv, to_csv, to_markdown, write_table
from brfkit.errors import BrfkitError
from brfkit.runs.config import Config
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row, write_metrics
from tests.clock import child_seconds

FACTS = {"parameters": 45, "steps": 50, "channels": 2, "classes": 3, "active_inputs": 10.0}


def make_run(folder, accuracies, *, losses=None, spikes=20.0, finished=True, facts=FACTS, split=TEST, **sections):
    """A run folder as training leaves it, with these accuracies from epoch 0 on and falling validation loss."""
    folder.mkdir(parents=True)
    config = Config.from_dict({"data": {"dataset": "ecg"}, **sections})
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    losses = losses or [10.0 - e for e in range(len(accuracies))]
    rows = [Row(e, VALIDATION, losses[e], 0.0, 0.0, 0.5) for e in range(len(accuracies))]
    rows += [Row(e, split, losses[e], a, spikes, 1.0) for e, a in enumerate(accuracies)]
    rows += [Row(e, TRAIN, 1.0, 50.0, 9.0, 2.0) for e in range(1, len(accuracies))]
    write_metrics(folder / "metrics.csv", sorted(rows, key=lambda row: row.epoch))
    (folder / "run.json").write_text(json.dumps(facts))
    if finished:
        (folder / "result.json").write_text(json.dumps({"diverged": None, "parameters": facts.get("parameters")}))
    return folder


def brf(seed=0, hidden=4, **training):
    return {"network": {"neuron": "brf", "hidden": [hidden]}, "training": {"seed": seed, "epochs": 3, **training}}


def test_epoch_of_share():
    epochs, accuracy = np.arange(6), np.array([10.0, 94.9, 96.0, 99.0, 97.0, 100.0])
    assert [epoch_of_share(epochs, accuracy, p) for p in (95, 98, 100)] == [2, 3, 5]
    # what was there before training was not learned
    assert epoch_of_share(epochs, np.zeros(6), 95) is None
    assert epoch_of_share(epochs, np.full(6, 10.0), 95) is None
    assert epoch_of_share(epochs, np.full(6, np.nan), 95) is None


def test_figures_of_a_group_by_hand(tmp_path):
    a = make_run(tmp_path / "a", [10.0, 78.0, 80.0], spikes=20.0, **brf(0))
    b = make_run(tmp_path / "b", [20.0, 50.0, 90.0], spikes=40.0, **brf(1))
    (group,) = compare([a, b]).groups
    values = figures(group)
    assert (values["label"], values["runs"], values["seeds"]) == ("brf", 2, [0, 1])
    assert values["accuracy_mean"] == 85.0
    assert values["accuracy_std"] == pytest.approx(math.sqrt(50.0))  # (5² + 5²) / (2 - 1)
    assert values["accuracy_best"] == 90.0
    assert values["spikes_per_sample_mean"] == 30.0
    # 95 % of 80 is 76: epoch 1; 95 % of 90 is 85.5: epoch 2. The mean curve is 15, 64, 85: epoch 2.
    assert (values["epoch_95_mean"], values["curve_epoch_95"]) == (1.5, 2)
    assert values["seconds_mean"] == 3 * 0.5 + 3 * 1.0 + 2 * 2.0
    # 10 inputs reach 4 neurons each; 30 spikes reach 4 neurons and 3 readouts each.
    assert values["synaptic_operations_mean"] == 10 * 4 + 30 * (4 + 3)
    assert values["synaptic_operations_dense_mean"] == 50 * (2 * 4 + 4 * 4 + 4 * 3)
    assert values["firing_rate_mean"] == pytest.approx(30 / (50 * 4))
    assert values["parameters"] == 45


def test_the_figures_are_those_of_the_lowest_validation_loss(tmp_path):
    a = make_run(tmp_path / "a", [10.0, 70.0, 60.0], losses=[3.0, 1.0, 2.0], **brf())
    values = figures(compare([a]).groups[0])
    assert (values["accuracy_mean"], values["best_epoch_mean"], values["final_accuracy_mean"]) == (70.0, 1.0, 60.0)


def test_groups_differ_in_more_than_the_seed(tmp_path):
    runs = [
        make_run(tmp_path / f"{i}", [1.0, 2.0], **brf(seed, hidden, **more))
        for i, (seed, hidden, more) in enumerate(
            [(0, 4, {}), (0, 8, {}), (1, 4, {"keep_weights": True}), (0, 4, {"learning_rate": 0.2})]
        )
    ]
    groups = compare(runs).groups
    assert [[run.folder.name for run in group.runs] for group in groups] == [["0", "2"], ["1"], ["3"]]
    assert len({group.label for group in groups}) == 3
    named = compare(runs, labels=["x", "y", "z"]).groups
    assert [group.label for group in named] == ["x", "y", "z"]
    with pytest.raises(BrfkitError, match="2 labels for 3 groups"):
        compare(runs, labels=["x", "y"])


def config(**network):
    return Config.from_dict({"data": {"dataset": "ecg"}, "network": network}).to_dict()


def labels_of(*configs, folders=()):
    return [name.label for name in name_groups(configs, folders)]


def test_labels_say_what_differs():
    assert labels_of(config(), config(neuron="rf")) == ["brf", "rf"]
    cut = config(options={"smooth_reset": False})
    assert labels_of(config(), cut, folders=["a", "b"]) == ["brf", "brf, no smooth reset"]
    wide = config(hidden=[128, 64])
    assert labels_of(config(), wide) == ["brf, hidden 64", "brf, hidden 128-64"]
    other = {**config(), "data": {**config()["data"], "dataset": "shd"}}
    assert labels_of(config(), other) == ["brf on ecg", "brf on shd"]
    lossy = Config.from_dict({"data": {"dataset": "ecg"}, "training": {"spike_dropout": 0.1}}).to_dict()
    trained = config(trainable=["gamma"])
    assert labels_of(config(), lossy) == ["brf", "brf, spike dropout 0.1"]
    assert labels_of(config(), trained) == ["brf", "brf, trainable gamma"]


def test_long_labels_give_way_to_folders():
    plain, far = config(), config(
        hidden=[128, 128], discretisation="exact", trainable=["gamma"], options={"smooth_reset": False}
    )  # fmt: skip
    without = labels_of(plain, far)
    assert len(without[1]) > LONGEST
    names = name_groups([plain, config(neuron="rf"), far], ["plain", "rf", "far"])
    assert [name.label for name in names] == ["brf (plain)", "rf", "brf (far)"]
    assert [f"brf, {name.settings}" for name in names[::2]] == without
    assert "discretisation exact" in names[2].settings
    assert names[1].settings == ""


def test_folders_tell_groups_apart(tmp_path):
    """Of folders of the same name as much of the path as it takes; a folder of seeds stands for its runs."""
    far = {"average": 0.99, "schedule": "cosine", "learning_rate": 0.03, "clip_norm": 1.0}
    runs = [
        make_run(tmp_path / "x" / "run" / "seed-0", [1.0, 2.0], **brf(0)),
        make_run(tmp_path / "x" / "run" / "seed-1", [1.0, 2.0], **brf(1)),
        make_run(tmp_path / "y" / "run", [1.0, 2.0], **brf(0, 8, **far)),
    ]
    groups = compare(runs).groups
    assert [group.label for group in groups] == ["brf (x/run)", "brf (y/run)"]
    assert all(group.hides_settings for group in groups)
    assert "average 0.99" in figures(groups[1])["settings"]
    assert not compare(runs[:2]).groups[0].hides_settings


def test_runs_of_different_lengths(tmp_path):
    a = make_run(tmp_path / "a", [0.0, 50.0, 60.0], finished=False, **brf(0))
    b = make_run(tmp_path / "b", [0.0, 70.0, 80.0, 90.0], **brf(1))
    result = compare([a, b])
    epochs, mean, std = result.groups[0].curve("accuracy")
    np.testing.assert_array_equal(epochs, [0, 1, 2])
    np.testing.assert_array_equal(mean, [0.0, 60.0, 70.0])
    np.testing.assert_allclose(std, [0.0, np.sqrt(200), np.sqrt(200)])
    assert any("not finished: epoch 2 of 3" in remark for remark in result.remarks)
    assert any("2 to 3 epochs" in remark for remark in result.remarks)


def test_broken_runs_are_named_and_left_out(tmp_path):
    good = make_run(tmp_path / "good", [1.0, 2.0], **brf())
    cut = make_run(tmp_path / "cut", [1.0, 2.0], **brf())
    (cut / "metrics.csv").write_text("epoch,split\n1,te")
    odd = make_run(tmp_path / "odd", [1.0, 2.0], **brf())
    (odd / "config.json").write_text('{"training": {"epoch": 1}}')
    blind = make_run(tmp_path / "blind", [1.0, 2.0], split=TRAIN, **brf())
    bad = make_run(tmp_path / "bad", [1.0, 2.0], **brf())
    (bad / "result.json").write_text("{")
    empty = tmp_path / "empty"
    empty.mkdir()
    folders = [good, cut, odd, blind, bad, empty, tmp_path / "none"]
    result = compare(folders)
    assert [run.folder for group in result.groups for run in group.runs] == [good]
    reasons = dict(result.left_out)
    assert list(reasons) == [str(f) for f in folders[1:]]
    assert "no test figures" in reasons[str(blind)]
    assert "no config.json" in reasons[str(empty)]
    assert "no such folder" in reasons[str(tmp_path / "none")]
    with pytest.raises(BrfkitError, match="none of the folders"):
        compare(folders[1:])


def test_a_run_counts_once_and_seeds_of_one_folder_are_its_runs(tmp_path):
    for seed in (0, 1, 10, 2):
        make_run(tmp_path / "all" / f"seed-{seed}", [1.0, 2.0 + seed], **brf(seed))
    (group,) = compare([tmp_path / "all", tmp_path / "all" / "seed-1"]).groups
    assert [run.seed for run in group.runs] == [0, 1, 2, 10]
    make_run(tmp_path / "again", [1.0, 2.0], **brf(1))
    assert any("seed 1 is there 2 times" in r for r in compare([tmp_path / "all", tmp_path / "again"]).remarks)


def test_runs_without_facts_have_no_cost(tmp_path):
    old = make_run(tmp_path / "a", [1.0, 2.0], facts={"parameters": 7}, **brf())
    comparison = compare([old])
    assert math.isnan(figures(comparison.groups[0])["synaptic_operations_mean"])
    assert "| – | – | – |" in to_markdown(comparison)


def test_spikes_of_several_layers_come_from_the_result(tmp_path):
    two = brf()
    two["network"]["hidden"] = [4, 5]
    run = make_run(tmp_path / "a", [1.0, 2.0], **two)
    assert compare([run]).groups[0].runs[0].cost is None
    (run / "result.json").write_text(json.dumps({"diverged": None, "spikes_by_layer": [6.0, 2.0]}))
    cost = compare([run]).groups[0].runs[0].cost
    assert cost.effective == 10 * 4 + 6 * (4 + 5) + 2 * (5 + 3)
    assert cost.dense == 50 * (2 * 4 + 4 * (4 + 5) + 5 * (5 + 3))
    assert cost.firing_rate == 8 / (50 * 9)


def test_a_diverged_run_is_told(tmp_path):
    run = make_run(tmp_path / "a", [1.0, 2.0], **brf())
    (run / "result.json").write_text(json.dumps({"diverged": "training diverged in epoch 2"}))
    assert compare([run]).remarks == (f"{run} diverged (training diverged in epoch 2)",)


def test_tables(tmp_path):
    a = make_run(tmp_path / "a", [10.0, 78.0, 80.0], spikes=2000.0, **brf(0))
    b = make_run(tmp_path / "b", [20.0, 50.0, 90.0], spikes=4000.0, **brf(1))
    c = make_run(tmp_path / "c", [20.0, 50.0, 90.0], **brf(1, 8))
    comparison = compare([a, b, c], labels=["50 % & more", "wide|one"])
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [row["label"] for row in rows] == ["50 % & more", "wide|one"]
    assert float(rows[0]["accuracy_std"]) == figures(comparison.groups[0])["accuracy_std"]
    assert rows[0]["seeds"] == "0 1"
    markdown = to_markdown(comparison)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "85.00 ± 7.07" in markdown
    assert comparison.definition[1:] in markdown.replace("\\", "")
    latex = to_latex(comparison, ["accuracy", "spikes", "p"])
    assert r"50 \% \& more" in latex
    assert r"85.00 \pm 7.07" in latex
    assert r"3000 \pm 1414" in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in body}) == 1
    curves = list(csv.DictReader(io.StringIO(curves_csv(comparison))))
    assert len(curves) == 6
    assert float(curves[1]["accuracy_mean"]) == 64.0
    with pytest.raises(BrfkitError, match="must end in"):
        write_table(tmp_path / "t.txt", comparison)


def test_duration():
    assert [duration(s) for s in (1.25, 59.96, 61.0, 3600.0, 7384.0)] == [
        "1.2 s",
        "60.0 s",
        "1 min 01 s",
        "1 h 00 min",
        "2 h 03 min",
    ]


def test_a_network_that_never_learned_is_not_the_fastest(tmp_path):
    """Neither one that stays as it began, nor one at chance, nor a silent one has an epoch of 95 %."""
    made = {
        "learned": make_run(tmp_path / "a", [33.0, 78.0, 80.0], **brf(0)),
        "as before": make_run(tmp_path / "b", [40.0, 20.0, 40.0], **brf(0, 5)),
        "at chance": make_run(tmp_path / "c", [30.0, 33.0, 35.0], **brf(0, 6)),
        "silent": make_run(tmp_path / "d", [20.0, 34.0, 60.0], spikes=0.0, **brf(0, 7)),
    }
    comparison = compare(list(made.values()), labels=list(made))
    values = {group.label: figures(group) for group in comparison.groups}
    assert (values["learned"]["epoch_95_mean"], values["learned"]["curve_epoch_95"]) == (1.0, 1)
    for name in list(made)[1:]:
        assert math.isnan(values[name]["epoch_95_mean"])
        assert values[name]["curve_epoch_95"] is None
    assert values["silent"]["state"] == "silent"
    remarks = " ".join(comparison.remarks)
    assert "b has not learned: its accuracy ends at 40.00 %" in remarks
    assert "d is silent: no neuron spikes at epoch 2; --w-in-init data scales" in remarks
    shown = cells(comparison)
    assert [row["epoch of 95 %"] for row in shown] == ["1", "–", "–", "–"]
    assert [row["state"] for row in shown] == ["finished", "finished", "finished", "silent"]
    assert list(csv.DictReader(io.StringIO(to_csv(comparison))))[1]["epoch_95_mean"] == ""


def test_states_are_told_in_table_and_picture(tmp_path):
    from brfkit.plotting.compare import compare_figure

    runs = [
        make_run(tmp_path / "a", [1.0, 50.0, 60.0], finished=False, **brf(0)),
        make_run(tmp_path / "b", [1.0, 50.0, 60.0], **brf(1)),
        make_run(tmp_path / "c", [1.0, 2.0], spikes=0.0, **brf(0, 8)),
    ]
    comparison = compare(runs)
    assert [group.state for group in comparison.groups] == ["1 epoch 2 of 3, 1 finished", "silent"]
    legend = [text.get_text() for text in compare_figure(comparison).legends[0].get_texts()]
    assert legend[1].endswith("(1 run; silent)")


def test_what_training_noted_is_shown(tmp_path):
    """A network of which one layer is silent, and one with frozen weights: a mark, and the option that helps."""
    silent = "no neuron of hidden1 spikes: its outputs do not depend on the input; a larger --dt or larger inputs help"
    results = {
        "a": {"notes": ["class 2 has no sample", silent], "silent": True, "frozen_weights": 0},
        "b": {"notes": [], "silent": False, "frozen_weights": 1234},
        "c": {"notes": [], "silent": False, "frozen_weights": 0},
    }
    runs = []
    for hidden, (name, result) in enumerate(results.items(), 4):
        runs.append(make_run(tmp_path / name, [1.0, 50.0, 60.0], **brf(0, hidden)))
        (runs[-1] / "result.json").write_text(json.dumps({"diverged": None, "parameters": 45, **result}))
    comparison = compare(runs)
    assert [group.state for group in comparison.groups] == ["silent", "finished, frozen weights", "finished"]
    assert comparison.remarks == (
        f"{runs[0]} is silent at epoch 2: {silent}",
        f"{runs[0]}: class 2 has no sample",
        f"{runs[1]}: 1,234 weights did not change in the last epoch although they had a gradient; bound the gradient "
        "with --clip-norm, shorten the backward pass with --tbptt, or lower --lr",
    )
    assert math.isnan(figures(comparison.groups[0])["epoch_95_mean"])
    (runs[2] / "result.json").write_text(json.dumps({"notes": [3]}))
    assert "notes[0] is 3, not text" in compare(runs).left_out[0][1]


def test_one_run_has_no_deviation(tmp_path):
    comparison = compare([make_run(tmp_path / "a", [1.0, 2.0, 30.0], **brf())])
    (group,) = comparison.groups
    assert math.isnan(figures(group)["accuracy_std"])
    assert "±" not in to_markdown(comparison).partition("Mean ±")[0]
    (row,) = csv.DictReader(io.StringIO(to_csv(comparison)))
    assert (row["accuracy_mean"], row["accuracy_std"]) == ("30.0", "")
    assert next(csv.DictReader(io.StringIO(curves_csv(comparison))))["loss_std"] == ""


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (0.56, 0.18, "0.56 ± 0.18"), (2749.2, 227.9, "2,749 ± 228"), (331.3, 2.1, "331.3 ± 2.1"), (0.0, 0.0, "0 ± 0"),
        (0.5567, math.nan, "0.5567"), (2749.2, math.nan, "2,749"), (math.nan, math.nan, "–"),
        (1e-9, 1e-9, "0.000000 ± 0.000000"),
    ],
)  # fmt: skip
def test_small_numbers_keep_their_digits(mean, std, text):
    assert spread(mean, std, digits_for(mean, std)).text == text


def test_differences_are_paired_over_seeds(tmp_path):
    first = [make_run(tmp_path / f"a{s}", [1.0, a], **brf(s)) for s, a in enumerate([80.0, 82.0, 84.0])]
    second = [make_run(tmp_path / f"b{s}", [1.0, a], **brf(s, 8)) for s, a in enumerate([81.0, 84.0, 85.0, 99.0])]
    comparison = compare([*first, *second])
    none, found = comparison.differences()
    assert none is None
    assert (found.count, found.mean) == (3, pytest.approx(4 / 3))
    from scipy.stats import ttest_rel

    assert found.p == pytest.approx(ttest_rel([81.0, 84.0, 85.0], [80.0, 82.0, 84.0]).pvalue)
    assert math.isnan(paired_p([1.0]))
    assert math.isnan(paired_p([0.0, 0.0]))
    assert paired_p([0.5, 0.5]) == 0.0
    row = cells(comparison)[1]
    assert (row["difference (%)"], row["paired p"]) == ("+1.33 ± 0.58", "0.057")
    assert "over 3 common seeds" in to_markdown(comparison)


def test_columns_are_chosen_and_fit_a_page(tmp_path):
    runs = [make_run(tmp_path / f"{s}", [1.0, 80.0 + s], **brf(s)) for s in range(2)]
    comparison = compare(runs)
    write_table(tmp_path / "my table_1.tex", comparison, columns=["spikes", "accuracy"])
    text = (tmp_path / "my table_1.tex").read_text()
    assert r"\label{tab:my-table-1}" in text
    assert [line for line in text.splitlines() if line.startswith("brf")] == [
        r"brf & 20.00 \pm 0.00 & 80.50 \pm 0.71 \\"
    ]
    assert r"\begin{table}" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", "S[table-format=2.2(2)"))
    assert r"\begin{table*}" in to_latex(
        comparison, ["accuracy", "spikes", "rate", "epoch-95", "epoch-98", "epoch-100"]
    )
    with pytest.raises(BrfkitError, match="does not fit a page"):
        to_latex(comparison, NAMES)
    for wrong, reason in ((["speed"], "no column 'speed'"), (["runs", "runs"], "given twice")):
        with pytest.raises(BrfkitError, match=reason):
            to_markdown(comparison, wrong)
    assert list(cells(comparison, ["time"])[0]) == ["network", "wall time"]


def test_labels_are_text_in_every_table(tmp_path):
    label = "=cmd|x [red]$a_{b$ & \\input{x} \x1b[2J"
    comparison = compare([make_run(tmp_path / "a", [1.0, 50.0], **brf())], labels=[label])
    assert next(csv.DictReader(io.StringIO(to_csv(comparison))))["label"].startswith("'=cmd|x")
    texts = [to_csv(comparison), curves_csv(comparison), to_markdown(comparison), to_latex(comparison)]
    assert not any("\x1b" in text for text in texts)
    assert r"\textbackslash{}input\{x\}" in texts[3]
    assert r"=cmd\|x \[red\]\$a_{b\$ &amp;" in texts[2]


def test_picture_has_a_mark_and_a_band(tmp_path):
    from brfkit.plotting.compare import compare_figure

    runs = [make_run(tmp_path / f"{i}", [10.0, 70.0 + i, 80.0], **brf(i)) for i in range(2)]
    runs.append(make_run(tmp_path / "x", [10.0, 70.0, 80.0, 90.0], **brf(0, 8)))
    fig = compare_figure(compare(runs))
    axes = fig.axes
    assert len(axes) == 3
    assert [len(ax.collections) for ax in axes] == [1, 1, 1]
    rings = [line for line in axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(ring.get_xdata()) for ring in rings] == [[2], [3]]  # 95 % of 80 is 76, of 90 is 85.5
    assert axes[0].get_ylabel() == "test accuracy (%)"
    assert [ax.get_yscale() for ax in axes] == ["linear"] * 3
    fig.savefig(tmp_path / "a.png")
    assert compare_figure(compare(runs), stretch_accuracy=True).axes[0].get_yscale() == "function"


def test_loss_over_decades_is_logarithmic(tmp_path):
    from brfkit.plotting.compare import compare_figure

    far = make_run(tmp_path / "a", [10.0, 70.0, 80.0], losses=[2.0, 0.3, 0.01], **brf())
    assert compare_figure(compare([far])).axes[1].get_yscale() == "log"


def test_forty_runs_in_three_seconds_without_torch(tmp_path):
    """The command with its start; folders as large as those of 400 epochs."""
    for i in range(40):
        make_run(tmp_path / f"r{i}", list(np.linspace(10, 90, 401)), **brf(i % 5, 4 + i // 5))
    code = (
        "import sys; from brfkit.cli import run; code = run(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; sys.exit(code)"
    )
    began = child_seconds()
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", *map(str, sorted(tmp_path.iterdir())), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = child_seconds() - began
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["groups"]) == 8
    assert seconds < 3.0


def test_an_lstm_has_no_spikes_to_compare(tmp_path):
    from brfkit.plotting.compare import compare_figure

    runs = [make_run(tmp_path / "a", [1.0, 50.0, 60.0], **brf())]
    runs.append(make_run(tmp_path / "b", [1.0, 50.0, 60.0], spikes=0.0, network={"neuron": "lstm", "hidden": [4]}))
    comparison = compare(runs)
    assert [row["spikes per sample"] for row in cells(comparison)] == ["20.00", "–"]
    assert [group.state for group in comparison.groups] == ["finished", "finished"]
    accuracy, _, spikes = compare_figure(comparison).axes
    assert len([line for line in spikes.lines if len(line.get_xdata()) == 3]) == 1
    assert len({str(line.get_color()) for line in accuracy.lines if len(line.get_xdata()) == 3}) == 2
