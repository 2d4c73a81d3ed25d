"""Learning curves of several groups of runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from brfkit.analysis.runs.compare import Comparison, Group
from brfkit.plotting.style import COLOURS, DASHES, figure, tidy

PANELS = (("accuracy", "accuracy (%)"), ("loss", "loss (nats)"), ("spikes_per_sample", "spikes per sample"))
MANY = 50
TICKS = (0, 20, 40, 60, 70, 80, 85, 90, 92, 94, 96, 98, 99, 100)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def compare_figure(comparison: Comparison, *, log_epochs: bool | None = None, share: float = 95) -> Any:
    """Mean over the runs with a band of one standard deviation; a mark where the mean accuracy has come to ``share``
    percent of its last value. The axis of the accuracy is stretched towards 100 %. What single runs have beyond the
    shortest of their group is drawn thin. Epochs are logarithmic where there are more than ``MANY`` of them, unless
    ``log_epochs`` says."""
    if log_epochs is None:
        log_epochs = max(int(run.epochs[-1]) for group in comparison.groups for run in group.runs) > MANY
    fig = figure(12.0, 4.6)
    axes = list(fig.subplots(1, 3, width_ratios=(1.5, 1, 1)))
    tidy(axes)
    for i, group in enumerate(comparison.groups):
        look: dict[str, Any] = {"color": COLOURS[i % 7], "linestyle": DASHES[(i + i // 7) % 7]}
        for ax, (name, _) in zip(axes, PANELS, strict=True):
            mark = {"marker": MARKERS[(i + i // 7) % 7], "markevery": [_place(group, share)]} if ax is axes[0] else {}
            _curve(ax, group, name, look, mark)
    for ax, (_, label) in zip(axes, PANELS, strict=True):
        ax.set(xlabel="epoch", ylabel=f"{comparison.split} {label}" if ax is not axes[2] else label)
        if log_epochs:
            ax.set_xscale("symlog", linthresh=1, linscale=0.5)
            ax.xaxis.set_major_formatter("{x:g}")
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)
    _stretch_top(axes[0], max(float(group.curve("accuracy")[1].max()) for group in comparison.groups))
    axes[1].set_ylim(*_loss_range(comparison))
    axes[2].set_ylim(bottom=0)
    handles, labels = axes[0].get_legend_handles_labels()
    columns = min(len(labels), max(1, 120 // max(len(label) + 8 for label in labels)))
    fig.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False, handlelength=3.2)
    fig.suptitle(_title(comparison, share), fontsize=10)
    return fig


def _stretch_top(ax: Any, best: float) -> None:
    """Percent on a scale that gives more room to the upper end, where good networks differ: log(103 - accuracy)."""
    ax.set_yscale("function", functions=(lambda a: -np.log(np.maximum(103.0 - a, 1e-3)), lambda y: 103.0 - np.exp(-y)))
    top = min(100.0, best + 0.15 * (103.0 - best))
    ax.set_ylim(0, top)
    ax.set_yticks([tick for tick in TICKS if tick <= top])


def _curve(ax: Any, group: Group, name: str, look: dict[str, Any], mark: dict[str, Any]) -> None:
    epochs, mean, std = group.curve(name)
    runs = len(group.runs)
    label = f"{group.label} ({runs} run{'s' if runs > 1 else ''})"
    if runs > 1:
        ax.fill_between(epochs, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0)
    ax.plot(epochs, mean, label=label, linewidth=1.5, markersize=7, markeredgecolor="white", **look, **mark)
    for run in group.runs:
        beyond = run.epochs >= epochs[-1]
        if beyond.sum() > 1:
            ax.plot(run.epochs[beyond], run.curves[name][beyond], linewidth=0.7, alpha=0.7, **look)


def _place(group: Group, share: float) -> int:
    """Index of the marked epoch in the mean curve."""
    return int(np.flatnonzero(group.common_epochs() == group.mean_curve_epoch(share))[0])


def _loss_range(comparison: Comparison) -> tuple[float, float]:
    """From below the lowest mean to the loss before training or the usual range: an outlier should not press the rest
    together."""
    means = [group.curve("loss")[1] for group in comparison.groups]
    finite = np.concatenate([mean[np.isfinite(mean)] for mean in means])
    if not finite.size:
        return 0.0, 1.0
    top = min(float(finite.max()), 1.5 * float(np.quantile(finite, 0.99)) + 1e-9)
    return 0.0, 1.05 * top


def _title(comparison: Comparison, share: float) -> str:
    datasets = list(dict.fromkeys(group.runs[0].config.data.dataset for group in comparison.groups))
    parts = [", ".join(datasets), f"mark: first epoch with {share:g} % of the last {comparison.split} accuracy"]
    if any(len(group.runs) > 1 for group in comparison.groups):
        parts.insert(1, "mean, band: ± standard deviation over runs")
    return "; ".join(parts)
