"""One page about a network: everything is on it, nothing is fetched, its commands work and give its numbers."""

from __future__ import annotations

import base64
import json
import re
import shlex
from importlib import import_module
from xml.etree import ElementTree

import numpy as np
import pytest

from brfkit.cli import run
from brfkit.reports.build import SECTIONS, TITLES
from brfkit.reports.parts import number
from brfkit.runs.folder import RunFolder
from tests.analysis.report_page import QUICK, parse, table, words


@pytest.fixture(scope="module")
def page(made_report, report_folder):
    return (report_folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(page):
    return parse(page)


def test_all_sections_and_figures_are_there(made_report, tree):
    assert made_report.sections == tuple(SECTIONS) == tuple(TITLES)
    assert made_report.skipped == {}
    assert [s.get("id") for s in tree.iter("section")] == list(SECTIONS)
    figures = list(tree.iter("figure"))
    assert tuple(f.get("id").removeprefix("figure-") for f in figures) == made_report.figures
    wanted = {"learning-curve", "parameters", "weights", "activity", "spectrum", "confusion", "sample-0",
              "spike-deletion", "bit-precision", "gradients", "surface-0"}  # fmt: skip
    assert set(made_report.figures) == wanted
    for index, found in enumerate(figures, start=1):
        assert words(found.find("figcaption")).startswith(f"Figure {index}. ")
        lines = "".join(found.find("pre").itertext()).splitlines()
        assert tuple(lines) == made_report.commands[found.get("id").removeprefix("figure-")]
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


def test_numbers_are_those_of_the_metrics(report_folder, tree):
    from brfkit.runs.metrics import best_epoch, read_metrics

    rows = read_metrics(report_folder / "metrics.csv")
    best = {row.split: row for row in rows if row.epoch == best_epoch(rows)}["test"]
    shown = [row for row in table(tree, "Results") if row[1] == "test" and "best" in row[0]]
    assert [row[2:4] for row in shown] == [[number(best.loss), f"{best.accuracy:.2f}"]]
    headline = [words(e) for e in tree.find(".//dl").iter("dd")]
    assert headline[0] == f"{best.accuracy:.2f} %"
    settings = dict(table(tree, "All settings"))
    assert settings["network.hidden"] == "[8]"
    assert settings["data.dataset"] == "tones"


@pytest.mark.parametrize("name", QUICK["perturbations"])
def test_command_under_a_figure_gives_its_numbers(made_report, tree, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (line,) = made_report.commands[name]
    assert run([*shlex.split(line)[1:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (tmp_path / f"{name}.png").stat().st_size > 0
    shown = table(tree, f"{name};")
    assert [float(row[0]) for row in shown] == found["levels"]
    assert [row[1] for row in shown] == [f"{value:.2f}" for value in found["accuracy_mean"]]


def test_every_command_is_one(made_report):
    for lines in made_report.commands.values():
        for line in lines:
            brfkit_, name, *arguments = shlex.split(line, comments=True)
            assert brfkit_ == "brfkit"
            import_module(f"brfkit.cli.commands.{name}").command.make_context(name, arguments)


def test_remembered_command_cannot_undo_the_run(report_folder, tmp_path):
    from brfkit.reports.run import train_command

    assert train_command(RunFolder(report_folder)).startswith("brfkit train --config ")
    facts = json.loads((report_folder / "run.json").read_text())
    facts["command"] = ["__main__.py", "train", "--run-dir", "a b", "--force", "--threads", "1"]
    (tmp_path / "run.json").write_text(json.dumps(facts))
    assert train_command(RunFolder(tmp_path)) == "brfkit train --run-dir 'a b' --threads 1"


def test_command_of_the_surface_makes_it_again(made_report, report_folder, tmp_path):
    from brfkit.analysis.landscape.store import read_surface

    computed, drawn = made_report.commands["surface-0"]
    again = tmp_path / "again.h5"
    words = [str(again) if word == str(report_folder / "surface.h5") else word for word in shlex.split(computed)[1:]]
    assert str(again) in words
    assert run([*words, "--threads", "1"]) == 0
    ours, known = read_surface(again), read_surface(report_folder / "surface.h5")
    np.testing.assert_array_equal(ours.values, known.values)
    assert ours.settings.difference(known.settings) is None
    assert shlex.split(drawn)[2] == str(report_folder / "surface.h5")


def test_json_and_refusal_to_overwrite(report_folder, made_report, page, tmp_path, capsys):
    assert run(["report", str(report_folder)]) == 1
    assert "report.html exists; --force overwrites it" in capsys.readouterr().err
    assert (report_folder / "report.html").read_text(encoding="utf-8") == page
    out = tmp_path / "a.html"
    assert run(["report", str(report_folder), "--sections", "curves,run", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sections"] == ["run", "curves"]
    assert found["figures"] == ["learning-curve"]
    assert found["bytes"] == out.stat().st_size
    assert found["headline"]["test accuracy"].endswith("%")
    assert [s.get("id") for s in parse(out.read_text(encoding="utf-8")).iter("section")] == ["run", "curves"]
