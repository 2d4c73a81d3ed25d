"""A picture of accuracy, loss and spikes over the level of a perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from brfkit.analysis.network.robustness import Robustness
from brfkit.plotting.style import heading, is_paper, legend_below, looks, panels

PANELS = (("accuracy", "accuracy (%)"), ("loss", "loss (nats)"), ("spikes_per_sample", "spikes per sample"))
CHANCE = "most frequent class"


def robustness_figure(results: Robustness | Mapping[str, Robustness], title: str | None = None) -> Any:
    """Mean over the repeats with the standard deviation as bars, and the accuracy of always answering the most frequent
    class; several networks by name in one picture."""
    named = {results.neuron: results} if isinstance(results, Robustness) else dict(results)
    fig, axes = panels(1, 3, (3.7, 4.0))
    first = next(iter(named.values()))
    for ax, (key, label) in zip(axes, PANELS, strict=True):
        for look, (name, result) in zip(looks(list(named)), named.items(), strict=True):
            order = np.argsort(result.levels)
            x, mean, std = (np.array(v)[order] for v in (result.levels, result.mean(key), result.std(key)))
            words = (
                f"{name} (silent)" if not any(result.mean("spikes_per_sample")) and result.neuron != "lstm" else name
            )
            ax.errorbar(x, mean, std, label=words, markersize=4, capsize=2.5, linewidth=1.4, elinewidth=1.0, **look)
        ax.set_ylabel(label)
        if not is_paper() or ax is axes[-1]:
            ax.set_xlabel(first.perturbation.level)
        if not first.perturbation.random:
            _bits(ax, {level for result in named.values() for level in result.levels})
    _chance(axes[0], list(named.values()))
    axes[0].set_ylim(0, 101)
    for ax in axes[1:]:
        ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
    handles, labels = axes[0].get_legend_handles_labels()
    pairs = sorted(zip(handles, labels, strict=True), key=lambda pair: pair[1].startswith(CHANCE))
    if len(pairs) > 1:
        found = ([handle for handle, _ in pairs], [label for _, label in pairs])
        legend_below(fig, found, columns=6, handlelength=3.4)
    heading(fig, title or _title(list(named.values())))
    return fig


def _chance(ax: Any, results: list[Robustness]) -> None:
    """A line for each accuracy of always answering the most frequent class."""
    for chance in dict.fromkeys(round(result.chance, 6) for result in results if result.chance is not None):
        ax.axhline(chance, color="0.35", linewidth=1.0, linestyle=(0, (1, 3)),
                   label=f"{CHANCE} ({chance:.1f} %)")  # fmt: skip


def _bits(ax: Any, levels: set[float]) -> None:
    """Numbers of bits are spread evenly, as each of them doubles the last one or nearly so."""
    if min(levels) <= 0:
        return
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(levels), [f"{level:g}" for level in sorted(levels)])
    ax.minorticks_off()


def _title(results: list[Robustness]) -> str:
    first = results[0]
    repeats = f", {first.repeats} repeats (bars: ± std)" if first.perturbation.random and first.repeats > 1 else ""
    what = first.perturbation.name.replace("-", " ")
    data = ", ".join(dict.fromkeys(f"{result.samples:,} samples of {result.dataset}" for result in results))
    return f"{what}: {f'{first.neuron} on ' if len(results) == 1 else ''}{data}{repeats}"
