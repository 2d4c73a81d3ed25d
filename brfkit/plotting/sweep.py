"""Pictures of hyper-parameter studies: progress, importances, slices, heat map, parallel coordinates, Pareto front."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from brfkit.plotting.style import BLUE, GREEN, RED, figure, heading, panels, tidy
from brfkit.sweeps.results import PRUNED, StudyResult, TrialRow, ranked
from brfkit.sweeps.space import Dimension
from brfkit.sweeps.study_file import OBJECTIVES

MOST_SLICES = 4
COLOURMAP = "viridis"
UNITS = {"validation_accuracy": " (%)", "validation_loss": " (nats)", "seconds": " (s)"}


def study_figure(result: StudyResult) -> Any:
    """One picture of a study; panels for which there are too few trials are left out."""
    complete = result.complete()
    if not complete:
        fig = figure(6.0, 2.0)
        fig.text(0.5, 0.5, f"{result.spec.name}: no complete trial", ha="center")
        return fig
    drawers: list[Callable[[Any, Any], None]] = [lambda ax, fig: _progress(ax, result)]
    if len(result.spec.objectives) > 1:
        drawers.append(lambda ax, fig: _pareto(ax, result))
    if result.importances:
        drawers.append(lambda ax, fig: _importances(ax, result))
    chosen = _by_importance(result)
    for dimension in chosen[:MOST_SLICES]:
        drawers.append(lambda ax, fig, d=dimension: _slice(ax, result, d))  # type: ignore[misc]
    ranges = [d for d in chosen if _positions(d, complete) is not None]
    if len(ranges) > 1 and len(complete) > 3:
        drawers.append(lambda ax, fig: _heat_map(ax, fig, result, ranges[0], ranges[1]))
    if len(result.spec.dimensions) > 1 and len(complete) > 1:
        drawers.append(lambda ax, fig: _parallel(ax, fig, result))
    columns = len(drawers) if len(drawers) < 4 else math.ceil(len(drawers) / 2) if len(drawers) < 9 else 4
    rows = math.ceil(len(drawers) / columns)
    fig, axes = panels(rows, columns)
    for ax, draw in zip(axes, drawers, strict=False):
        draw(ax, fig)
    for ax in axes[len(drawers) :]:
        ax.remove()
    heading(fig, f"{result.spec.name}: {len(complete)} complete trials, {len(result.spec.seeds)} seed(s) each")
    return fig


def _label(result: StudyResult, index: int = 0) -> str:
    name = result.spec.objectives[index]
    return name.replace("_", " ") + UNITS.get(name, "")


def _values(result: StudyResult, index: int = 0) -> np.ndarray:
    name = result.spec.objectives[index]
    return np.array([trial.values[name] for trial in result.complete()], np.float64)


def _short(key: str) -> str:
    return key.split(".", 1)[1].replace("_", " ")


def _by_importance(result: StudyResult) -> list[Dimension]:
    return sorted(result.spec.dimensions, key=lambda d: -result.importances.get(d.key, 0.0))


def _progress(ax: Any, result: StudyResult) -> None:
    complete, values = result.complete(), _values(result)
    numbers = [trial.number for trial in complete]
    better = np.maximum if OBJECTIVES[result.spec.objectives[0]] else np.minimum
    ax.plot(numbers, values, "o", color=BLUE, markersize=4, label="trial")
    ax.step(numbers, better.accumulate(values), where="post", color=RED, label="best so far")
    pruned = [trial.number for trial in result.trials if trial.state == PRUNED]
    if pruned:
        bottom = min(values) if OBJECTIVES[result.spec.objectives[0]] else max(values)
        ax.plot(pruned, [bottom] * len(pruned), "|", color="0.5", label="pruned")
    ax.set_xlabel("trial")
    ax.set_ylabel(_label(result))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=8)


def _importances(ax: Any, result: StudyResult) -> None:
    names = sorted(result.importances, key=lambda name: result.importances[name])
    ax.barh([_short(name) for name in names], [100 * result.importances[name] for name in names], color=BLUE)
    ax.set_xlabel("importance (% of variance, fANOVA)")
    ax.set_xlim(0, 100)


def _positions(dimension: Dimension, trials: Sequence[TrialRow]) -> np.ndarray | None:
    """Values of a dimension as numbers, NaN where a trial has none; None for choices that are no numbers."""
    found = [trial.params.get(dimension.key, math.nan) for trial in trials]
    if any(isinstance(value, str | bool) for value in found):
        return None
    return np.array(found, np.float64)


def _log_axis(ax: Any, which: str) -> None:
    """A logarithmic axis with few numbers, written out."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(ax, f"set_{which}scale")("log")
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _slice(ax: Any, result: StudyResult, dimension: Dimension) -> None:
    trials, values = result.complete(), _values(result)
    positions = _positions(dimension, trials)
    if positions is None:
        names = sorted({str(t.params[dimension.key]) for t in trials if dimension.key in t.params})
        positions = np.array([
            names.index(str(t.params[dimension.key])) if dimension.key in t.params else math.nan for t in trials
        ])  # fmt: skip
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, len(names) - 0.5)
    elif dimension.log:
        _log_axis(ax, "x")
    ax.plot(positions, values, "o", color=BLUE, markersize=4, alpha=0.8)
    best = int(np.argmax(values) if OBJECTIVES[result.spec.objectives[0]] else np.argmin(values))
    ax.plot(positions[best], values[best], "*", color=RED, markersize=11)
    ax.set_xlabel(_short(dimension.key))
    ax.set_ylabel(_label(result))


