"""Pictures of simulations: one neuron, a population, a trained network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.neurons import get_neuron
from brfkit.plotting.style import BLACK, BLUE, COLOURS, GREEN, ORANGE, RED, TIME, TINY, figure, heading, is_paper, tidy
from brfkit.simulation.population import Simulation

# Lines of more points than pixels are drawn as the span that each pixel covers.
POINTS = 4000
STRETCHES = 800
VECTOR_POINTS = 20_000
TRACES = 3
BARS = 200  # neurons up to which each has a bar of its own


def trace_figure(simulation: Simulation) -> Any:
    """Input, states and spikes over time and the u–v plane; for a population the spikes of all, sorted by ω, and the
    traces of a few."""
    return _one(simulation) if simulation.neurons == 1 else _population(simulation)


def threshold(simulation: Simulation, index: int) -> NDArray[np.float64] | None:
    """The threshold that a neuron's membrane meets at every step, (steps,): θ and what raises it."""
    constants, states = simulation.constants, simulation.states
    if "theta" not in constants:
        return None
    level = np.full(simulation.steps, constants["theta"])
    for term in get_neuron(simulation.neuron).threshold_terms:
        if term.option is None or simulation.options[term.option]:
            raised = states[term.state][:, index] * (1.0 if term.factor is None else constants[term.factor])
            level[term.before :] += raised[: len(raised) - term.before]
    return level


