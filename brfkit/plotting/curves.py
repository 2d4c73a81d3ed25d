"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brfkit.plotting.style import BLUE, DASHES, GREEN, RED, figure, tidy
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row, best_epoch, stop_epoch

_LOOK = {TRAIN: (BLUE, DASHES[1]), VALIDATION: (GREEN, DASHES[2]), TEST: (RED, DASHES[0])}


def learning_curve(rows: Sequence[Row], title: str, stop_accuracy: float | None = None) -> Any:
    """Loss, accuracy and spikes per sample over the epochs, the best epoch marked (see
    :func:`brfkit.runs.metrics.best_epoch`)."""
    fig = figure(11.0, 4.1)
    axes = list(fig.subplots(1, 3))
    panels = (("loss", "loss (nats)"), ("accuracy", "accuracy (%)"), ("spikes_per_sample", "spikes per sample"))
    best = best_epoch(rows, stop_accuracy)
    stopped = stop_accuracy is not None and stop_epoch(rows, stop_accuracy) is not None
    mark = f"stopped at {stop_accuracy:g} % validation (epoch {best})" if stopped else f"best validation (epoch {best})"
    for ax, (key, label) in zip(axes, panels, strict=True):
        for split, (colour, dash) in _LOOK.items():
            points = [(row.epoch, getattr(row, key)) for row in rows if row.split == split]
            if points:
                marker = "o" if len(points) <= 12 else None
                x, y = zip(*points, strict=True)
                ax.plot(x, y, color=colour, linestyle=dash, label=split, marker=marker, markersize=3)
        ax.axvline(best, color="0.6", linewidth=1, label=mark)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel(label)
    tidy(axes)
    axes[1].set_ylim(0, 101)
    axes[2].set_ylim(bottom=0)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    fig.suptitle(title, fontsize=11)
    return fig
