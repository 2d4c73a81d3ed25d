"""One page about a network: everything is on it, nothing is fetched, its commands work and give its numbers."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
from contextlib import contextmanager
from importlib import import_module
from xml.etree import ElementTree

import numpy as np
import pytest

import brfkit
from brfkit.analysis.report import PAPER, SECTIONS, TITLES, default_out, report
from brfkit.analysis.report_parts import Note, Section, Source, Table, number
from brfkit.cli import report as command
from brfkit.cli import run
from brfkit.errors import BrfkitError
from brfkit.plotting.report import embedded, render_page, render_section, text
from brfkit.plotting.style import figure

QUICK = {"samples": 6, "repeats": 2, "perturbations": ("spike-deletion", "bit-precision")}
SMALL = {
    "data": {"limit_train": 60, "limit_test": 30},
    "network": {"hidden": [8]},
    "training": {"epochs": 2, "batch_size": 20},
}


def tiny_run(folder):
    """A run that takes a second, with a surface in its folder."""
    from brfkit.analysis.landscape.run import landscape

    brfkit.train("tones", run_dir=folder, settings=SMALL, threads=1)
    landscape(folder, points=5, samples=6, out=folder / "surface.h5", threads=1)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def made(folder):
    return report(folder, threads=1, **QUICK)


@pytest.fixture(scope="module")
def page(made, folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(page):
    return parse(page)


def parse(page):
    """The page as XML, which every element that is not closed would break."""
    assert page.startswith("<!DOCTYPE html>")
    return ElementTree.fromstring(page.partition("\n")[2])


def words(element):
    return " ".join("".join(element.itertext()).split())


def table(tree, start):
    for found in tree.iter("table"):
        if words(found.find("caption")).startswith(start):
            return [[words(cell) for cell in row] for row in found.find("tbody")]
    raise AssertionError(f"there is no table {start!r}")


def test_all_sections_and_figures_are_there(made, tree):
    assert made.sections == tuple(SECTIONS) == tuple(TITLES)
    assert made.skipped == {}
    assert [s.get("id") for s in tree.iter("section")] == list(SECTIONS)
    figures = list(tree.iter("figure"))
    assert tuple(f.get("id").removeprefix("figure-") for f in figures) == made.figures
    wanted = {"learning-curve", "parameters", "weights", "activity", "spectrum", "confusion", "sample-0",
              "spike-deletion", "bit-precision", "gradients", "surface-0"}  # fmt: skip
    assert set(made.figures) == wanted
    for index, found in enumerate(figures, start=1):
        assert words(found.find("figcaption")).startswith(f"Figure {index}. ")
        lines = "".join(found.find("pre").itertext()).splitlines()
        assert tuple(lines) == made.commands[found.get("id").removeprefix("figure-")]
        assert lines
        assert all(line.startswith("brfkit ") for line in lines)


def test_nothing_is_fetched_or_run(page, tree):
    assert "://" not in re.sub(r'base64,[^"]*', "", page)
    assert "@import" not in page
    assert "url(" not in page
    names = {element.tag for element in tree.iter()}
    assert not names & {"script", "iframe", "object", "embed", "video", "form"}
    assert not [a for e in tree.iter() for a in e.attrib if a.startswith("on")]
    for element in tree.iter():
        for address in (element.get("src"), element.get("href")):
            assert address is None or address.startswith(("data:", "#"))


def test_pictures_are_whole_and_described(tree):
    images = list(tree.iter("img"))
    assert len(images) == len(list(tree.iter("figure")))
    for image in images:
        assert len(image.get("alt")) > 40
        kind, _, content = image.get("src").partition(";base64,")
        data = base64.b64decode(content, validate=True)
        if kind == "data:image/png":
            assert data.startswith(b"\x89PNG")
            continue
        assert kind == "data:image/svg+xml"
        drawing = ElementTree.fromstring(data)
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
        for element in drawing.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:"))
    assert len({image.get("alt") for image in images}) == len(images)


def test_page_can_be_walked_without_eyes(tree):
    assert tree.get("lang") == "en"
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    for link in tree.iter("a"):
        assert link.get("href").removeprefix("#") in ids
    assert [e.tag for e in tree.iter() if re.fullmatch(r"h\d", e.tag)] == ["h1"] + ["h2"] * len(SECTIONS)
    for found in tree.iter("table"):
        assert words(found.find("caption"))
        columns = found.find("thead/tr")
        assert all(cell.tag == "th" and cell.get("scope") == "col" and words(cell) for cell in columns)
        for row in found.find("tbody"):
            assert len(row) == len(columns)
            assert row[0].get("scope") == "row"


def test_numbers_are_those_of_the_metrics(folder, tree):
    from brfkit.training.history import best_epoch, read_metrics

    rows = read_metrics(folder / "metrics.csv")
    best = {row.split: row for row in rows if row.epoch == best_epoch(rows)}["test"]
    shown = [row for row in table(tree, "Results") if row[1] == "test" and "best" in row[0]]
    assert [row[2:4] for row in shown] == [[number(best.loss), f"{best.accuracy:.2f}"]]
    headline = [words(e) for e in tree.find(".//dl").iter("dd")]
    assert headline[0] == f"{best.accuracy:.2f} %"
    settings = dict(table(tree, "All settings"))
    assert settings["network.hidden"] == "[8]"
    assert settings["data.dataset"] == "tones"


@pytest.mark.parametrize("name", QUICK["perturbations"])
def test_command_under_a_figure_gives_its_numbers(made, tree, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (line,) = made.commands[name]
    assert run([*shlex.split(line)[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / f"{name}.png").stat().st_size > 0
    shown = table(tree, f"{name};")
    assert [float(row[0]) for row in shown] == found["levels"]
    assert [row[1] for row in shown] == [f"{value:.2f}" for value in found["accuracy_mean"]]


def test_every_command_is_one(made):
    for lines in made.commands.values():
        for line in lines:
            brfkit_, name, *arguments = shlex.split(line, comments=True)
            assert brfkit_ == "brfkit"
            import_module(f"brfkit.cli.{name}").command.make_context(name, arguments)


def test_remembered_command_cannot_undo_the_run(folder):
    from brfkit.analysis.report_run import train_command

    source = Source(str(folder))
    assert train_command(source, folder).startswith("brfkit train --config ")
    facts = json.loads((folder / "run.json").read_text())
    facts["command"] = ["__main__.py", "train", "--run-dir", "a b", "--force", "--threads", "1"]
    kept = (folder / "run.json").read_bytes()
    try:
        (folder / "run.json").write_text(json.dumps(facts))
        assert train_command(source, folder) == "brfkit train --run-dir 'a b' --threads 1"
    finally:
        (folder / "run.json").write_bytes(kept)


def test_command_of_the_surface_makes_it_again(made, folder, tmp_path):
    from brfkit.analysis.landscape.store import read_surface

    computed, drawn = made.commands["surface-0"]
    again = tmp_path / "again.h5"
    words = [str(again) if word == str(folder / "surface.h5") else word for word in shlex.split(computed)[1:]]
    assert str(again) in words
    assert run([*words, "--threads", "1"]) == 0
    ours, known = read_surface(again), read_surface(folder / "surface.h5")
    np.testing.assert_array_equal(ours.values, known.values)
    assert ours.settings.difference(known.settings) is None
    assert shlex.split(drawn)[2] == str(folder / "surface.h5")


def test_commands_say_how_the_data_are_found(monkeypatch):
    monkeypatch.setenv("BRFKIT_DATA_DIR", "here")
    assert Source("a b").command("inspect") == "brfkit inspect 'a b'"
    assert Source("a", data_dir="here").command("inspect", "--samples", 3) == "brfkit inspect a --samples 3"
    line = Source("a", "ecg", "brf", backend="torch", data_dir="there", seed=4).command("inspect")
    assert line == "brfkit inspect a --dataset ecg --backend torch --seed 4 --neuron brf --data-dir there"


def test_json_and_refusal_to_overwrite(folder, made, page, tmp_path, capsys):
    assert run(["report", str(folder)]) == 1
    assert "report.html exists; --force overwrites it" in capsys.readouterr().err
    assert (folder / "report.html").read_text(encoding="utf-8") == page
    out = tmp_path / "a.html"
    assert run(["report", str(folder), "--sections", "curves,run", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sections"] == ["run", "curves"]
    assert found["figures"] == ["learning-curve"]
    assert found["bytes"] == out.stat().st_size
    assert found["headline"]["test accuracy"].endswith("%")
    assert [s.get("id") for s in parse(out.read_text(encoding="utf-8")).iter("section")] == ["run", "curves"]


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
def test_what_cannot_be_is_refused_in_one_line(folder, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(["report", str(folder), *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_python_refuses_unknown_names(folder, tmp_path):
    for wrong in ({"sections": ("all",)}, {"sections": ()}, {"samples": 0}, {"perturbations": ("heat",)}):
        with pytest.raises(BrfkitError):
            report(folder, out=tmp_path / "a.html", **wrong)


def test_checkpoint_file_has_no_history_and_no_surface(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "best.npz", tmp_path / "net.npz")
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


def test_surfaces_are_named_or_found_and_told_apart(folder, tmp_path):
    import h5py

    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("surface.h5", "report.html"))
    with h5py.File(other / "data.h5", "w") as file:
        file["x"] = np.zeros(3)  # HDF5, but no surface
    shutil.copy(other / "last.npz", other / "best.npz")
    page = tmp_path / "a.html"
    found = report(other, out=page, sections=("landscape",))
    assert found.sections == ()
    assert found.skipped.keys() == {"landscape"}
    surface = folder / "surface.h5"
    brfkit.train("tones", run_dir=other, settings={**SMALL, "training": {"epochs": 1}}, threads=1, force=True)
    found = report(other, out=page, sections=("landscape",), surfaces=[surface], force=True)
    assert found.figures == ("surface-0",)
    assert "other weights than those of this report" in page.read_text(encoding="utf-8")
    assert str(surface) in found.commands["surface-0"][1]


def test_what_fails_for_one_perturbation_leaves_the_others(folder, tmp_path, monkeypatch):
    from brfkit.analysis import robustness as module

    whole = module.robustness

    def some(checkpoint, name, **options):
        if name == "input-noise":
            raise BrfkitError("no noise for <these> data")
        return whole(checkpoint, name, **options)

    monkeypatch.setattr(module, "robustness", some)
    page = tmp_path / "a.html"
    options = {**QUICK, "perturbations": ("input-noise", "bit-precision")}
    found = report(folder, out=page, sections=("robustness",), threads=1, **options)
    assert found.figures == ("bit-precision",)
    notes = [words(e) for e in parse(page.read_text(encoding="utf-8")).iter("p") if e.get("class") == "note"]
    assert notes == ["input-noise: no noise for <these> data"]


def test_interrupt_keeps_what_is_finished(folder, tmp_path):
    @contextmanager
    def watch(label, unit):
        if label == "gradients":
            raise KeyboardInterrupt
        yield lambda done, total: None

    page = tmp_path / "a.html"
    with pytest.raises(KeyboardInterrupt):
        report(folder, out=page, sections=("curves", "gradients", "landscape"), threads=1, watch=watch)
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


def test_names_cannot_break_the_page(folder, tmp_path):
    strange = tmp_path / "a<b> & \"c\" 'd' \x07\udcff"
    shutil.copytree(folder, strange)
    found = report(strange, sections=("run", "curves"), out=tmp_path / "a.html")
    tree = parse((tmp_path / "a.html").read_text(encoding="utf-8"))
    (path,) = [words(e) for e in tree.iter("p") if e.get("class") == "path"]
    assert path.endswith("a<b> & \"c\" 'd' \ufffd\ufffd")
    assert shlex.split(found.commands["learning-curve"][1])[2] == str(strange)


def test_text_is_escaped_everywhere():
    evil = "<script>alert('x')</script>&\"\x00"
    section = Section("s", evil, evil, (Note(evil), Table(evil, (evil, evil), ((evil, evil),), folded=True)))
    body, commands = render_section(section, 0, lambda done, total: None)
    page = render_page(evil, evil, [("s", evil, body, None), ("t", evil, None, evil)], {evil: evil})
    assert commands == {}
    tree = parse(page)
    assert not list(tree.iter("script"))
    assert words(tree.find(".//caption")) == evil.replace("\x00", "\ufffd")
    assert text("a\nb") == "a\nb"


def test_pictures_repeat_and_large_ones_are_pixels():
    def drawing(points):
        fig = figure(3.0, 2.0)
        x = np.arange(points)
        fig.add_subplot().scatter(x, np.sin(x), c=x)
        return fig

    uri, width = embedded(drawing(10))
    assert uri.startswith("data:image/svg+xml")
    assert width == pytest.approx(3.0 * 72)
    assert embedded(drawing(10))[0] == uri
    assert embedded(drawing(20_000))[0].startswith("data:image/png")


def test_numbers_for_people():
    values = [None, 12345, 0.123456, 1234.56, 123456.7, 1e12, float("nan")]
    assert [number(v) for v in values] == ["–", "12,345", "0.1235", "1,234.6", "123,457", "1e+12", "nan"]


def test_command_and_library_agree():
    assert tuple(SECTIONS) == command.SECTIONS
    assert PAPER == command.PAPER