def line(ax: Any, t: NDArray, y: NDArray, **look: Any) -> None:
    """A line through all points; of very many, the span of each stretch, so that no peak is lost."""
    if len(t) <= POINTS:
        ax.plot(t, y, **({"marker": "o", "markersize": 3} if len(t) <= TINY else {}), **look)
        return
    size = -(-len(t) // STRETCHES)
    blocks = y[: len(t) // size * size].reshape(-1, size)
    ax.fill_between(
        t[: len(blocks) * size : size],
        blocks.min(1),
        blocks.max(1),
        color=look["color"],
        alpha=0.55,
        linewidth=0.6,
        label=look.get("label"),
    )


def limits(ax: Any, *series: NDArray) -> None:
    """Bound the axis by what is finite; where values run away over many decades, scale them logarithmically."""
    values = np.concatenate([s[np.isfinite(s)].astype(np.float64).ravel() for s in series if s is not None])
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if max(abs(low), abs(high)) > 1e4:
        ax.set_yscale("symlog", linthresh=1.0)
        top = max(abs(low), abs(high))
        ax.set_ylim(-top * 10 if low < 0 else -0.5, top * 10)
        decades = int(np.log10(top))
        ticks = [10.0**k for k in range(0, decades + 1, max(decades // 2, 1)) if k]
        ax.set_yticks([*(-k for k in reversed(ticks) if low < 0), 0.0, *ticks])
        ax.minorticks_off()
        return
    room = 0.08 * (high - low) or 1.0
    ax.set_ylim(low - room, high + room)


def _title(simulation: Simulation) -> str:
    values = []
    for parameter in get_neuron(simulation.neuron).parameters:
        of = simulation.parameters[parameter.name]
        low, high = float(of.min()), float(of.max())
        values.append(f"{parameter.symbol} = {low:g}" + (f" … {high:g}" if high > low else ""))
    title = f"{get_neuron(simulation.neuron).title} ({', '.join(values)}, δ = {simulation.dt:g}); {simulation.stimulus}"
    if simulation.diverged_at is not None:
        title += f"\ndiverges, from t = {simulation.t[simulation.diverged_at]:.3g} on"
    return title


def _span(simulation: Simulation) -> tuple[float, float]:
    return 0.0, float(simulation.t[-1]) or simulation.dt


def _input(ax: Any, simulation: Simulation) -> None:
    current = simulation.input[:, 0]
    line(ax, simulation.t, current, color=BLACK, linewidth=1.2)
    limits(ax, current, np.zeros(1))
    ax.set_ylabel("input I")


def _one(simulation: Simulation) -> Any:
    states = simulation.states
    plane = "u" in states and "v" in states
    rows = ["input", *(s for s in states), *(["z"] if simulation.z is not None else [])]
    heights = [0.8, *(1.5 if s in ("u", "v") else 1.0 for s in states), *([0.3] if simulation.z is not None else [])]
    below = plane and is_paper()
    wide = 2 if plane and not below else 1
    if below:
        heights = [*heights, 3.6]
    fig = figure(11.0 if plane else 8.5, 1.6 + 1.05 * sum(heights), 0.5 + 0.62 * sum(heights))
    grid = fig.add_gridspec(len(heights), wide, height_ratios=heights, width_ratios=[1.7, 1] if wide == 2 else [1])
    axes: dict[str, Any] = {}
    for i, row in enumerate(rows):
        axes[row] = fig.add_subplot(grid[i, 0], sharex=axes.get("input"))
        axes[row].tick_params(labelbottom=i == len(rows) - 1)
    tidy(list(axes.values()))
    _input(axes["input"], simulation)
    for symbol, colour in zip(states, (BLUE, RED, GREEN, ORANGE), strict=False):
        _state(axes[symbol], simulation, symbol, colour)
    if simulation.z is not None:
        _spikes(axes["z"], simulation.t, simulation.z[:, 0])
    axes[rows[-1]].set_xlabel(TIME)
    axes[rows[-1]].set_xlim(*_span(simulation))
    for ax in axes.values():
        ax.yaxis.label.set(rotation=0, ha="right", va="center")
    if plane:
        _plane(fig, fig.add_subplot(grid[-1, 0] if below else grid[:, 1]), simulation, bar=not below)
    heading(fig, _title(simulation))
    return fig


def _spikes(ax: Any, t: NDArray, z: NDArray) -> None:
    """A stroke per spike; of very many steps, the spikes of each stretch."""
    if len(t) <= POINTS:
        ax.vlines(t[z > 0], 0, 1, color=BLACK, linewidth=0.9)
        ax.set(ylim=(0, 1.05), yticks=[], ylabel="z")
        ax.grid(False)
        return
    size = -(-len(t) // STRETCHES)
    counts = np.add.reduceat(z, np.arange(0, len(z), size), dtype=np.int64)
    ax.fill_between(t[::size], counts, step="mid", color="0.3", linewidth=0)
    ax.set(ylim=(0, 1.1 * max(float(counts.max()), 1.0)), ylabel=f"spikes in\n{size} steps")


def _state(ax: Any, simulation: Simulation, symbol: str, colour: str) -> None:
    t, values = simulation.t, simulation.states[symbol][:, 0]
    line(ax, t, values, color=colour, linewidth=1.3, label=symbol)
    shown = [values]
    if simulation.z is not None and symbol == get_neuron(simulation.neuron).membrane:
        level = threshold(simulation, 0)
        if level is not None:
            line(ax, t, level, color=BLACK, linestyle="--", linewidth=1.0, label="threshold")
            shown.append(level)
            ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=8, frameon=False, borderpad=0.1)
    limits(ax, *shown)
    ax.set_ylabel(symbol)


def _plane(fig: Any, ax: Any, simulation: Simulation, index: int = 0, bar: bool = True) -> None:
    """The u–v plane of a neuron, darker as time goes on, spikes as rings."""
    from matplotlib.collections import LineCollection

    u, v = (simulation.states[s][:, index].astype(np.float64) for s in ("u", "v"))
    # One that runs away is shown until it leaves the neighbourhood of where it began.
    end = simulation.steps if simulation.diverged_at is None else max(simulation.diverged_at, 2)
    kept = slice(0, end, -(-end // VECTOR_POINTS))
    points = np.concatenate([np.zeros((1, 2)), np.stack([u[kept], v[kept]], 1)])
    segments = np.stack([points[:-1], points[1:]], 1)
    path = LineCollection(
        list(segments), array=simulation.t[kept], cmap="viridis_r", linewidths=1.1, rasterized=len(segments) > POINTS
    )
    ax.add_collection(path)
    none = np.zeros(0, np.intp)
    spikes = none if simulation.z is None else np.flatnonzero(simulation.z[:end, index])
    if len(spikes):
        few = spikes[:: -(-len(spikes) // 500)]
        ax.plot(u[few], v[few], "o", mfc="none", mec=BLACK, markersize=4.5, mew=0.9, label="spike", linestyle="none")
    reach = 1.08 * max(np.abs(points).max(), 1e-12)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="u", ylabel="v", aspect="equal")
    theta = simulation.constants.get("theta")
    if theta is not None and simulation.z is not None and abs(theta) < reach:
        along = ax.axhline if get_neuron(simulation.neuron).membrane == "v" else ax.axvline
        along(theta, color=BLACK, linestyle="--", linewidth=1.0, label="θ at rest")
    tidy(ax)
    ax.locator_params(nbins=5)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, frameon=False, borderpad=0.1)
    if bar:
        scale = fig.colorbar(path, cax=ax.inset_axes((0.0, -0.22, 1.0, 0.03)), orientation="horizontal")
        scale.set_label(TIME)
        scale.outline.set_visible(False)


def _population(simulation: Simulation) -> Any:
    """Input, spikes of all neurons, spike counts, and u of a few neurons with the u–v plane of one."""
    varied = [n for n, of in simulation.parameters.items() if of.max() > of.min()]
    by = varied[0] if varied else None
    order = np.argsort(simulation.parameters[by], kind="stable") if by else np.arange(simulation.neurons)
    chosen = chosen_neurons(simulation, order)
    heights = [0.8, 3.6, *([3.0 / len(chosen)] * len(chosen))]
    fig = figure(11.0, 8.0, 0.5 + 0.62 * sum(heights))
    grid = fig.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=[2.6, 1])
    top = fig.add_subplot(grid[0, 0])
    raster = fig.add_subplot(grid[1, 0], sharex=top)
    counts = fig.add_subplot(grid[1, 1], sharey=raster)
    below = [fig.add_subplot(grid[2 + i, 0], sharex=top) for i in range(len(chosen))]
    tidy([top, raster, counts, *below])
    _input(top, simulation)
    if simulation.input.strides[1] != 0:
        top.set_ylabel("input I\nof neuron 0")
    _raster(raster, counts, simulation, order, by)
    for ax, index, colour in zip(below, reversed(chosen), COLOURS, strict=False):
        values = simulation.states["u"][:, index]
        line(ax, simulation.t, values, color=colour, linewidth=1.1)
        limits(ax, values)
        ax.set_ylabel("u")
        ax.set_title(_name(simulation, by, index), loc="left", fontsize=9, pad=2)
    for ax in (top, raster, *below[:-1]):
        ax.tick_params(labelbottom=False)
    below[-1].set(xlabel=TIME, xlim=_span(simulation))
    if "u" in simulation.states and "v" in simulation.states and not is_paper():
        plane = fig.add_subplot(grid[2:, 1])
        _plane(fig, plane, simulation, chosen[len(chosen) // 2], bar=False)
        plane.set_xlabel(f"u, {_name(simulation, by, chosen[len(chosen) // 2])} (darker: later)", fontsize=9)
    heading(fig, f"{simulation.neurons:,} × {_title(simulation)}")
    return fig


def _name(simulation: Simulation, by: str | None, index: int) -> str:
    if by is None:
        return f"neuron {index}"
    return f"{get_neuron(simulation.neuron).parameter(by).symbol} = {simulation.parameters[by][index]:.3g}"


def chosen_neurons(simulation: Simulation, order: NDArray[np.intp]) -> list[int]:
    """A few neurons to show: the one that spikes most, and others a quarter of the population below and above it."""
    place = int(np.argmax(simulation.spike_counts[order]))
    if simulation.spikes == 0:
        place = simulation.neurons // 2
    apart = max(simulation.neurons // 4, 1)
    wanted = [place - apart, place, place + apart]
    if wanted[0] < 0:
        wanted = [place, place + apart, place + 2 * apart]
    elif wanted[-1] >= simulation.neurons:
        wanted = [place - 2 * apart, place - apart, place]
    return [int(order[w]) for w in wanted[:TRACES] if 0 <= w < simulation.neurons]


def _raster(ax: Any, counts: Any, simulation: Simulation, order: NDArray[np.intp], by: str | None) -> None:
    """Spikes over time and spikes per neuron, both with the neurons upwards."""
    rows, label = np.arange(simulation.neurons, dtype=np.float64), "neuron"
    if by is not None:
        parameter = get_neuron(simulation.neuron).parameter(by)
        rows = simulation.parameters[by][order].astype(np.float64)
        label = f"{parameter.symbol} ({parameter.unit})"
    if simulation.z is not None:
        step, column = np.nonzero(simulation.z[:, order])
        size = float(np.clip(250.0 / simulation.neurons, 0.8, 7.0))
        look = {"color": BLACK, "linestyle": "none", "rasterized": len(step) > VECTOR_POINTS}
        ax.plot(simulation.t[step], rows[column], marker="|" if size > 1.5 else ".", markersize=size, **look)
    room = 0.02 * (rows[-1] - rows[0]) or 0.5
    ax.set(ylabel=label, ylim=(rows[0] - room, rows[-1] + room))
    spikes = simulation.spike_counts[order]
    if len(rows) <= BARS:
        edges = np.concatenate([[rows[0] - room], 0.5 * (rows[1:] + rows[:-1]), [rows[-1] + room]])
        counts.barh(edges[:-1], spikes, np.diff(edges), align="edge", color="0.6", edgecolor="white", linewidth=0.3)
    else:
        counts.fill_betweenx(rows, 0, spikes, step="mid", color="0.6", linewidth=0)
    counts.set(xlabel="spikes" if is_paper() else "spikes per neuron", xlim=(0, max(1.05 * float(spikes.max()), 1.0)))
    counts.tick_params(labelleft=False)
