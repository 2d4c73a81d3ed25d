"""Parts of a report: text, tables, pictures, commands."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.cli.commands import report as command
from brfkit.plotting.style import figure
from brfkit.reports.build import PAPER, SECTIONS
from brfkit.reports.context import Context
from brfkit.reports.page import embedded, render_page, render_section, text
from brfkit.reports.parts import Note, Section, Table, number
from tests.analysis.report_page import parse, words


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


def test_commands_say_how_the_data_are_found(monkeypatch):
    monkeypatch.setenv("BRFKIT_DATA_DIR", "here")
    assert Context("a b").command("inspect") == "brfkit inspect 'a b'"
    assert (
        Context("a", options={"data_dir": "here"}).command("inspect", "--samples", 3) == "brfkit inspect a --samples 3"
    )
    options = {"neuron": "brf", "backend": "torch", "data_dir": "there", "seed": 4}
    line = Context("a", "ecg", options=options).command("inspect")
    assert line == "brfkit inspect a --dataset ecg --backend torch --seed 4 --neuron brf --data-dir there"
