"""Pictures of error surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.surface import Surface
from brfkit.errors import BrfkitError
from brfkit.plotting.landscape.values import LABELS, heights_along, levels_between, name_of, span, title_of
from brfkit.plotting.style import COLUMN, RED, figure, heading, is_paper, label_contours, looks, tidy

COLOURMAP = "viridis"  # even in lightness, so it can be read in grey and by all kinds of colour vision
LEVELS = 15


def landscape_figure(surfaces: Sequence[Surface], show: str = "loss", log: bool = False) -> Any:
    """One surface: in space and as contours. Several: in space and as contours on common axes, then on their own.

    Args:
        surfaces: all planes, or all lines.
        show: ``loss``, ``accuracy`` or ``spikes_per_sample``.
        log: whether colours and heights follow the logarithm.

    Raises:
        BrfkitError: planes and lines together, or nothing to show.
    """
    lines = [surface.settings.line for surface in surfaces]
    if all(lines):
        return _lines(surfaces, show, log)
    if any(lines):
        raise BrfkitError("surfaces and slices cannot be drawn together")
    if len(surfaces) == 1:
        return _single(surfaces[0], show, log)
    return _several(surfaces, show, log)


def _single(surface: Surface, show: str, log: bool) -> Any:
    limits = span([surface], show, log)
    if is_paper():
        page = _Page(COLUMN, 5.6)
        _space(page.axes(0.1, 2.9, 2.9, 2.7, projection="3d"), surface, show, log, limits)
        page.bar(
            _contours(page.axes(0.55, 0.45, 2.05, 2.05), surface, show, log, limits), 2.68, 0.45, 2.05, LABELS[show]
        )
        return page.fig
    page = _Page(9.9, 4.7)
    _space(page.axes(0.0, 0.0, 4.9, 4.3, projection="3d"), surface, show, log, limits)
    right = page.axes(5.6, 0.7, 3.3, 3.3)
    page.bar(_contours(right, surface, show, log, limits), 9.05, 0.7, 3.3, LABELS[show])
    heading(page.fig, title_of(surface))
    return page.fig


def _several(surfaces: Sequence[Surface], show: str, log: bool) -> Any:
    if is_paper():
        return _several_on_paper(surfaces, show, log)
    page = _Page(4.6 * len(surfaces), 12.1)
    common = span(surfaces, show, log)
    for column, surface in enumerate(surfaces):
        left = 4.6 * column
        page.fig.text((left + 2.3) / page.width, 1 - 0.2 / page.height, title_of(surface), ha="center", fontsize=9)
        _space(page.axes(left, 7.8, 4.5, 4.1, projection="3d"), surface, show, log, common)
        for bottom, limits, what in ((4.35, common, "common scale"), (0.55, span([surface], show, log), "own scale")):
            ax = page.axes(left + 0.65, bottom, 3.0, 3.0)
            page.bar(_contours(ax, surface, show, log, limits), left + 3.75, bottom, 3.0, LABELS[show])
            ax.set_title(what, fontsize=9)
    return page.fig


def _several_on_paper(surfaces: Sequence[Surface], show: str, log: bool) -> Any:
    """A row for each surface: contours on the common scale and on its own; the names stand in the first panel."""
    row = 1.75
    page = _Page(COLUMN, row * len(surfaces) + 0.35)
    common = span(surfaces, show, log)
    for number, surface in enumerate(surfaces):
        bottom = page.height - row * (number + 1) + 0.3
        for left, limits in ((0.42, common), (2.0, span([surface], show, log))):
            ax = page.axes(left, bottom, 0.98, 0.98)
            page.bar(_contours(ax, surface, show, log, limits, small=True), left + 1.02, bottom, 0.98, "", 0.07)
            if left > 1:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
        page.fig.text(0.42 / page.width, (bottom + 1.06) / page.height, name_of(surface), fontsize=8)
    return page.fig


class _Page:
    """A figure whose parts stand where they are put, in inches: the box that matplotlib counts for axes in space is far
    larger than what is drawn."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.fig = figure(width, height, height)
        self.fig.set_layout_engine("none")

    def axes(self, left: float, bottom: float, width: float, height: float, **kwargs: Any) -> Any:
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.fig.add_axes(place, **kwargs)

    def bar(self, drawn: Any, left: float, bottom: float, height: float, label: str, width: float = 0.15) -> None:
        self.fig.colorbar(drawn, cax=self.axes(left, bottom, width, height), format="%g").set_label(label, fontsize=9)


