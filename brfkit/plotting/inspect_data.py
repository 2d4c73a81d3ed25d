"""Pictures of a trained network beside its data: spectrum and learned ω, confusions, labels over the signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.inspect.inspection import Inspection
from brfkit.analysis.network.simulate import NetworkSimulation
from brfkit.plotting.style import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    TIME,
    TINY,
    class_colours,
    figure,
    heading,
    is_paper,
    legend_below,
    panels,
    tidy,
)

OMEGA = "ω (rad / time)"
NUMBERS = 20  # classes up to which a cell of the confusions shows its number
LEADS = {"ecg": ((0, 1), (2, 3))}  # channels of level crossings upwards and downwards


def spectrum_figure(found: Inspection) -> Any:
    """Mean power of the data over frequency, above the ω that the neurons have learned (ICML paper, appendix)."""
    oscillating = [layer for layer in found.layers if "omega" in layer.parameters]
    fig, axes = panels(1 + len(oscillating), 1, (8.0, 2.6), sharex=True)
    marker = "o" if len(found.spectrum_omega) <= TINY else ""
    mean = found.spectrum.mean(1)
    if 1 < found.spectrum.shape[1] <= 8:
        for channel in range(found.spectrum.shape[1]):
            look = {"color": COLOURS[channel % 7], "linestyle": DASHES[channel % 7], "marker": marker, "markersize": 3}
            axes[0].plot(found.spectrum_omega, found.spectrum[:, channel], linewidth=0.9, label=str(channel), **look)
        if is_paper():
            handles, names = axes[0].get_legend_handles_labels()
            legend_below(fig, (handles, [f"channel {name}" for name in names]), columns=4)
        else:
            axes[0].legend(title="channel", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    else:
        axes[0].plot(found.spectrum_omega, mean, color=BLUE, linewidth=1.0, marker=marker, markersize=3)
    channels = found.spectrum.shape[1]
    of = f"\n(mean of {channels} channels)" if channels > 8 else ""
    axes[0].set(yscale="log", ylabel=f"mean power of the input{of}")
    _power_limits(axes[0], found.spectrum if channels <= 8 else mean)
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
    axes[-1].set(xlabel=OMEGA, xlim=(0, highest))
    seconds = found.step_seconds
    if seconds is not None:
        hertz = found.network.dt / (2 * np.pi * seconds)
        top = axes[0].secondary_xaxis("top", functions=(lambda w: w * hertz, lambda f: f / hertz))
        top.set_xlabel("frequency (Hz)", fontsize=9)
    what = "Spectrum of the data and learned ω" if oscillating else "Spectrum of the data (no neuron has an ω)"
    heading(fig, f"{what}: {found.name}, {found.neuron} on {found.dataset}")
    return fig


def _power_limits(ax: Any, spectrum: NDArray[np.float64]) -> None:
    positive = spectrum[spectrum > 0]
    if positive.size:
        ax.set_ylim(max(float(positive.min()), float(positive.max()) * 1e-6) / 2, float(positive.max()) * 2)


def confusion_figure(found: Inspection) -> Any:
    """Share of the samples of each true class for which the network predicts each class."""
    classes = len(found.class_names)
    counts = found.confusion
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = float(np.clip(0.45 * classes + 2.5, 5.0, 12.0))
    fig = figure(size + 1.0, size)
    ax = fig.add_subplot()
    shown = ax.imshow(share, cmap="Greys", vmin=0.0, vmax=1.0)
    small = 8 if classes <= NUMBERS else 6
    ax.set_xticks(
        range(classes),
        found.class_names,
        rotation=90 if classes > 10 or max(map(len, found.class_names)) > 6 or is_paper() else 0,
        fontsize=small,
    )
    ax.set_yticks(range(classes), found.class_names, fontsize=small)
    ax.set(xlabel="predicted class", ylabel="true class")
    if classes <= NUMBERS:
        for i, j in np.ndindex(counts.shape):
            if counts[i, j]:
                text = f"{100 * share[i, j]:.1f}"
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if share[i, j] > 0.5 else BLACK)
    bar = fig.colorbar(shown, ax=ax, pad=0.02)
    bar.set_label("share of the true class (numbers: %)")
    bar.outline.set_visible(False)
    what = f"{found.name}, {found.neuron} on {found.dataset}"
    if not is_paper():
        ax.set_title(f"{what}\naccuracy {found.accuracy:.2f} % of {int(counts.sum()):,}", fontsize=10)
    return fig


def labels_figure(simulations: Sequence[NetworkSimulation]) -> Any:
    """For labels per step: the signal of each sample, and below it the true and the predicted classes.

    The level crossings of an ECG are summed up to the signal that they were made from, in units of a level.
    """
    fig = figure(11.0, 0.8 + 2.6 * len(simulations), 0.6 + 1.8 * len(simulations))
    grid = fig.add_gridspec(2 * len(simulations), 1, height_ratios=[3.0, 1.0] * len(simulations))
    for row, simulation in enumerate(simulations):
        signal = fig.add_subplot(grid[2 * row])
        bands = fig.add_subplot(grid[2 * row + 1], sharex=signal)
        tidy([signal])
        _signal(signal, simulation)
        right = _bands(bands, simulation)
        signal.set_title(
            f"{simulation.dataset}, {simulation.split} sample {simulation.sample}: accuracy {right:.1f} % of the steps",
            loc="left",
            fontsize=9,
        )
        signal.tick_params(labelbottom=False)
    bands.set_xlabel("time (s)" if simulations[0].step_seconds is not None else TIME)
    _legend(fig, simulations[0])
    return fig


def _signal(ax: Any, simulation: NetworkSimulation) -> None:
    values = simulation.input.astype(np.float64)
    leads = LEADS.get(simulation.dataset)
    if leads is None:
        shown = {f"channel {i}": values[:, i] for i in range(min(values.shape[1], 4))}
        more = f"\n(4 of {values.shape[1]} channels)" if values.shape[1] > 4 else ""
        ax.set_ylabel(f"input{more}")
    else:
        shown = {f"lead {i + 1}": np.cumsum(values[:, u] - values[:, d]) for i, (u, d) in enumerate(leads)}
        ax.set_ylabel("signal (levels)")
    for i, (name, line) in enumerate(shown.items()):
        ax.plot(
            time_of(simulation), line, color=(BLACK, "0.55", BLUE, "0.75")[i], linestyle=DASHES[i], linewidth=1.1,
            label=name, marker="o" if len(line) <= TINY else "", markersize=3,
        )  # fmt: skip
    ax.legend(fontsize=8, frameon=False, loc="upper left", ncols=4)


def _predicted(simulation: NetworkSimulation) -> NDArray[np.int64]:
    last = simulation.network.layers[-1]
    values = simulation.states[f"{last.name}.{'z' if last.spec.spiking else 'u'}"]
    return values.argmax(1)


def _bands(ax: Any, simulation: NetworkSimulation) -> float:
    """True and predicted classes as coloured bands, the steps of an error between them; returns the accuracy (%).

    Steps without a label (-1) are grey and do not count.
    """
    predicted, label = _predicted(simulation), np.broadcast_to(np.asarray(simulation.label), simulation.t.shape)
    shades = np.array([*class_colours(simulation.network.outputs), (0.75, 0.75, 0.75, 1.0)])[:, :3]
    wrong = np.where(((predicted != label) & (label >= 0))[:, None], 0.0, 1.0) * np.ones(3)
    picture = np.stack([shades[predicted], wrong, shades[label]])  # [3, steps, RGB]
    t = time_of(simulation)
    half = 0.5 * (float(t[1] - t[0]) if len(t) > 1 else simulation.network.dt)
    extent = (-half, float(t[-1]) + half, -0.5, 2.5)
    ax.imshow(picture, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    ax.set_yticks([0, 1, 2], ["predicted", "error", "true"])
    counted = label >= 0
    return float(100.0 * (predicted == label)[counted].mean()) if counted.any() else float("nan")


def time_of(simulation: NetworkSimulation) -> NDArray[np.float64]:
    """Times of the steps: in seconds where the data tell how long a step is, else step · δ."""
    if simulation.step_seconds is None:
        return simulation.t
    return np.arange(simulation.steps, dtype=np.float64) * simulation.step_seconds


def _legend(fig: Any, simulation: NetworkSimulation) -> None:
    from matplotlib.patches import Patch

    shades = class_colours(simulation.network.outputs)
    names = simulation.class_names
    patches = [Patch(color=shade, label=name) for shade, name in zip(shades, names, strict=False)]
    fig.legend(
        handles=patches,
        loc="outside upper center",
        ncols=min(len(patches), 4 if is_paper() else 10),
        fontsize=8,
        frameon=False,
    )