def _heat_map(ax: Any, fig: Any, result: StudyResult, first: Dimension, second: Dimension) -> None:
    """The objective over two settings: cells where every pair was tried, else triangles between the trials."""
    trials, values = result.complete(), _values(result)
    x, y = _positions(first, trials), _positions(second, trials)
    assert x is not None
    assert y is not None
    kept = np.isfinite(x) & np.isfinite(y)
    x, y, values = x[kept], y[kept], values[kept]
    columns, rows = np.unique(x), np.unique(y)
    scatter = None
    if len(columns) * len(rows) <= 4 * len(values) and len(columns) > 1 and len(rows) > 1:
        cells = np.full((len(rows), len(columns)), np.nan)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                found = values[(x == column) & (y == row)]
                cells[i, j] = found.mean() if len(found) else np.nan
        scatter = ax.imshow(cells, origin="lower", aspect="auto", cmap=COLOURMAP)
        ax.set_xticks(range(len(columns)), [f"{v:g}" for v in columns])
        ax.set_yticks(range(len(rows)), [f"{v:g}" for v in rows])
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
                ax.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7,
                        color="white" if value < middle else "black")  # fmt: skip
    else:
        for axis, dimension in (("x", first), ("y", second)):
            if dimension.log:
                _log_axis(ax, axis)
        scatter = ax.scatter(x, y, c=values, cmap=COLOURMAP, s=45, edgecolors="0.3", linewidths=0.5)
    ax.grid(False)
    ax.set_xlabel(_short(first.key))
    ax.set_ylabel(_short(second.key))
    fig.colorbar(scatter, ax=ax, label=_label(result))


def _parallel(ax: Any, fig: Any, result: StudyResult) -> None:
    """A line per trial through its settings, each scaled to its range; the best trials are drawn last."""
    import matplotlib

    trials, values = result.complete(), _values(result)
    columns = [_unit(dimension, trials) for dimension in result.spec.dimensions]
    low, high = float(values.min()), float(values.max())
    shade = (values - low) / (high - low) if high > low else np.ones_like(values)
    colours = matplotlib.colormaps[COLOURMAP]
    sign = 1.0 if OBJECTIVES[result.spec.objectives[0]] else -1.0
    for index in np.argsort(sign * values):
        heights = [column[index] for column in columns]
        ax.plot(range(len(columns)), heights, color=colours(shade[index]), linewidth=1.1, alpha=0.8)
    ax.set_xticks(range(len(columns)), [_short(d.key) for d in result.spec.dimensions], rotation=25, ha="right")
    ax.set_yticks([0, 1], ["low", "high"])
    norm = matplotlib.colors.Normalize(low, high)
    fig.colorbar(matplotlib.cm.ScalarMappable(norm, COLOURMAP), ax=ax, label=_label(result))


def _unit(dimension: Dimension, trials: Sequence[TrialRow]) -> np.ndarray:
    """Values of a dimension from 0 to 1; choices in the order of the study file."""
    if dimension.low is not None and dimension.high is not None:
        positions = np.array([float(t.params.get(dimension.key, math.nan)) for t in trials])
        low, high = dimension.low, dimension.high
        if dimension.log:
            positions, low, high = np.log(positions), math.log(low), math.log(high)
        return (positions - low) / (high - low)
    names = [str(choice) for choice in dimension.choices]
    found = [names.index(str(t.params[dimension.key])) if str(t.params.get(dimension.key)) in names else math.nan
             for t in trials]  # fmt: skip
    return np.array(found, np.float64) / max(len(names) - 1, 1)


def _pareto(ax: Any, result: StudyResult) -> None:
    x, y = _values(result, 1), _values(result, 0)
    ax.plot(x, y, "o", color="0.6", markersize=4, label="trial")
    front = sorted((t.values[result.spec.objectives[1]], t.values[result.spec.objectives[0]]) for t in result.best)
    ax.plot(*zip(*front, strict=True), "s-", color=GREEN, markersize=5, label="Pareto front")
    ax.set_xlabel(_label(result, 1))
    ax.set_ylabel(_label(result))
    ax.legend(frameon=False, fontsize=8)
    tidy(ax)


def study_page(result: StudyResult) -> str:
    """Picture and table of a study as one page of HTML without scripts or links."""
    buffer = io.StringIO()
    study_figure(result).savefig(buffer, format="svg")
    picture = buffer.getvalue()
    picture = picture[picture.index("<svg") :]
    keys = [d.key for d in result.spec.dimensions]
    head = ["trial", *(name.replace("_", " ") + UNITS.get(name, "") for name in result.spec.objectives), *keys]
    rows = []
    for trial in ranked(result):
        cells = [str(trial.number), *(_number(trial, name) for name in result.spec.objectives)]
        cells += [_text(trial.params.get(key)) for key in keys]
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    title = html.escape(result.spec.name)
    style = "body{font-family:sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}svg{max-width:100%}"
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title><style>{style}</style>'
        f"</head><body><h1>{title}</h1>{picture}<p>Means over {len(result.spec.seeds)} seed(s), at the epoch of the "
        f"lowest validation loss; ± is the standard deviation.</p><table><thead><tr>{heads}</tr></thead><tbody>"
        f"{''.join(rows)}</tbody></table></body></html>\n"
    )


def _number(trial: TrialRow, name: str) -> str:
    spread = trial.spread(name)
    return f"{trial.values[name]:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