def _space(ax: Any, surface: Surface, show: str, log: bool, limits: tuple[float, float]) -> None:
    """The surface over the plane, its lowest value as the floor."""
    a, b = np.meshgrid(surface.alpha, surface.beta, indexing="ij")
    z = _height(surface.grid(show), log)
    low, high = (float(_height(np.array(limit), log)) for limit in limits)
    count = min(max(surface.shape), 100)
    ax.plot_surface(
        a, b, np.ma.masked_invalid(z), cmap=COLOURMAP, vmin=low, vmax=high, rcount=count, ccount=count,
        linewidth=0.2, edgecolor=(0, 0, 0, 0.4), antialiased=True,
    )  # fmt: skip
    centre = _height(np.array(surface.centre(show)), log)
    lift = 0.01 * (high - low)  # else the marks vanish in the surface
    ax.plot([0], [0], [centre + lift], "*", color=RED, markersize=11, markeredgecolor="black", zorder=20)
    if surface.directions.path is not None:
        along = _height(heights_along(surface, surface.directions.path, show), log)
        path = surface.directions.path
        ax.plot(path[:, 0], path[:, 1], along + lift, color="black", linewidth=1.3, marker=".", markersize=3, zorder=15)
    ax.set(xlabel="α", ylabel="β", zlim=(low, high))
    ax.set_zlabel(LABELS[show], labelpad=4)
    ax.tick_params(labelsize=8, pad=1)
    if log:
        ticks = np.arange(np.ceil(low), np.floor(high) + 1)
        ax.set_zticks(ticks, [f"{10.0**tick:g}" for tick in ticks])
    for side, ends in ((ax.set_xticks, surface.alpha), (ax.set_yticks, surface.beta)):
        side(np.linspace(ends[0], ends[-1], 3 if is_paper() else 5))
    ax.view_init(elev=32, azim=-58)
    ax.set_box_aspect((1, 1, 0.75), zoom=0.9)


def _contours(ax: Any, surface: Surface, show: str, log: bool, limits: tuple[float, float], small: bool = False) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    levels = levels_between(*limits, LEVELS, log)
    norm = (LogNorm if log else Normalize)(levels[0], levels[-1])
    values = np.ma.masked_invalid(surface.grid(show).T)
    a, b = surface.alpha, surface.beta
    ax.patch.set(facecolor="white", edgecolor="0.7", hatch="///")  # where nothing is known
    drawn = ax.contourf(a, b, values, levels, cmap=COLOURMAP, norm=norm)
    lines = ax.contour(a, b, values, levels, colors="black", linewidths=0.4, alpha=0.6)
    path = surface.directions.path
    if path is not None:
        ax.plot(path[:, 0], path[:, 1], color="white", linewidth=2.6)
        ax.plot(path[:, 0], path[:, 1], color="black", linewidth=1.2, marker=".", markersize=4, label="training")
    ax.plot(
        0,
        0,
        "*",
        color=RED,
        markersize=14,
        markeredgecolor="white",
        linestyle="none",
        label="centre",
    )
    if not small and not is_paper():
        ax.legend(loc="upper right", fontsize=8, framealpha=0.9)
    shares = surface.directions.shares
    labels = (
        ["α", "β"]
        if shares is None
        else [f"{x} ({100 * s:.1f} % of the path)" for x, s in zip("αβ", shares, strict=True)]
    )
    ax.set(xlabel=labels[0], ylabel=labels[1], aspect="equal", xlim=(a[0], a[-1]), ylim=(b[0], b[-1]))
    for side, ends in ((ax.set_xticks, a), (ax.set_yticks, b)):
        side(np.linspace(ends[0], ends[-1], 3 if is_paper() else 5))
    if not small:
        label_contours(ax, lines, levels=lines.levels[1::3], fontsize=7, fmt="%g")
    return drawn


def _lines(surfaces: Sequence[Surface], show: str, log: bool) -> Any:
    fig = figure(7.0, 4.2, 2.4)
    ax = fig.subplots()
    tidy(ax)
    names = [name_of(surface) for surface in surfaces]
    for name, look, surface in zip(names, looks(names), surfaces, strict=True):
        every = max(len(surface.alpha) // 10, 1)
        ax.plot(surface.alpha, surface.grid(show)[:, 0], label=name, markersize=4, markevery=every, **look)
        ax.plot(0, surface.centre(show), "*", color=look["color"], markersize=11, markeredgecolor="black")
    ax.set(xlabel="α", ylabel=LABELS[show], xlim=(surfaces[0].alpha[0], surfaces[0].alpha[-1]))
    if log:
        ax.set_yscale("log")
    if len(surfaces) > 1:
        ax.legend(frameon=False, fontsize=9)
    if not is_paper():
        ax.set_title(title_of(surfaces[0]) if len(surfaces) == 1 else "along a direction; star: centre", fontsize=11)
    return fig


def _height(values: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)
