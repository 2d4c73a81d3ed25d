"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brfkit.plotting.style import BLUE, DASHES, GREEN, MARKERS, RED, TINY, heading, legend_below, note, panels
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row, best_epoch, stop_epoch

_LOOK = {
    TRAIN: (BLUE, DASHES[1], MARKERS[1]), VALIDATION: (GREEN, DASHES[2], MARKERS[2]), TEST: (RED, DASHES[0], MARKERS[0])
}  # fmt: skip
PANELS = (("loss", "loss (nats)"), ("accuracy", "accuracy (%)"), ("spikes_per_sample", "spikes per sample"))


def learning_curve(rows: Sequence[Row], title: str, stop_accuracy: float | None = None) -> Any:
    """Loss, accuracy and spikes per sample over the epochs, the best epoch marked (see
    :func:`brfkit.runs.metrics.best_epoch`). The loss is logarithmic where it spans more than a decade."""
    fig, axes = panels(1, 3, (3.7, 4.1))
    best = best_epoch(rows, stop_accuracy)
    stopped = stop_accuracy is not None and stop_epoch(rows, stop_accuracy) is not None
    mark = f"stopped at {stop_accuracy:g} % validation (epoch {best})" if stopped else f"best validation (epoch {best})"
    for ax, (key, label) in zip(axes, PANELS, strict=True):
        for split, (colour, dash, marker) in _LOOK.items():
            points = [(row.epoch, getattr(row, key)) for row in rows if row.split == split]
            if points:
                x, y = zip(*points, strict=True)
                every = 1 if len(points) <= TINY else -(-len(points) // 10)
                look = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 3.5}
                ax.plot(x, y, label=split, markevery=every, linewidth=1.4, **look)
        ax.axvline(best, color="0.6", linewidth=1, label=mark)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
    losses = np.array([row.loss for row in rows])
    losses = losses[np.isfinite(losses) & (losses > 0)]
    if losses.size and losses.max() > 10 * losses.min():
        axes[0].set_yscale("log")
    axes[1].set_ylim(0, 101)
    axes[2].set_ylim(bottom=0)
    if rows and not any(row.spikes_per_sample for row in rows):
        note(axes[2], "no spikes")
    legend_below(fig, axes[0].get_legend_handles_labels(), columns=4)
    heading(fig, title)
    return fig
