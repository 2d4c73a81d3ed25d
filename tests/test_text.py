"""Text from files where it is shown: nothing acts, everything can be seen."""

import csv
import io

import pytest

from brfkit.io.text import csv_cell, latex, markup, visible


def test_what_cannot_be_printed_is_written_out():
    assert visible("a\x1b[2J\u202eb\udcff") == "a\\x1b[2J\\u202eb\\xff"
    assert visible("one\ntwo", keep="\n") == "one\ntwo"
    assert visible("one\ntwo") == "one\\x0atwo"
    assert visible("Größe ω 三") == "Größe ω 三"


def test_markup_is_shown_by_rich_as_it_is():
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=80).print(markup("BRF [ours] [/x] [red]\x07"), highlight=False)
    assert out.getvalue() == "BRF [ours] [/x] [red]\\x07\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\input{a}", r"\textbackslash{}input\{a\}"),
        ("100 % of a_b & $c$ #1 ~ ^", r"100 \% of a\_b \& \$c\$ \#1 \textasciitilde{} \textasciicircum{}"),
        ("81.6 ± 0.3, ω", r"81.6 $\pm$ 0.3, $\omega$"),
        ("Größe 三\x1b", r"Größe [U+4E09]\textbackslash{}x1b"),
    ],
)
def test_latex(text, expected):
    assert latex(text) == expected


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", " =1"])
def test_no_cell_is_a_formula(text):
    assert csv_cell(text) == f"'{text}"
    assert csv_cell("-0.5") == "-0.5"
    assert csv_cell("1e-3") == "1e-3"
    assert csv_cell("brf") == "brf"
    row = io.StringIO()
    csv.writer(row).writerow([csv_cell("a,\n=1")])
    assert next(csv.reader(io.StringIO(row.getvalue()))) == ["a,\\x0a=1"]


def test_text_in_a_table_of_numbers_is_quoted_and_no_formula(tmp_path):
    import numpy as np

    from brfkit.io.tables import write_table

    names = np.array(["=1+1", "a,b", 'say "x"'])
    write_table(tmp_path / "t.csv", {"name": names, "value": np.array([1.5, np.nan, -2.0])})
    rows = list(csv.reader((tmp_path / "t.csv").open(encoding="utf-8")))
    assert rows == [["name", "value"], ["'=1+1", "1.5"], ["a,b", ""], ['say "x"', "-2.0"]]
