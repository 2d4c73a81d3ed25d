"""A picture of gradients that travel back through time, of one network or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brfkit.analysis.network.gradients.profile import GradientFlow
from brfkit.plotting.style import COLOURS, DASHES, figure, tidy

LOSSES = {"task": "loss of the task", "last": "loss of the last step alone"}


def gradients_figure(flows: Sequence[GradientFlow]) -> Any:
    """Norm of ∂L/∂state over time for both losses, largest eigenvalue of a neuron's transition matrix over time, and
    the share of each weight's gradient that has passed through W_rec."""
    fig = figure(11.0, 7.6)
    (task, last), (eigen, shares) = fig.subplots(2, 2)
    tidy([task, last, eigen, shares])
    for ax, (loss, title) in zip((task, last), LOSSES.items(), strict=True):
        for i, (name, flow, layer) in enumerate(_series(flows)):
            curve = flow.curves[loss][layer]
            colour, t = COLOURS[i % 7], flow.steps * flow.dt
            ax.fill_between(t, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
            ax.plot(t, curve.norm, color=colour, linestyle=DASHES[i % 7], linewidth=1.6, label=name)
            if (curve.without_w_rec > 0).any():
                ax.plot(t, curve.without_w_rec, color=colour, linestyle=DASHES[i % 7], linewidth=0.7)
        ax.set(yscale="log", xlabel="time (unit of δ)", ylabel="‖∂L/∂state‖")
        ax.set_title(f"{title} (thin: without paths through W_rec)", fontsize=9)
    _eigenvalues(eigen, flows)
    _shares(shares, flows)
    handles = task.get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=min(len(handles[0]), 4), frameon=False, handlelength=3)
    samples = " or ".join(sorted({str(flow.samples) for flow in flows}))
    fig.suptitle(
        f"Gradients back through time, {flows[0].dataset}; bands: 10 to 90 % of {samples} samples", fontsize=11
    )
    return fig


def _series(flows: Sequence[GradientFlow]) -> list[tuple[str, GradientFlow, str]]:
    """A name for each layer of each network."""
    found = []
    for flow in flows:
        for layer in flow.layers:
            name = flow.name if flow.neuron in flow.name else f"{flow.name} ({flow.neuron})"
            found.append((f"{name}, {layer}" if len(flow.layers) > 1 else name, flow, layer))
    return found


def _eigenvalues(ax: Any, flows: Sequence[GradientFlow]) -> None:
    for i, (name, flow, layer) in enumerate(_series(flows)):
        found, t = flow.eigenvalues[layer], flow.steps * flow.dt
        ax.fill_between(t, found.low, found.high, color=COLOURS[i % 7], alpha=0.15, linewidth=0)
        ax.plot(t, found.median, color=COLOURS[i % 7], linestyle=DASHES[i % 7], linewidth=1.4, label=name)
    ax.axhline(1.0, color="0.3", linewidth=0.8)
    ax.set(xlabel="time (unit of δ)", ylabel="largest |eigenvalue|")
    ax.set_title("one neuron's transition matrix, first sample: median, 10 to 90 % of neurons", fontsize=9)


def _shares(ax: Any, flows: Sequence[GradientFlow]) -> None:
    """Bars of what W_rec carries, of the gradient of the task's loss; a bar per weight and network."""
    series = _series(flows)
    rows = [
        (i, weight.partition(".")[2], flow.parameters["task"][weight]["share_through_w_rec"])
        for i, (_, flow, layer) in enumerate(series)
        for weight in flow.parameters["task"]
        if weight.startswith(f"{layer}.")
    ]
    names = list(dict.fromkeys(name for _, name, _ in rows))
    height = 0.8 / len(series)
    for i, name, share in rows:
        y = names.index(name) + (i - (len(series) - 1) / 2) * height
        hatch = ("", "//", "..", "xx", "\\\\", "++", "oo")[i % 7]
        ax.barh(y, share, height, color=COLOURS[i % 7], alpha=0.75, hatch=hatch, edgecolor="white", linewidth=0.5)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="‖gradient through W_rec‖ / ‖gradient‖", xlim=(0, None))
    ax.set_title("part of a weight's gradient that passed through W_rec", fontsize=9)
