"""Pictures of samples: spike rasters, digits and their pixel sequences, ECG events and labels, channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import Dataset, EventSplit, Split, sample_index
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.plotting.style import BLUE, COLOURS, TINY, class_colours, is_paper
from brfkit.plotting.style import figure as new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SAMPLES = 12
MOST_NAMED = 12  # classes up to which a legend names them

_INK = "#222222"
_UNKNOWN = "0.75"  # steps without a label
_ECG_RATE = 250.0  # steps per second
_TONES_STEP = 0.01
_MAX_TRACES = 16


def figure(data: Dataset, *, split: str = "test", samples: Sequence[int] = (0, 1, 2)) -> Figure:
    """Draws samples of a data set; what is drawn depends on what they are.

    Args:
        data: a loaded data set: spike rasters for event data, the image and its sequence for MNIST and its kin, events
            and wave labels for ECG, the channels over time for everything else.
        split: a split that was loaded.
        samples: positions in it, up to `MAX_SAMPLES`.

    Returns:
        A matplotlib figure that belongs to no window; ``savefig`` writes it.

    Raises:
        BrfkitError: the split was not loaded, there is no such sample, or there are too many of them.
    """
    part = data.split(split)
    index = [int(i) for i in sample_index(samples, len(part))]
    if not 1 <= len(index) <= MAX_SAMPLES:
        raise BrfkitError(f"1 to {MAX_SAMPLES} samples can be drawn, not {len(index)}")
    draw: Callable[[Dataset, str, list[int]], Figure] = _channels
    if isinstance(part, EventSplit):
        draw = _rasters
    elif data.name in ("smnist", "psmnist", "sfmnist", "psfmnist"):
        draw = _images
    elif data.name == "ecg":
        draw = _ecg
    return draw(data, split, index)


def _title(data: Dataset, split: str, n: int) -> str:
    part = data.split(split)
    words = [f"{split} {n}"]
    if not data.labels_per_step:
        label = int(part.y[n].max())  # of a padded sample it stands at every step before the padding
        words.append(f"“{data.class_names[label]}”" if label >= 0 else "no label")
    if part.groups is not None:
        words.append(f"{'speaker' if data.name in ('shd', 'ssc') else 'group'} {int(part.groups[n])}")
    return ", ".join(words)


def _dense(part: Split, index: list[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, y = part.batch(index, np.float64)
    assert not isinstance(x, Events)
    return x, y


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)


def _rasters(data: Dataset, split: str, index: list[int]) -> Figure:
    part = data.split(split)
    assert isinstance(part, EventSplit)
    columns = min(2 if is_paper() else 3, len(index))
    rows = -(-len(index) // columns)
    drawn = new_figure(max(5.0, 3.7 * columns), 0.5 + 3.1 * rows, 0.4 + 1.9 * rows)
    grid = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, n in zip(grid.flat, index, strict=False):
        events, _ = part.batch([n])
        step = np.repeat(np.arange(events.steps), np.diff(events.indptr[0]))
        axes.plot(
            (step + 0.5) * part.bin_width, events.indices, linestyle="", marker=".", markersize=2.2, color=_INK,
            markeredgewidth=0, alpha=0.7, rasterized=True,
        )  # fmt: skip
        axes.set_title(_title(data, split, n), fontsize=12)
        axes.set_xlim(0, events.steps * part.bin_width)
        axes.locator_params(axis="x", nbins=4, prune="upper")
        axes.set_ylim(-0.01 * part.channels, 1.01 * part.channels)
        _tidy(axes)
    for axes in grid.flat[len(index) :]:
        axes.set_visible(False)
    drawn.supxlabel(f"time (s), bins of {1000 * part.bin_width:g} ms", fontsize=12)
    pitch = ""
    if data.name in ("shd", "ssc") and data.binning is not None:
        pitch = f" (0: {'lowest' if data.binning.order == 'reversed' else 'highest'} frequency)"
    drawn.supylabel(f"channel{pitch}", fontsize=12)
    return drawn


def _images(data: Dataset, split: str, index: list[int]) -> Figure:
    part = data.split(split)
    drawn = new_figure(9.0, 0.6 + 1.9 * len(index), 0.4 + 1.0 * len(index))
    grid = drawn.subplots(len(index), 2, squeeze=False, gridspec_kw={"width_ratios": [1, 4]})
    x, _ = _dense(part, index)  # [T, B, 1]
    for row, (left, right) in enumerate(grid):
        pixels = x[:, row, 0]
        image = pixels if data.permutation is None else pixels[np.argsort(data.permutation)]
        left.imshow(image.reshape(28, 28), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        left.set_xticks([])
        left.set_yticks([])
        left.set_title(_title(data, split, index[row]), fontsize=12)
        right.fill_between(np.arange(len(pixels)), pixels, step="mid", color=BLUE, linewidth=0)
        right.set_xlim(0, len(pixels))
        right.set_ylim(0, 1.02)
        right.set_ylabel("pixel value", fontsize=11)
        right.set_xticks(range(0, len(pixels) + 1, 112))
        _tidy(right)
    order = "row by row" if data.permutation is None else "in the permuted order"
    grid[-1][1].set_xlabel(f"step (one pixel each, {order})", fontsize=12)
    return drawn


def _ecg(data: Dataset, split: str, index: list[int]) -> Figure:
    part = data.split(split)
    drawn = new_figure(10.0, 0.9 + 2.1 * len(index), 0.7 + 1.35 * len(index))
    grid = drawn.subplots(len(index), 1, sharex=True, squeeze=False)[:, 0]
    x, y = _dense(part, index)  # [T, B, 4], [T, B]
    names = ("lead 1 up", "lead 1 down", "lead 2 up", "lead 2 down")
    time = np.arange(len(x)) / _ECG_RATE
    for row, axes in enumerate(grid):
        for channel in range(len(names)):
            at = time[x[:, row, channel] != 0]
            axes.vlines(at, 4.6 - channel - 0.38, 4.6 - channel + 0.38, color=_INK, linewidth=0.8, rasterized=True)
        _band(axes, y[:, row], 1 / _ECG_RATE, 0.0, data.classes)
        axes.set_yticks([0.0, *(4.6 - np.arange(4))][::-1], ["label", *names][::-1])
        axes.set_ylim(-0.6, 5.2)
        axes.set_xlim(0, len(x) / _ECG_RATE)
        axes.set_title(_title(data, split, index[row]), fontsize=12)
        _tidy(axes)
    grid[-1].set_xlabel("time (s)", fontsize=12)
    _legend(drawn, data)
    return drawn


def _channels(data: Dataset, split: str, index: list[int]) -> Figure:
    part = data.split(split)
    traces = min(data.channels, _MAX_TRACES)
    x, y = _dense(part, index)  # [T, B, I]
    per_step = data.labels_per_step
    height = 0.7 + 0.45 * (traces + per_step)
    drawn = new_figure(9.0, 1.0 + len(index) * height, 0.7 + 0.75 * len(index) * height)
    grid = drawn.subplots(len(index), 1, sharex=True, squeeze=False)[:, 0]
    shown = x[:, :, :traces]
    middle, span = (shown.max() + shown.min()) / 2, max(float(np.ptp(shown)), 1e-12)
    tones = data.name == "tones"
    width = _TONES_STEP if tones else 1.0
    time = (np.arange(len(x)) + (1 if tones else 0)) * width
    marker = "o" if len(time) <= TINY else ""
    for row, axes in enumerate(grid):
        for channel in range(traces):
            trace = 0.95 * (x[:, row, channel] - middle) / span - channel
            axes.plot(
                time,
                trace,
                color=_INK if per_step else COLOURS[channel % 4],
                linewidth=0.9,
                marker=marker,
                markersize=3,
            )
        ticks = {-float(c): str(c) for c in range(traces)} | ({-float(traces): "label"} if per_step else {})
        axes.set_yticks(list(ticks), list(ticks.values()))
        axes.set_ylim(-traces + 0.4 - per_step, 0.6)
        axes.set_ylabel(f"channel\n(spacing {span / 0.95:.3g})", fontsize=11)
        suffix = " rad / time" if tones else ""
        axes.set_title(f"{_title(data, split, index[row])}{suffix}", fontsize=12)
        axes.set_xlim(time[0], time[-1] + width)
        _tidy(axes)
        if per_step:
            _band(axes, y[:, row], width, -float(traces), data.classes)
    if per_step and data.classes <= MOST_NAMED:
        _legend(drawn, data)
    more = f" ({traces} of {data.channels} channels drawn)" if traces < data.channels else ""
    grid[-1].set_xlabel(f"time t = step · δ, δ = {_TONES_STEP}{more}" if tones else f"step{more}", fontsize=12)
    return drawn


def _band(axes: Axes, labels: NDArray[np.int64], width: float, middle: float, classes: int) -> None:
    """The class of every step as a coloured strip, grey where there is none; `width` is a step on the time axis."""
    colours = [*class_colours(classes), _UNKNOWN]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1])
    ends = np.concatenate([starts[1:], [len(labels)]])
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        colour = colours[int(labels[start])]
        axes.broken_barh([(start * width, (end - start) * width)], (middle - 0.4, 0.8), color=colour, linewidth=0)


def _legend(drawn: Figure, data: Dataset) -> None:
    from matplotlib.patches import Patch

    pairs = zip(data.class_names, class_colours(data.classes), strict=False)
    patches = [Patch(color=colour, label=name) for name, colour in pairs]
    columns = min(len(patches), 3 if is_paper() else 8)
    drawn.legend(handles=patches, loc="outside upper center", ncols=columns, fontsize=11, frameon=False)
