"""Pictures of what a trained network has become: parameters, weights, activity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.inspect.inspection import SATURATED, Inspection, LayerInspection
from brfkit.neurons import get_neuron
from brfkit.plotting.inspect_data import confusion_figure, spectrum_figure
from brfkit.plotting.style import BLACK, BLUE, ORANGE, RED, figure, heading, is_paper, panels, tidy

BINS = 24
BARS = 100  # neurons up to which each has a bar of its own


def figures(found: Inspection) -> dict[str, Callable[[], Any]]:
    """What draws each picture, by the name of its file without suffix; a spectrum needs more than one step."""
    drawn = {
        "parameters": partial(parameters_figure, found),
        "weights": partial(weights_figure, found),
        "activity": partial(activity_figure, found),
        "spectrum": partial(spectrum_figure, found),
        "confusion": partial(confusion_figure, found),
    }
    return {name: draw for name, draw in drawn.items() if name != "spectrum" or found.spectrum_omega.size}


def title(found: Inspection, what: str) -> str:
    return f"{what}: {found.name}, {found.neuron} on {found.dataset}"


def _grid(count: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    """A figure and so many axes; on paper two beside each other."""
    columns = min(count, 2 if is_paper() else columns)
    rows = -(-count // columns)
    fig = figure(3.3 * columns, 0.4 + height * rows, 0.3 + 1.75 * rows)
    axes = [fig.add_subplot(rows, columns, i + 1) for i in range(count)]
    tidy(axes)
    return fig, axes


def parameters_figure(found: Inspection) -> Any:
    """Histograms of all parameters of the neurons and of the readout; of ω also the frequency; what rings how long."""
    draws: list[Callable[[Any], None]] = []
    for layer in found.layers:
        for name, values in layer.parameters.items():
            draws.append(partial(_histogram, layer=layer.name, neuron=layer.neuron, name=name, values=values))
        draws.append(partial(_memory, layer=layer))
    last = found.network.layers[-1]
    for name, values in found.readout.items():
        draws.append(partial(_histogram, layer=last.name, neuron=last.neuron, name=name, values=values))
    fig, axes = _grid(len(draws), 4, 3.4)
    for ax, draw in zip(axes, draws, strict=True):
        draw(ax)
    heading(fig, title(found, "Parameters"))
    return fig


def _histogram(ax: Any, layer: str, neuron: str, name: str, values: NDArray[np.float64]) -> None:
    parameter = get_neuron(neuron).parameter(name)
    ax.hist(values, bins=BINS, color=BLUE, alpha=0.8, edgecolor="white", linewidth=0.4)
    middle = float(np.median(values))
    ax.axvline(middle, color=BLACK, linestyle="--", linewidth=1.0)
    ax.set(xlabel=f"{parameter.symbol} ({parameter.unit})", ylabel="neurons")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_title(f"{layer}: median {middle:.3g}", fontsize=9)
    if name == "omega":
        top = ax.secondary_xaxis("top", functions=(lambda w: w / (2 * np.pi), lambda f: f * 2 * np.pi))
        top.set_xlabel("ω / 2π (1 / time)", fontsize=8)
        top.tick_params(labelsize=8)


def _memory(ax: Any, layer: LayerInspection) -> None:
    """Each neuron at rest: how long it rings, and at which frequency."""
    turns = layer.resonance
    endless = ~np.isfinite(turns.memory)
    longest = float(turns.memory[~endless].max(initial=1.0))
    steps = np.where(endless, 3.0 * longest, turns.memory)
    ax.plot(turns.omega[~endless], steps[~endless], "o", color=BLUE, markersize=3.5, alpha=0.7)
    if endless.any():
        ax.plot(turns.omega[endless], steps[endless], "^", color=RED, markersize=4, label="without end")
        ax.legend(fontsize=8, frameon=False)
    ax.set(yscale="log", xlabel="ω of the discrete neuron (rad / time)", ylabel="memory (steps)")
    ax.set_title(f"{layer.name} at rest", fontsize=9)


def weights_figure(found: Inspection) -> Any:
    """Histogram of every matrix, and the eigenvalues of every W_rec."""
    recurrent = [name for name in found.matrices if name.endswith(".w_rec")]
    fig, axes = _grid(len(found.matrices) + len(recurrent), 4, 3.2)
    for ax, (name, matrix) in zip(axes, found.matrices.items(), strict=False):
        figures = found.weights[name]
        ax.hist(matrix.ravel(), bins=2 * BINS, color=BLUE, alpha=0.8, log=True)
        ax.set(xlabel="weight", ylabel="connections (logarithmic)")
        ax.set_title(f"{name} {matrix.shape[0]}×{matrix.shape[1]}: norm {figures['norm']:.4g}", fontsize=9)
    for ax, name in zip(axes[len(found.matrices) :], recurrent, strict=True):
        values = np.linalg.eigvals(found.matrices[name].astype(np.float64))
        radius = found.weights[name]["spectral_radius"]
        ax.plot(values.real, values.imag, "o", color=BLUE, markersize=2.5, alpha=0.7)
        turn = np.linspace(0, 2 * np.pi, 200)
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=BLACK, linestyle="--", linewidth=0.9)
        ax.set(xlabel="real part of eigenvalue", ylabel="imaginary part", aspect="equal")
        ax.set_title(f"{name}: spectral radius {radius:.4g}", fontsize=9)
    heading(fig, title(found, "Weights"))
    return fig


def activity_figure(found: Inspection) -> Any:
    """Firing rate of every neuron, and of every neuron for each class, neurons in the order of their frequency."""
    fig, axes = panels(max(len(found.layers), 1), 2, (5.5, 4.0), 2.3)
    for ranked, classes, layer in zip(axes[::2], axes[1::2], found.layers, strict=False):
        _ranked(ranked, layer)
        _by_class(fig, classes, layer, found.class_names)
    silent = "" if found.spikes_per_sample else ": no neuron spikes"
    spikes = f"{found.spikes_per_sample:,.4g} spikes per sample{silent}"
    heading(fig, f"{title(found, 'Activity')}, {found.samples:,} samples, {spikes}")
    return fig


def _ranked(ax: Any, layer: LayerInspection) -> None:
    rate = 100.0 * np.sort(layer.rate)[::-1]
    place = np.arange(len(rate))
    if len(rate) <= BARS:
        ax.bar(place, rate, 0.9, color=BLUE, alpha=0.8, label="firing rate")
    else:
        ax.fill_between(place, 0, rate, step="mid", color=BLUE, alpha=0.8, linewidth=0, label="firing rate")
    ax.axhline(float(rate.mean()), color=BLACK, linestyle="--", linewidth=1.0, label=f"mean {rate.mean():.3g} %")
    if len(layer.saturated):
        ax.axhline(
            100.0 * SATURATED, color=RED, linestyle=":", linewidth=1.0, label=f"{len(layer.saturated)} saturated above"
        )
    if len(layer.dead):
        first = len(rate) - len(layer.dead)
        ax.axvspan(first - 0.5, len(rate) - 0.5, color=ORANGE, alpha=0.3, label=f"{len(layer.dead)} never spike")
    ax.set(
        xlabel="neuron, by rate", ylabel="firing rate (% of the steps)", ylim=(0, None), xlim=(-0.5, len(rate) - 0.5)
    )
    ax.set_title(f"{layer.name}: {len(layer.dead)} dead, {len(layer.saturated)} saturated", fontsize=9)
    # Below the axes: a neuron may spike at any rate, so that there is no free place within.
    ax.legend(
        fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.3 if is_paper() else -0.13), ncols=2
    )


def _by_class(fig: Any, ax: Any, layer: LayerInspection, names: tuple[str, ...]) -> None:
    turns = layer.resonance.omega
    order = np.argsort(turns if turns.any() else layer.rate, kind="stable")
    shown = ax.imshow(
        100.0 * layer.rate_by_class[:, order],
        aspect="auto",
        origin="upper",
        interpolation="nearest",
        cmap="Greys",
        vmin=0.0,
    )
    few = len(names) <= 40
    ax.set_yticks(range(len(names)) if few else [], names if few else [])
    by = "ω" if turns.any() else "rate"
    ax.set(xlabel=f"neuron of {layer.name}, by {by}", ylabel="true class")
    ax.grid(False)
    bar = fig.colorbar(shown, ax=ax, pad=0.02)
    bar.set_label("firing rate (% of the steps)")
    bar.outline.set_visible(False)
