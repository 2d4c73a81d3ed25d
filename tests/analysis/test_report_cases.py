"""Reports about what is not whole, of another kind, or in the way."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import brfkit
from brfkit.cli import run
from brfkit.errors import BrfkitError
from brfkit.reports.build import default_out, report
from brfkit.runs.folder import RunFolder
from tests.analysis.report_page import QUICK, SMALL, parse, table, words


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--sections", "run,curve"], 2, "no section 'curve'"),
        (["--sections", ","], 2, "at least one"),
        (["--out", "report.pdf"], 2, "must end in .html"),
        (["--samples", "0"], 2, "--samples"),
        (["--out", "missing/report.html"], 1, "no folder"),
        (["--dataset", "no-such-data", "--out", "a.html"], 1, "no-such-data"),
        (["--neuron", "rf", "--out", "a.html"], 1, "leave --neuron out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(report_folder, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(report_folder), *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_python_refuses_unknown_names(report_folder, tmp_path):
    for wrong in ({"sections": ("all",)}, {"sections": ()}, {"samples": 0}, {"perturbations": ("heat",)}):
        with pytest.raises(BrfkitError):
            report(report_folder, out=tmp_path / "a.html", **wrong)


def test_checkpoint_file_has_no_history_and_no_surface(report_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(report_folder / "best.npz", tmp_path / "net.npz")
    assert str(default_out("net.npz")) == "net-report.html"
    found = report("net.npz", samples=6, sections=("run", "curves", "landscape"), threads=1)
    assert found.sections == ("run",)
    assert "history" in found.skipped["curves"]
    assert "brfkit landscape net.npz --points 51" in found.skipped["landscape"]
    tree = parse((tmp_path / "net-report.html").read_text(encoding="utf-8"))
    known = brfkit.evaluate("net.npz", limit_test=6, threads=1)
    assert table(tree, "Results on 6 test samples")[0] == ["test accuracy", f"{known['accuracy']:.2f} %"]
    notes = [words(e) for e in tree.iter("p") if e.get("class") == "note"]
    assert sum(note.startswith("Not in this report") for note in notes) == 2


@pytest.mark.parametrize(
    ("result", "headline", "expected"),
    [
        (
            {"silent": True, "notes": ["class 9 has no sample", "no neuron of hidden0 spikes; --w-in-init data"]},
            {"silent": "yes"},
            ["The network is silent: no neuron of hidden0 spikes; --w-in-init data.", "Class 9 has no sample."],
        ),
        (
            {"frozen_weights": 1234},
            {"frozen weights": "1,234"},
            ["1,234 weights did not change in the last epoch although they had a gradient; bound the gradient with "
             "--clip-norm, shorten the backward pass with --tbptt, or lower --lr."],
        ),
        ({"notes": [""]}, {}, ["."]),
    ],
)  # fmt: skip
def test_what_training_noted_is_shown(report_folder, tmp_path, result, headline, expected):
    folder = tmp_path / "run"
    shutil.copytree(report_folder, folder, ignore=shutil.ignore_patterns("surface.h5", "report.html"))
    stored = RunFolder(folder)
    stored.write_result(stored.result() | {"notes": [], "silent": False, "frozen_weights": 0} | result)
    stored.write_metrics([replace(row, spikes_per_sample=2.0) for row in stored.metrics()])
    found = report(folder, out=tmp_path / "a.html", sections=("run",), threads=1)
    marks = {name: found.headline[name] for name in ("silent", "frozen weights") if name in found.headline}
    assert marks == headline
    tree = parse((tmp_path / "a.html").read_text(encoding="utf-8"))
    notes = [words(e) for e in tree.iter("p") if e.get("class") == "note"]
    assert [note for note in notes if note != "The run is finished."] == expected


def test_surfaces_are_named_or_found_and_told_apart(report_folder, tmp_path):
    import h5py

    other = tmp_path / "other"
    shutil.copytree(report_folder, other, ignore=shutil.ignore_patterns("surface.h5", "report.html"))
    with h5py.File(other / "data.h5", "w") as file:
        file["x"] = np.zeros(3)  # HDF5, but no surface
    shutil.copy(other / "last.npz", other / "best.npz")
    page = tmp_path / "a.html"
    found = report(other, out=page, sections=("landscape",))
    assert found.sections == ()
    assert found.skipped.keys() == {"landscape"}
    surface = report_folder / "surface.h5"
    brfkit.train("tones", run_dir=other, settings={**SMALL, "training": {"epochs": 1}}, threads=1, force=True)
    found = report(other, out=page, sections=("landscape",), surfaces=[surface], force=True)
    assert found.figures == ("surface-0",)
    assert "other weights than those of this report" in page.read_text(encoding="utf-8")
    assert str(surface) in found.commands["surface-0"][1]


def test_what_fails_for_one_perturbation_leaves_the_others(report_folder, tmp_path, monkeypatch):
    from brfkit.analysis.network import robustness as module

    whole = module.robustness

    def some(network, name, dataset, **options):
        if name == "input-noise":
            raise BrfkitError("no noise for <these> data")
        return whole(network, name, dataset, **options)

    monkeypatch.setattr(module, "robustness", some)
    page = tmp_path / "a.html"
    options = {**QUICK, "perturbations": ("input-noise", "bit-precision")}
    found = report(report_folder, out=page, sections=("robustness",), threads=1, **options)
    assert found.figures == ("bit-precision",)
    notes = [words(e) for e in parse(page.read_text(encoding="utf-8")).iter("p") if e.get("class") == "note"]
    assert notes == ["input-noise: no noise for <these> data"]


def test_interrupt_keeps_what_is_finished(report_folder, tmp_path):
    @contextmanager
    def watch(label, unit):
        if label == "gradients":
            raise KeyboardInterrupt
        yield lambda done, total: None

    page = tmp_path / "a.html"
    with pytest.raises(KeyboardInterrupt):
        report(report_folder, out=page, sections=("curves", "gradients", "landscape"), threads=1, watch=watch)
    tree = parse(page.read_text(encoding="utf-8"))
    assert [f.get("id") for f in tree.iter("figure")] == ["figure-learning-curve"]
    assert page.read_text(encoding="utf-8").count("was interrupted before this section") == 2


def test_lstm_has_a_history_and_nothing_to_look_into(tmp_path):
    run_dir = tmp_path / "lstm"
    brfkit.train("tones", "lstm", run_dir=run_dir, settings=SMALL, threads=1)
    found = report(run_dir, threads=1, **QUICK)
    assert found.sections == ("run", "curves")
    assert set(found.skipped) == {"inspect", "robustness", "gradients", "landscape"}
    assert all("LSTM" in reason for reason in found.skipped.values())


def test_published_checkpoint(reference_dir, data_dir, tmp_path):
    file = reference_dir / "checkpoints" / "ecg_brf.pt"
    page = tmp_path / "ecg.html"
    options = {"samples": 3, "repeats": 1, "perturbations": ("bit-precision",), "threads": 1}
    found = report(file, "ecg", neuron="brf", data_dir=data_dir, out=page, **options)
    assert found.sections == ("run", "inspect", "robustness", "gradients")
    assert "labels" in found.figures
    assert "--dataset ecg --neuron brf" in found.commands["gradients"][0]
    parse(page.read_text(encoding="utf-8"))


def test_names_cannot_break_the_page(report_folder, tmp_path):
    strange = tmp_path / "a<b> & \"c\" 'd' \x07\udcff"
    shutil.copytree(report_folder, strange)
    found = report(strange, sections=("run", "curves"), out=tmp_path / "a.html")
    tree = parse((tmp_path / "a.html").read_text(encoding="utf-8"))
    (path,) = [words(e) for e in tree.iter("p") if e.get("class") == "path"]
    assert path.endswith("a<b> & \"c\" 'd' \ufffd\ufffd")
    (line,) = found.commands["learning-curve"]
    assert line.endswith("# learning_curve.png")
