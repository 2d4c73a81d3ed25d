"""Pictures of a trained network beside its data: spectrum and learned ω, confusions, labels over the signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.inspect.inspection import Inspection
from brfkit.analysis.network.simulate import NetworkSimulation
from brfkit.plotting.style import BLACK, BLUE, COLOURS, DASHES, figure, tidy

NUMBERS = 20  # classes up to which a cell of the confusions shows its number
LEADS = {"ecg": ((0, 1), (2, 3))}  # channels of level crossings upwards and downwards


def spectrum_figure(found: Inspection) -> Any:
    """Mean power of the data over frequency, above the ω that the neurons have learned (ICML paper, appendix)."""
    oscillating = [layer for layer in found.layers if "omega" in layer.parameters]
    fig = figure(8.0, 2.8 + 2.2 * len(oscillating))
    axes = list(np.atleast_1d(fig.subplots(1 + len(oscillating), 1, sharex=True)))
    tidy(axes)
    mean = found.spectrum.mean(1)
    if 1 < found.spectrum.shape[1] <= 8:
        for channel in range(found.spectrum.shape[1]):
            look = {"color": COLOURS[channel % 7], "linestyle": DASHES[channel % 7]}
            axes[0].plot(found.spectrum_omega, found.spectrum[:, channel], linewidth=0.9, label=str(channel), **look)
        axes[0].legend(title="channel", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    else:
        axes[0].plot(found.spectrum_omega, mean, color=BLUE, linewidth=1.0)
    axes[0].set(yscale="log", ylabel="mean power of the input")
    _power_limits(axes[0], found.spectrum if axes[0].get_legend() else mean)
    highest = found.spectrum_omega[-1]
    if oscillating:
        learned = max(float(layer.parameters["omega"].max()) for layer in oscillating)
        highest = min(highest, max(1.5 * learned, 20.0))
    for ax, layer in zip(axes[1:], oscillating, strict=True):
        values = layer.parameters["omega"]
        ax.hist(values, bins=np.linspace(0, highest, 61), color=BLUE, alpha=0.8, edgecolor="white", linewidth=0.4)
        ax.axvline(float(np.median(values)), color=BLACK, linestyle="--", linewidth=1.0, label="median")
        ax.set_ylabel(f"neurons of {layer.name}")
        ax.legend(fontsize=8, frameon=False)
    axes[-1].set(xlabel="ω (rad / unit of δ)", xlim=(0, highest))
    what = "Spectrum of the data and learned ω" if oscillating else "Spectrum of the data (no neuron has an ω)"
    fig.suptitle(f"{what}: {found.name}, {found.neuron} on {found.dataset}", fontsize=11)
    return fig


def _power_limits(ax: Any, spectrum: NDArray[np.float64]) -> None:
    positive = spectrum[spectrum > 0]
    if positive.size:
        ax.set_ylim(max(float(positive.min()), float(positive.max()) * 1e-6) / 2, float(positive.max()) * 2)


def confusion_figure(found: Inspection) -> Any:
    """Share of each right class that the network takes for each class."""
    classes = len(found.class_names)
    counts = found.confusion
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = float(np.clip(0.45 * classes + 2.5, 5.0, 12.0))
    fig = figure(size + 1.0, size)
    ax = fig.add_subplot()
    shown = ax.imshow(share, cmap="Greys", vmin=0.0, vmax=1.0)
    small = 8 if classes <= NUMBERS else 6
    ax.set_xticks(range(classes), found.class_names, rotation=90 if classes > 10 else 0, fontsize=small)
    ax.set_yticks(range(classes), found.class_names, fontsize=small)
    ax.set(xlabel="said", ylabel="right")
    if classes <= NUMBERS:
        for i, j in np.ndindex(counts.shape):
            if counts[i, j]:
                text = f"{100 * share[i, j]:.3g}" if share[i, j] >= 0.0005 else "<0.05"
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if share[i, j] > 0.5 else BLACK)
    bar = fig.colorbar(shown, ax=ax, pad=0.02)
    bar.set_label("share of the right class (numbers: %)")
    bar.outline.set_visible(False)
    what = f"{found.name}, {found.neuron} on {found.dataset}"
    ax.set_title(f"{what}\n{found.accuracy:.2f} % right of {int(counts.sum()):,}", fontsize=10)
    return fig


def labels_figure(simulations: Sequence[NetworkSimulation]) -> Any:
    """For labels per step: the signal of each sample, and below it the right classes and those that the network says.

    The level crossings of an ECG are summed up to the signal that they were made from, in units of a level.
    """
    fig = figure(11.0, 0.8 + 2.6 * len(simulations))
    grid = fig.add_gridspec(2 * len(simulations), 1, height_ratios=[3.0, 1.0] * len(simulations))
    for row, simulation in enumerate(simulations):
        signal = fig.add_subplot(grid[2 * row])
        bands = fig.add_subplot(grid[2 * row + 1], sharex=signal)
        tidy([signal])
        _signal(signal, simulation)
        right = _bands(bands, simulation)
        signal.set_title(
            f"{simulation.dataset}, {simulation.split} sample {simulation.sample}: {right:.1f} % of the steps right",
            loc="left",
            fontsize=9,
        )
        signal.tick_params(labelbottom=False)
    bands.set_xlabel("time (unit of δ)")
    _legend(fig, simulations[0])
    return fig


def _signal(ax: Any, simulation: NetworkSimulation) -> None:
    values = simulation.input.astype(np.float64)
    leads = LEADS.get(simulation.dataset)
    if leads is None:
        shown = {f"channel {i}": values[:, i] for i in range(min(values.shape[1], 4))}
        ax.set_ylabel("input")
    else:
        shown = {f"lead {i + 1}": np.cumsum(values[:, u] - values[:, d]) for i, (u, d) in enumerate(leads)}
        ax.set_ylabel("signal (levels)")
    for i, (name, line) in enumerate(shown.items()):
        ax.plot(
            simulation.t, line, color=(BLACK, "0.55", BLUE, "0.75")[i], linestyle=DASHES[i], linewidth=1.1, label=name
        )
    ax.legend(fontsize=8, frameon=False, loc="upper left", ncols=4)


def _shades(classes: int) -> NDArray[np.float64]:
    from matplotlib import colormaps

    return np.asarray(colormaps["viridis"](np.linspace(0.0, 1.0, classes)))


def _said(simulation: NetworkSimulation) -> NDArray[np.int64]:
    last = simulation.network.layers[-1]
    values = simulation.states[f"{last.name}.{'z' if last.spec.spiking else 'u'}"]
    return values.argmax(1)


def _bands(ax: Any, simulation: NetworkSimulation) -> float:
    """Right and said classes as coloured bands, the steps of an error between them; returns the percentage right."""
    said, label = _said(simulation), np.broadcast_to(np.asarray(simulation.label), simulation.t.shape)
    shades = _shades(simulation.network.outputs)[:, :3]
    wrong = np.where((said != label)[:, None], 0.0, 1.0) * np.ones(3)
    picture = np.stack([shades[said], wrong, shades[label]])  # [3, steps, RGB]
    half = 0.5 * simulation.network.dt
    extent = (-half, float(simulation.t[-1]) + half, -0.5, 2.5)
    ax.imshow(picture, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    ax.set_yticks([0, 1, 2], ["said", "wrong", "right"])
    return float(100.0 * (said == label).mean())


def _legend(fig: Any, simulation: NetworkSimulation) -> None:
    from matplotlib.patches import Patch

    shades = _shades(simulation.network.outputs)
    names = simulation.class_names
    patches = [Patch(color=shade, label=name) for shade, name in zip(shades, names, strict=False)]
    fig.legend(handles=patches, loc="outside upper center", ncols=min(len(patches), 10), fontsize=8, frameon=False)
