"""Learning curves of several groups of runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from brfkit.analysis.runs.compare import Comparison
from brfkit.analysis.runs.groups import Group
from brfkit.plotting.style import heading, is_paper, legend_below, looks, panels
from brfkit.runs.config import LSTM

PANELS = (("accuracy", "accuracy (%)"), ("loss", "loss (nats)"), ("spikes_per_sample", "spikes per sample"))
MANY = 50
FEW = 15  # epochs up to which each has a marker
TICKS = (0, 20, 40, 60, 70, 80, 85, 90, 92, 94, 96, 98, 99, 100)


def compare_figure(
    comparison: Comparison, *, log_epochs: bool | None = None, share: float = 95, stretch_accuracy: bool = False
) -> Any:
    """Mean over the runs with a band of one standard deviation; a ring where the mean accuracy has come to ``share``
    percent of its last value. What single runs have beyond the shortest of their group is drawn thin.

    Args:
        comparison: what to draw.
        log_epochs: whether epochs are logarithmic; None makes them so where there are more than ``MANY``.
        share: percent of the last accuracy that is marked.
        stretch_accuracy: whether the axis of the accuracy gives its upper end more room; else it is linear.
    """
    if log_epochs is None:
        log_epochs = max(int(run.epochs[-1]) for group in comparison.groups for run in group.runs) > MANY
    fig, axes = panels(1, 3, (4.1, 4.4), width_ratios=(1.4, 1, 1))
    for group, look in zip(comparison.groups, looks([group.label for group in comparison.groups]), strict=True):
        for ax, (name, _) in zip(axes, PANELS, strict=True):
            if ax is not axes[2] or group.runs[0].config.network.neuron != LSTM:  # which has no spikes
                _curve(ax, group, name, look)
        _ring(axes[0], group, share, look)
    for ax, (_, label) in zip(axes, PANELS, strict=True):
        ax.set_ylabel(f"{comparison.split} {label}")
        if not is_paper() or ax is axes[-1]:
            ax.set_xlabel("epoch")
        if log_epochs:
            ax.set_xscale("symlog", linthresh=1, linscale=0.5)
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)
    _accuracy_axis(axes[0], comparison, stretch_accuracy)
    _loss_axis(axes[1], comparison)
    axes[2].set_ylim(bottom=0)
    legend_below(fig, axes[0].get_legend_handles_labels(), columns=6, handlelength=3.4)
    heading(fig, _title(comparison, share), 10)
    return fig


def _accuracy_axis(ax: Any, comparison: Comparison, stretch: bool) -> None:
    """Linear from below the lowest curve to above the highest, with a line at chance; or stretched towards 100 %."""
    means = np.concatenate([group.curve("accuracy")[1] for group in comparison.groups])
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    classes = {run.classes for group in comparison.groups for run in group.runs}
    count = classes.pop() if len(classes) == 1 else None
    if count:
        ax.axhline(100.0 / count, color="0.35", linewidth=1.0, linestyle=(0, (1, 3)), label=f"chance (1 of {count})")
        low = min(low, 100.0 / count)
    if stretch:
        _stretch_top(ax, high)
        return
    room = max(0.06 * (high - low), 1.0)
    ax.set_ylim(max(low - room, 0.0 if low >= 0 else low), min(high + room, 101.0))


def _stretch_top(ax: Any, best: float) -> None:
    """Percent on a scale that gives more room to the upper end, where good networks differ: log(103 - accuracy)."""
    ax.set_yscale("function", functions=(lambda a: -np.log(np.maximum(103.0 - a, 1e-3)), lambda y: 103.0 - np.exp(-y)))
    top = min(100.0, best + 0.15 * (103.0 - best))
    ax.set_ylim(0, top)
    ax.set_yticks([tick for tick in TICKS if tick <= top])


def _loss_axis(ax: Any, comparison: Comparison) -> None:
    """Fitted to the means; logarithmic where they span more than a decade."""
    means = np.concatenate([group.curve("loss")[1] for group in comparison.groups])
    known = means[np.isfinite(means) & (means > 0)]
    if not known.size:
        return
    low, high = float(known.min()), min(float(known.max()), 1.5 * float(np.quantile(known, 0.99)))
    if high > 10.0 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.2, high * 1.2)
    else:
        room = 0.06 * (high - low) or 0.1 * high
        ax.set_ylim(max(low - room, 0.0), high + room)


def _curve(ax: Any, group: Group, name: str, look: dict[str, Any]) -> None:
    epochs, mean, std = group.curve(name)
    plain = {key: look[key] for key in ("color", "linestyle")}
    if len(group.runs) > 1:
        ax.fill_between(epochs, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0)
    ax.plot(
        epochs, mean, label=_label(group), linewidth=1.5, markersize=4, markevery=_spread(len(epochs)), **look
    )  # fmt: skip
    for run in group.runs:
        beyond = run.epochs >= epochs[-1]
        if beyond.sum() > 1:
            ax.plot(run.epochs[beyond], run.curves[name][beyond], linewidth=0.7, alpha=0.7, **plain)


def _spread(count: int) -> list[int]:
    """Places of markers: all of few points; of many some, evenly spread on a logarithmic axis."""
    if count <= FEW:
        return list(range(count))
    return sorted({0, count - 1, *(int(place) for place in np.geomspace(1, count - 1, 8).round())})


def _label(group: Group) -> str:
    runs = len(group.runs)
    state = "" if group.state == "finished" else f"; {group.state}"
    return f"{group.label} ({runs} run{'s' if runs > 1 else ''}{state})"


def _ring(ax: Any, group: Group, share: float, look: dict[str, Any]) -> None:
    """Mark the epoch at which the mean curve has come to its share; nothing where no run has learned."""
    epoch = group.mean_curve_epoch(share)
    if epoch is None:
        return
    epochs, mean, _ = group.curve("accuracy")
    at = int(np.flatnonzero(epochs == epoch)[0])
    ax.plot(
        [epoch], [mean[at]], marker=look["marker"], markersize=9, markerfacecolor="white", linestyle="none",
        markeredgecolor=look["color"], markeredgewidth=1.8, zorder=4,
    )  # fmt: skip


def _title(comparison: Comparison, share: float) -> str:
    datasets = list(dict.fromkeys(group.runs[0].config.data.title for group in comparison.groups))
    parts = [", ".join(datasets), f"white marker: first epoch with {share:g} % of the last {comparison.split} accuracy"]
    if any(len(group.runs) > 1 for group in comparison.groups):
        parts.insert(1, "mean, band: ± standard deviation over runs")
    return "; ".join(parts)
