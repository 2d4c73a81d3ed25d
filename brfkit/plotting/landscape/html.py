"""Error surfaces as one page of HTML that works without a network connection; needs plotly."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from brfkit.analysis.landscape.surface import Surface
from brfkit.errors import BrfkitError
from brfkit.io.text import visible
from brfkit.plotting.landscape.values import LABELS, heights_along, span, title_of
from brfkit.plotting.style import RED

COLOURMAP = "Viridis"


def landscape_page(surfaces: Sequence[Surface], show: str = "loss", log: bool = False) -> str:
    """Surfaces side by side on a common scale, to be turned and zoomed; a point under the mouse shows its values.

    Args:
        surfaces: planes.
        show: ``loss``, ``accuracy`` or ``spikes_per_sample``.
        log: whether heights and colours follow the logarithm.

    Raises:
        BrfkitError: a slice, or nothing to show.
    """
    from plotly import graph_objects
    from plotly.subplots import make_subplots

    if any(surface.settings.line for surface in surfaces):
        raise BrfkitError("a slice has no surface to turn; use --plot")
    count = len(surfaces)
    fig = make_subplots(
        1,
        count,
        specs=[[{"type": "surface"}] * count],
        subplot_titles=[escape(visible(title_of(surface))) for surface in surfaces],
    )
    low, high = span(surfaces, show, log)
    if log:
        low, high = float(np.log10(low)), float(np.log10(high))
    label = f"log₁₀ {LABELS[show]}" if log else LABELS[show]
    for column, surface in enumerate(surfaces):
        colours = {"colorscale": COLOURMAP, "cmin": low, "cmax": high, "showscale": column == count - 1}
        fig.add_trace(
            graph_objects.Surface(**_surface(surface, show, log), **colours, colorbar={"title": label}),
            row=1, col=column + 1,
        )  # fmt: skip
        for trace in _marks(surface, show, log):
            fig.add_trace(graph_objects.Scatter3d(**trace, showlegend=False), row=1, col=column + 1)
    fig.update_scenes(
        xaxis_title="α", yaxis_title="β", zaxis={"title": label, "range": [low, high]},
        aspectratio={"x": 1, "y": 1, "z": 0.7}, camera_eye={"x": 1.05, "y": -2.0, "z": 1.3},
    )  # fmt: skip
    fig.update_layout(margin={"l": 0, "r": 0, "t": 40, "b": 0}, title_font_size=14)
    page: str = fig.to_html(include_plotlyjs=True, full_html=True, div_id="landscape")
    return page


def _surface(surface: Surface, show: str, log: bool) -> dict[str, Any]:
    every = np.stack([surface.grid(name).T for name in LABELS], -1)
    return {
        "x": surface.alpha, "y": surface.beta, "z": _height(surface.grid(show).T, log), "customdata": every,
        "hovertemplate": "α %{x:.3f}, β %{y:.3f}<br>loss %{customdata[0]:.4f}<br>accuracy %{customdata[1]:.2f} %"
                         "<br>spikes per sample %{customdata[2]:.0f}<extra></extra>",
        "contours": {"z": {"show": True, "usecolormap": True, "project": {"z": True}}},
    }  # fmt: skip


def _marks(surface: Surface, show: str, log: bool) -> list[dict[str, Any]]:
    """The centre, and the path where there is one."""
    centre = surface.centre(show)
    marks: list[dict[str, Any]] = [
        {
            "x": [0], "y": [0], "z": _height(np.array([centre]), log), "mode": "markers", "name": "centre",
            "marker": {"color": RED, "size": 5, "symbol": "diamond"}, "hovertemplate": f"centre: {centre:.4f}",
        }
    ]  # fmt: skip
    path, epochs = surface.directions.path, surface.directions.epochs
    if path is not None and epochs is not None:
        marks.append(
            {
                "x": path[:, 0], "y": path[:, 1], "z": _height(heights_along(surface, path, show), log),
                "mode": "lines+markers", "line": {"color": "black", "width": 4},
                "marker": {"color": "black", "size": 2},
                "text": [f"epoch {epoch}" for epoch in epochs], "hovertemplate": "%{text}", "name": "training",
            }
        )  # fmt: skip
    return marks


def _height(values: Any, log: bool) -> Any:
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)
