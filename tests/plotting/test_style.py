"""What all pictures have in common: text shown as it is, numbers in one format, two sizes, curves that differ."""

import io
import math
import warnings

import pytest
from click.testing import CliRunner

from brfkit.cli import cli
from brfkit.errors import BrfkitError
from brfkit.plotting.safe_figure import Numbers, scientific
from brfkit.plotting.style import COLUMN, NEURONS, class_colours, figure, heading, look, looks, panels, use_style

HOSTILE = "a$b_{c$ \x1b]0;x\x07 \u202eabc"
SHOWN = "a$b_{c$ \\x1b]0;x\\x07 \\u202eabc"


def drawn(fig):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        fig.savefig(stream, format="svg")
    return stream.getvalue()


def test_every_text_is_shown_as_it_is():
    fig = figure()
    ax = fig.subplots()
    ax.plot([1, 2], [1, 2], label=HOSTILE)
    ax.set(xlabel=HOSTILE, title=HOSTILE)
    ax.set_yticks([1, 2], [HOSTILE, "$x_{$ 三"])
    ax.legend(title=HOSTILE)
    ax.text(1, 1, HOSTILE)
    drawn(fig)
    legend = ax.get_legend()
    shown = [ax.xaxis.label, ax.title, *ax.texts, legend.get_title(), *legend.get_texts(), ax.get_yticklabels()[0]]
    assert [text.get_text() for text in shown] == [SHOWN] * 6
    assert not any(text.get_parse_math() for text in [*shown, *ax.get_yticklabels()])


@pytest.mark.parametrize("scale", ["log", "symlog"])
def test_logarithmic_axes_have_plain_labels(scale):
    fig = figure()
    ax = fig.subplots()
    ax.plot([1, 2, 3], [1e-9, 1, 1e6])
    ax.set_yscale(scale)
    drawn(fig)
    labels = [label.get_text() for label in ax.get_yticklabels() if label.get_text()]
    assert labels
    assert not any(c in "".join(labels) for c in "${}\\^")


def test_numbers_have_one_format_and_no_offset():
    ticks = Numbers().format_ticks
    assert ticks([0, 5000, 10000]) == ["0", "5,000", "10,000"]
    assert ticks([-0.5, 0, 0.25]) == ["−0.50", "0.00", "0.25"]
    assert ticks([1000.001, 1000.002]) == ["1,000.001", "1,000.002"]
    assert ticks([0, 1e-8, 2.5e-8]) == ["0", "1·10⁻⁸", "2.5·10⁻⁸"]
    assert scientific(-1.5e12) == "−1.5·10¹²"
    assert ticks([math.inf, 1.0]) == ["inf", "1"]
    fig = figure()
    ax = fig.subplots()
    ax.plot([0, 1], [1_000_000.1, 1_000_000.2])
    drawn(fig)
    assert ax.yaxis.get_offset_text().get_text() == ""


def test_paper_is_one_column_of_small_type_without_heading():
    with use_style("paper"):
        fig, axes = panels(1, 3)
        heading(fig, "title")
        axes[0].set_xlabel("label", fontsize=14)
    stream = io.BytesIO()
    fig.savefig(stream, format="pdf")
    assert fig.get_figwidth() == COLUMN
    assert len({round(ax.get_position().x0, 2) for ax in axes}) == 1
    assert fig.get_suptitle() == ""
    assert axes[0].xaxis.label.get_fontsize() == 8
    assert b"/Subtype /Image" not in stream.getvalue()
    fig, axes = panels(1, 3)  # the style ended with its block
    assert fig.get_figwidth() > COLUMN
    with pytest.raises(BrfkitError, match="style must be one of screen, paper"), use_style("poster"):
        pass


def test_no_two_curves_share_colour_dash_or_marker():
    names = [*NEURONS[:4], "brf, no smooth reset", "lstm", "something else"]
    for key in ("color", "linestyle", "marker"):
        assert len({str(one[key]) for one in looks(names)}) == len(names)
    assert looks(["rf on ecg", "brf"]) == [look(NEURONS.index("rf")), look(NEURONS.index("brf"))]
    many = [tuple(map(str, one.values())) for one in looks([f"run {i}" for i in range(40)])]
    assert len(set(many)) == 40


def test_classes_have_one_palette_from_dark_to_light():
    grey = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in class_colours(6)]
    assert grey == sorted(grey)


def test_style_without_a_picture_is_an_error(tmp_path):
    found = CliRunner().invoke(cli, ["simulate", "--style", "paper"])
    assert found.exit_code == 2
    assert "--style has no effect without --plot" in found.output
    file = tmp_path / "a.pdf"
    found = CliRunner().invoke(cli, ["simulate", "--style", "paper", "--steps", "50", "--plot", str(file)])
    assert found.exit_code == 0
    assert file.read_bytes().startswith(b"%PDF")
