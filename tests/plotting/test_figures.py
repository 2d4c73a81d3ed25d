"""Pictures of one kind each: what they compare, label and leave out, on the screen and on paper."""

import io

import numpy as np
import pytest

from brfkit.analysis.neuron.frequency.response import frequency_response
from brfkit.plotting.curves import learning_curve
from brfkit.plotting.frequency import frequency_figure
from brfkit.plotting.style import COLUMN, STYLES, figure, label_contours, use_style
from brfkit.plotting.traces import BARS, trace_figure
from brfkit.runs.metrics import TEST, VALIDATION, Row
from brfkit.simulation import simulate


def saved(fig):
    stream = io.BytesIO()
    fig.savefig(stream, format="svg")
    return stream.getvalue()


def response(count, **options):
    return frequency_response(
        omega=np.linspace(1, 50, count), frequencies=np.linspace(1, 60, 12), measure=(), options=options
    )  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_variants_of_many_neurons_are_compared_on_one_scale(style):
    with use_style(style):
        fig = frequency_figure([("with", response(20)), ("without", response(20, refractory=False))])
    panels = [ax for ax in fig.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == ["with: gain", "without: gain"]
    shown = [ax.collections[0] for ax in panels]
    assert shown[0].get_array().size == 20 * 12
    assert shown[0].get_clim() == shown[1].get_clim()
    saved(fig)


def test_more_curves_than_can_be_told_apart_are_refused():
    from brfkit.errors import BrfkitError

    with pytest.raises(BrfkitError, match="30 curves cannot be distinguished"):
        frequency_figure([(f"{i}", response(5)) for i in range(6)])


def test_the_drawn_transfer_curve_has_the_peak_whatever_is_measured():
    coarse = frequency_response(omega=10.0, b_offset=0.2, frequencies=np.geomspace(0.1, 100, 7), measure=())
    w, curve = coarse.curve()
    r = coarse.resonance
    assert np.abs(curve).max() == pytest.approx(float(r.peak_gain[0]), rel=1e-12)
    assert (w[0], w[-1]) == (coarse.frequencies[0], coarse.frequencies[-1])
    np.testing.assert_allclose(curve[np.searchsorted(w, coarse.frequencies)], coarse.analytic[0], rtol=1e-12)


def test_few_neurons_have_bars_and_few_steps_have_markers():
    few = trace_figure(simulate("brf", omega=np.linspace(5, 50, 9), steps=20, backend="reference"))
    counts = next(ax for ax in few.axes if ax.get_xlabel() == "spikes per neuron")
    assert len(counts.patches) == 9 <= BARS
    assert not counts.collections
    one = trace_figure(simulate("brf", omega=10.0, steps=5, backend="reference"))
    lines = [ax.lines[0] for ax in one.axes if ax.get_ylabel() in ("input I", "u", "v", "q") and ax.lines]
    assert [line.get_marker() for line in lines] == ["o"] * 4
    assert "time t = step · δ" in {ax.get_xlabel() for ax in one.axes}


@pytest.mark.parametrize("neurons", [1, 9])
def test_traces_fit_a_column_of_a_page(neurons):
    with use_style("paper"):
        fig = trace_figure(simulate("brf", omega=np.linspace(5, 50, neurons), steps=200, backend="reference"))
        saved(fig)
    assert fig.get_figwidth() == COLUMN
    assert fig.get_suptitle() == ""
    assert max(text.get_fontsize() for ax in fig.axes for text in (ax.xaxis.label, ax.yaxis.label, ax.title)) <= 8


def test_a_silent_network_says_so_and_accuracy_is_linear():
    rows = [Row(e, s, 2.0 / (1 + 30 * e), 10.0, 0.0, 1.0) for e in range(3) for s in (VALIDATION, TEST)]
    loss, accuracy, spikes = learning_curve(rows, "a").axes
    assert [text.get_text() for text in spikes.texts] == ["no spikes"]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert len({line.get_marker() for line in loss.lines[:2]}) == 2


def test_no_label_of_a_contour_is_cut():
    fig = figure()
    ax = fig.subplots()
    x = np.linspace(0, 1, 30)
    lines = ax.contour(x, x, np.add.outer(x, x), levels=np.linspace(0.02, 1.98, 15))
    label_contours(ax, lines)
    shown = [text.get_position() for text in ax.texts if text.get_visible()]
    assert shown
    assert all(0.06 < x < 0.94 and 0.05 < y < 0.95 for x, y in shown)
