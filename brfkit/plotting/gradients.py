"""A picture of gradient norms over time, of one network or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brfkit.analysis.network.gradients.profile import GradientFlow
from brfkit.plotting.style import HATCHES, TIME, TINY, heading, legend_below, looks, panels

LOSSES = {"task": "loss of the task", "last": "loss of the last step alone"}


def gradients_figure(flows: Sequence[GradientFlow]) -> Any:
    """Norm of ∂L/∂state over time for both losses, largest eigenvalue of a neuron's transition matrix over time, and
    the share of each weight's gradient that has passed through W_rec."""
    fig, (task, last, eigen, shares) = panels(2, 2, (5.5, 3.8), 2.0)
    series = _series(flows)
    looked = looks([name for name, _, _ in series])
    for ax, (loss, title) in zip((task, last), LOSSES.items(), strict=True):
        for look, (name, flow, layer) in zip(looked, series, strict=True):
            curve, t = flow.curves[loss][layer], flow.steps * flow.dt
            plain = {"color": look["color"], "linestyle": look["linestyle"]}
            ax.fill_between(t, curve.low, curve.high, color=look["color"], alpha=0.15, linewidth=0)
            ax.plot(t, curve.norm, linewidth=1.6, label=name, markersize=4, markevery=_every(len(t)), **look)
            if (curve.without_w_rec > 0).any():
                ax.plot(t, curve.without_w_rec, linewidth=0.7, **plain)
        ax.set(yscale="log", xlabel=TIME, ylabel="‖∂L/∂state‖")
        ax.set_title(f"{title} (thin: without paths through W_rec)", fontsize=9)
    _eigenvalues(eigen, flows, looked)
    _shares(shares, flows, looked)
    legend_below(fig, task.get_legend_handles_labels(), columns=4, handlelength=3.4)
    samples = " or ".join(sorted({str(flow.samples) for flow in flows}))
    data = ", ".join(dict.fromkeys(flow.dataset for flow in flows))
    heading(fig, f"Gradients over time, {data}; bands: 10 to 90 % of {samples} samples")
    return fig


def _every(count: int) -> int:
    """Distance of markers along a curve: each point of few, else twelve in all."""
    return 1 if count <= TINY else -(-count // 12)


def _series(flows: Sequence[GradientFlow]) -> list[tuple[str, GradientFlow, str]]:
    """A name for each layer of each network."""
    found = []
    for flow in flows:
        for layer in flow.layers:
            words = [flow.neuron] if flow.neuron not in flow.name else []
            words += [flow.dataset] if len({other.dataset for other in flows}) > 1 else []
            name = f"{flow.name} ({', '.join(words)})" if words else flow.name
            found.append((f"{name}, {layer}" if len(flow.layers) > 1 else name, flow, layer))
    return found


def _eigenvalues(ax: Any, flows: Sequence[GradientFlow], looked: Sequence[dict[str, Any]]) -> None:
    for look, (name, flow, layer) in zip(looked, _series(flows), strict=True):
        found, t = flow.eigenvalues[layer], flow.steps * flow.dt
        ax.fill_between(t, found.low, found.high, color=look["color"], alpha=0.15, linewidth=0)
        ax.plot(t, found.median, linewidth=1.4, label=name, markersize=4, markevery=_every(len(t)), **look)
    ax.axhline(1.0, color="0.3", linewidth=0.8)
    ax.set(xlabel=TIME, ylabel="largest |eigenvalue|")
    ax.set_title("one neuron's transition matrix, first sample: median, 10 to 90 % of neurons", fontsize=9)


def _shares(ax: Any, flows: Sequence[GradientFlow], looked: Sequence[dict[str, Any]]) -> None:
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
        look = {"color": looked[i]["color"], "hatch": HATCHES[i % len(HATCHES)]}
        ax.barh(y, share, height, alpha=0.75, edgecolor="white", linewidth=0.5, **look)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="‖gradient through W_rec‖ / ‖gradient‖", xlim=(0, None))
    ax.set_title("part of a weight's gradient that passed through W_rec", fontsize=9)
