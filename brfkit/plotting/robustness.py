"""A picture of accuracy, loss and spikes over the level of a perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from brfkit.analysis.network.robustness import Robustness
from brfkit.plotting.style import COLOURS, DASHES, figure, tidy

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANELS = (("accuracy", "accuracy (%)"), ("loss", "loss (nats)"), ("spikes_per_sample", "spikes per sample"))


def robustness_figure(results: Robustness | Mapping[str, Robustness], title: str | None = None) -> Any:
    """Mean over the repeats with the standard deviation as bars; several networks by name in one picture."""
    named = {results.neuron: results} if isinstance(results, Robustness) else dict(results)
    fig = figure(11.0, 4.0)
    axes = list(fig.subplots(1, 3))
    tidy(axes)
    first = next(iter(named.values()))
    for ax, (key, label) in zip(axes, PANELS, strict=True):
        for i, (name, result) in enumerate(named.items()):
            order = np.argsort(result.levels)
            look = {"color": COLOURS[i % 7], "linestyle": DASHES[i % 7], "marker": MARKERS[i % 7]}
            x, mean, std = (np.array(v)[order] for v in (result.levels, result.mean(key), result.std(key)))
            ax.errorbar(x, mean, std, label=name, markersize=4, capsize=2.5, linewidth=1.4, elinewidth=1.0, **look)
        ax.set(xlabel=first.perturbation.level, ylabel=label)
        if not first.perturbation.random:
            _bits(ax, first)
    axes[0].set_ylim(0, 101)
    for ax in axes[1:]:
        ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
    if len(named) > 1:
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(named), frameon=False)
    fig.suptitle(title or _title(first), fontsize=11)
    return fig


def _bits(ax: Any, result: Robustness) -> None:
    """Numbers of bits are spread evenly, as each of them doubles the last one or nearly so."""
    if min(result.levels) <= 0:
        return
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(result.levels), [f"{level:g}" for level in sorted(result.levels)])
    ax.minorticks_off()


def _title(result: Robustness) -> str:
    repeats = f", {result.repeats} repeats (bars: ± std)" if result.perturbation.random and result.repeats > 1 else ""
    what = result.perturbation.name.replace("-", " ")
    return f"{what}: {result.neuron} on {result.samples:,} samples of {result.dataset}{repeats}"
