"""A picture of a trained network on one sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.simulate import NetworkSimulation
from brfkit.neurons import get_neuron
from brfkit.plotting.inspect_data import time_of
from brfkit.plotting.style import BLACK, BLUE, DASHES, TIME, class_colours, figure, heading, is_paper, note, tidy
from brfkit.plotting.traces import POINTS, VECTOR_POINTS, limits, line

MANY_CLASSES = 12
UNKNOWN = (0.75, 0.75, 0.75, 1.0)  # outputs that are not finite, steps without a label


def network_figure(simulation: NetworkSimulation) -> Any:
    """Input, the spikes of every layer, the most active neuron over time and in the u–v plane, the outputs, and the
    predicted class beside the true one."""
    layers = [layer.name for layer in simulation.network.spiking_layers]
    heights = [0.9, *(2.2 for _ in layers), 1.1, 1.9, 0.45]
    fig = figure(11.0, 1.4 + 1.05 * sum(heights), 0.8 + 0.75 * sum(heights))
    wide = 1 if is_paper() else 2
    grid = fig.add_gridspec(len(heights), wide, height_ratios=heights, width_ratios=[3.4, 1][:wide])
    rows = [fig.add_subplot(grid[0, 0])]
    rows += [fig.add_subplot(grid[i, 0], sharex=rows[0]) for i in range(1, len(heights))]
    tidy(rows)
    _input(rows[0], simulation)
    for i, name in enumerate(layers):
        _layer(rows[1 + i], simulation, name)
        if wide == 2:
            _counts(fig.add_subplot(grid[1 + i, 1], sharey=rows[1 + i]), simulation, name)
    active, outputs, classes = rows[-3:]
    if layers:
        index = _chosen(simulation, layers[0])
        _active(active, simulation, layers[0], index)
        if f"{layers[0]}.v" in simulation.states and wide == 2:
            _plane(fig.add_subplot(grid[1 + len(layers) :, 1]), simulation, layers[0], index)
    _outputs(outputs, simulation)
    _classes(classes, simulation)
    for ax in rows[:-1]:
        ax.tick_params(labelbottom=False)
    t = time_of(simulation)
    label = TIME if simulation.step_seconds is None else "time (s)"
    classes.set(xlabel=label, xlim=(0.0, float(t[-1]) or simulation.network.dt))
    heading(fig, _title(simulation))
    return fig


def _title(simulation: NetworkSimulation) -> str:
    title = f"{simulation.dataset}, {simulation.split} sample {simulation.sample}"
    if not isinstance(simulation.label, np.ndarray):
        title += f", class {_class_name(simulation, simulation.label)}"
    title += f": {simulation.neurons} {simulation.neuron} neurons, {simulation.spikes:,} spikes"
    if simulation.diverged_at is not None:
        title += f"; diverges, from t = {simulation.t[simulation.diverged_at]:.3g} on"
    return title


def _class_name(simulation: NetworkSimulation, index: int) -> str:
    names = simulation.class_names
    return names[index] if index < len(names) else str(index)


def _rows(ax: Any, simulation: NetworkSimulation, values: NDArray, **look: Any) -> None:
    """Values (steps, rows) as shades, row 0 at the bottom."""
    t = time_of(simulation)
    half = 0.5 * (float(t[1] - t[0]) if len(t) > 1 else simulation.network.dt)
    extent = (-half, float(t[-1]) + half, -0.5, values.shape[1] - 0.5)
    ax.imshow(values.T, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **look)
    ax.grid(False)


def _input(ax: Any, simulation: NetworkSimulation) -> None:
    values = simulation.input
    if values.shape[1] == 1:
        line(ax, time_of(simulation), values[:, 0], color=BLACK, linewidth=1.0)
        limits(ax, values)
        ax.set_ylabel("input")
        return
    if len(values) > POINTS or values.shape[1] > 40:
        _rows(ax, simulation, values, cmap="Greys", vmin=min(float(values.min()), 0.0), vmax=float(values.max()) or 1.0)
    else:
        reach, t = float(np.abs(values).max()) or 1.0, time_of(simulation)
        for channel in range(values.shape[1]):
            ax.plot(t, channel + 0.8 * values[:, channel] / reach, color=BLACK, linewidth=0.7)
        if values.shape[1] <= 6:
            ax.set_yticks(range(values.shape[1]))
        ax.grid(False, axis="y")
    ax.set_ylabel("input\nchannel")


def _layer(ax: Any, simulation: NetworkSimulation, name: str) -> None:
    """Spikes of a layer over time."""
    z = simulation.states[f"{name}.z"]
    step, unit = np.nonzero(z)
    size = float(np.clip(150.0 / z.shape[1], 0.8, 6.0))
    look = {"color": BLACK, "linestyle": "none", "rasterized": len(step) > VECTOR_POINTS}
    ax.plot(
        time_of(simulation)[step], unit, marker="|" if size > 1.5 else ".", markersize=size, markeredgewidth=0.7, **look
    )
    ax.set(ylabel=f"{name}\nneuron", ylim=(-1, z.shape[1]))
    ax.yaxis.get_major_locator().set_params(integer=True)
    if not len(step):
        note(ax, "no neuron spikes")


def _counts(counts: Any, simulation: NetworkSimulation, name: str) -> None:
    """Spikes of each neuron of a layer."""
    z = simulation.states[f"{name}.z"]
    tidy([counts])
    counts.barh(np.arange(z.shape[1]), z.sum(0), height=1.0, color="0.6", edgecolor="none")
    counts.set_xlabel("spikes per neuron")
    counts.tick_params(labelleft=False)


def _chosen(simulation: NetworkSimulation, layer: str) -> int:
    """The neuron that spikes most; of resonators one whose v swings like u, which one at ω near 0 does not show."""
    weight = simulation.states[f"{layer}.z"].sum(0, dtype=np.float64)
    if f"{layer}.v" in simulation.states and not simulation.diverged:
        u, v = (simulation.states[f"{layer}.{s}"].std(0, dtype=np.float64) + 1e-12 for s in ("u", "v"))
        weight *= np.minimum(u, v) / np.maximum(u, v)
    return int(weight.argmax())


def _active(ax: Any, simulation: NetworkSimulation, layer: str, index: int) -> None:
    symbol = get_neuron(simulation.neuron).membrane
    values = simulation.states[f"{layer}.{symbol}"][:, index]
    line(ax, time_of(simulation), values, color=BLUE, linewidth=1.1)
    fired = simulation.states[f"{layer}.z"][:, index] > 0
    ax.plot(
        time_of(simulation)[fired], values[fired], "o", mfc="none", mec=BLACK, markersize=3, mew=0.6, linestyle="none"
    )
    limits(ax, values)
    ax.set_ylabel(symbol)
    ax.set_title(f"neuron {index} of {layer}; rings: spikes", loc="left", fontsize=9, pad=2)


def _plane(ax: Any, simulation: NetworkSimulation, layer: str, index: int) -> None:
    u, v = (simulation.states[f"{layer}.{s}"][:, index].astype(np.float64) for s in ("u", "v"))
    finite = np.isfinite(u) & np.isfinite(v)
    ax.plot(u[finite], v[finite], color=BLUE, linewidth=0.6, rasterized=len(u) > POINTS)
    reach = 1.08 * max(float(np.abs(u[finite]).max(initial=0)), float(np.abs(v[finite]).max(initial=0)), 1e-12)
    (described,) = (one for one in simulation.network.layers if one.name == layer)
    theta = described.constants.get("theta", described.spec.constants.get("theta"))
    if theta is not None and theta < reach:
        along = ax.axhline if described.spec.membrane == "v" else ax.axvline
        along(theta, color=BLACK, linestyle="--", linewidth=1.0, label="θ at rest")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, frameon=False, borderpad=0.1)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", ylabel="v")
    ax.set_xlabel(f"u, neuron {index}")
    tidy([ax])
    ax.locator_params(nbins=5)


def _outputs(ax: Any, simulation: NetworkSimulation) -> None:
    last = simulation.network.layers[-1]
    values = simulation.states[f"{last.name}.{'z' if last.spec.spiking else 'u'}"]
    classes = values.shape[1]
    for index, colour in enumerate(class_colours(classes)):
        look = {"color": colour, "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.3}
        line(ax, time_of(simulation), values[:, index], label=_class_name(simulation, index), **look)
    limits(ax, values)
    ax.set_ylabel("output")
    if classes <= MANY_CLASSES:
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=min(classes, 4 if is_paper() else 12), fontsize=8,
            frameon=False, borderpad=0.1, handlelength=1.8, columnspacing=1.2,
        )  # fmt: skip


def _classes(ax: Any, simulation: NetworkSimulation) -> None:
    """The class of the largest output at every step, and the true one."""
    last = simulation.network.layers[-1]
    values = simulation.states[f"{last.name}.{'z' if last.spec.spiking else 'u'}"]
    classes = values.shape[1]
    predicted = np.where(np.isfinite(values).all(1), values.argmax(1), -1)
    label = np.broadcast_to(np.asarray(simulation.label), predicted.shape)
    shown = np.array([*class_colours(classes), UNKNOWN])[np.stack([predicted, label], 1)]  # [steps, 2, 4]
    t = time_of(simulation)
    half = 0.5 * (float(t[1] - t[0]) if len(t) > 1 else simulation.network.dt)
    extent = (-half, float(t[-1]) + half, -0.5, 1.5)
    picture = shown.transpose(1, 0, 2)
    ax.imshow(picture, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    ax.set_yticks([0, 1], ["predicted", "true"])
    ax.axhline(0.5, color="white", linewidth=1.5)
    ax.grid(False)
