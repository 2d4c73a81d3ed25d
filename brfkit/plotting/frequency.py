"""Pictures of frequency responses: curves of a few neurons, a map over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.result import FrequencyResponse
from brfkit.neurons import get_neuron
from brfkit.plotting.style import BLACK, COLOURS, DASHES, figure, tidy

FREQUENCY = "input frequency (rad / time)"
CURVES = len(COLOURS)
DOTS = 24  # markers along a curve, so that the line behind them stays visible
FLOOR = 1e-17  # of errors on a logarithmic axis
Labelled = tuple[str, FrequencyResponse, int]


def frequency_figure(responses: Sequence[tuple[str, FrequencyResponse]]) -> Any:
    """Curves for up to seven neurons or variants, a map over input frequency and neuron for more.

    Args:
        responses: variants with their names; the name is empty where there is only one.
    """
    if len(responses) == 1 and responses[0][1].neurons > CURVES:
        return _map(responses[0][1])
    curves = [
        (_label(name, response, index), response, index)
        for name, response in responses
        for index in range(response.neurons)
    ]
    return _curves(curves[:CURVES])


def _label(name: str, response: FrequencyResponse, index: int) -> str:
    if response.neurons == 1:
        return name
    varied = varied_parameter(response)
    if varied is None:
        return f"{name} neuron {index}".strip()
    symbol = get_neuron(response.population.neuron).parameter(varied).symbol
    return f"{name} {symbol} = {response.population.parameters[varied][index]:.3g}".strip()


def varied_parameter(response: FrequencyResponse) -> str | None:
    """The first parameter that differs between neurons."""
    return next((n for n, v in response.population.parameters.items() if v.max() > v.min()), None)


def _title(response: FrequencyResponse) -> str:
    population = response.population
    spec = get_neuron(population.neuron)
    values = []
    for parameter in spec.parameters:
        of = population.parameters[parameter.name]
        values.append(f"{parameter.symbol} = {of.min():g}" + (f" … {of.max():g}" if of.max() > of.min() else ""))
    return f"{spec.title} ({', '.join(values)}, δ = {population.dt:g})"


def _curves(curves: Sequence[Labelled]) -> Any:
    fig = figure(11.0, 8.2)
    axes = fig.subplots(3, 2)
    tidy(list(axes.ravel()))
    (gain, impulse), (phase, mean), (error, spikes) = axes
    for number, (label, response, index) in enumerate(curves):
        look = {"color": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1.5}
        _response(gain, phase, error, response, index, look, label)
        _impulse(impulse, response, index, look)
        _trains(mean, spikes, response, index, look)
    first = curves[0][1]
    if len(curves) == 1:
        _resonance(gain, *curves[0][1:])
    symbol = first.observed
    gain.set(ylabel=f"gain of {symbol} (dB)")
    phase.set(ylabel=f"phase of {symbol} (degrees)", yticks=range(-180, 181, 90), ylim=(-190, 190))
    error.set(ylabel="error of measured\nresponse", xlabel=FREQUENCY)
    impulse.set(ylabel=f"{symbol} after a pulse\nof 1 in one step", xlabel="time (unit of δ)")
    mean.set(ylabel=f"mean |{symbol}| under\nspike trains")
    spikes.set(ylabel="spikes per unit time", xlabel=FREQUENCY)
    for ax in (gain, phase, error, mean, spikes):
        ax.set(xscale="log", xlim=(first.frequencies[0], first.frequencies[-1]))
    _fill_empty(first, error, mean, spikes)
    if first.measured:
        error.set_yscale("log")
    _legends(gain, error, mean, len(curves))
    titles = {_title(response) for _, response, _ in curves}
    fig.suptitle(titles.pop() if len(titles) == 1 else get_neuron(first.population.neuron).title, fontsize=11)
    return fig


def _response(
    gain: Any, phase: Any, error: Any, response: FrequencyResponse, index: int, look: dict[str, Any], label: str
) -> None:
    w, analytic = response.frequencies, response.analytic[index]
    with np.errstate(all="ignore"):
        gain.plot(w, _decibel(analytic), label=label or "transfer function", **look)
        phase.plot(w, _unjoined(np.degrees(np.angle(analytic))), **look)
        for kind, marker in (("sine", "o"), ("chirp", "x")):
            if kind not in response.measured:
                continue
            measured = response.measured[kind][index]
            some = _spread(w, DOTS, 0 if kind == "sine" else 1)
            dots = {"color": look["color"], "marker": marker, "linestyle": "none", "markersize": 4.5, "mfc": "none"}
            name = {"sine": "measured with sines", "chirp": "measured with a chirp"}[kind]
            gain.plot(w[some], _decibel(measured[some]), label=name if not label else None, **dots)
            phase.plot(w[some], np.degrees(np.angle(measured[some])), **dots)
            off = np.maximum(np.abs(measured / analytic - 1.0), FLOOR)
            dash = "-" if kind == "sine" else ":"
            error.plot(w, off, color=look["color"], linestyle=dash, linewidth=1.2, label=kind)


def _decibel(response: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(20.0 * np.log10(np.abs(response)), np.float64)


def _unjoined(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phases with a gap where they jump from 180 to -180 degrees."""
    out = degrees.copy()
    out[1:][np.abs(np.diff(degrees)) > 180] = np.nan
    return out


def _spread(w: NDArray[np.float64], count: int, shift: int) -> NDArray[np.intp]:
    """About ``count`` points, evenly spaced on a logarithmic axis; another ``shift`` gives the points between."""
    places = (np.arange(count) + 0.5 * shift) / count
    return np.unique(np.searchsorted(np.log(w), np.log(w[0]) + places * np.log(w[-1] / w[0]))).clip(max=len(w) - 1)


def _resonance(ax: Any, response: FrequencyResponse, index: int) -> None:
    """The -3 dB band and the peak, in words in the legend."""
    r = response.resonance
    peak, width, q = (float(v[index]) for v in (r.peak_frequency, r.bandwidth, r.q))
    low, high = float(r.lower[index]), float(r.upper[index])
    if not np.isfinite(width):
        return
    words = f"-3 dB band, width {width:.3g}" + (f", Q = {q:.3g}" if np.isfinite(q) else "")
    ax.axvspan(max(low, response.frequencies[0]), high, color="0.88", zorder=0, label=words)
    if peak > 0:
        ax.axvline(
            peak, color="0.45", linewidth=1.0, label=f"peak at {peak:.4g}, {_decibel(r.peak_gain)[index]:.3g} dB"
        )


def _impulse(ax: Any, response: FrequencyResponse, index: int, look: dict[str, Any]) -> None:
    if not response.stable[index]:
        return
    dt = response.population.dt
    # Until a hundredth is left of it.
    steps = int(np.clip(np.log(0.01) / np.log(max(response.radius[index], 1e-3)), 20, 5000))
    ax.plot(np.arange(steps) * dt, response.impulse(steps, index), **look)


def _trains(mean: Any, spikes: Any, response: FrequencyResponse, index: int, look: dict[str, Any]) -> None:
    if response.spike_trains is None or response.faint_trains is None:
        return
    w = response.frequencies
    mean.plot(w, response.spike_trains.mean_abs[index], label="spiking", **look)
    mean.plot(w, response.faint_trains.mean_abs[index], color=look["color"], linewidth=0.8, alpha=0.7, label="linear")
    spikes.plot(w, response.spike_trains.spikes[index] / response.duration, **look)


def _fill_empty(response: FrequencyResponse, error: Any, mean: Any, spikes: Any) -> None:
    """Say why a panel is empty."""
    if not response.measured:
        error.text(0.5, 0.5, "not measured", transform=error.transAxes, ha="center", color="0.4")
    if response.spike_trains is None:
        for ax in (mean, spikes):
            ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color="0.4")


def _legends(gain: Any, error: Any, mean: Any, curves: int) -> None:
    gain.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if curves < 5 else 3)
    small = {"fontsize": 8, "frameon": False, "ncols": 2, "loc": "lower right", "bbox_to_anchor": (1, 1)}
    for ax in (error, mean):
        handles, names = ax.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        if unique:
            from matplotlib.lines import Line2D

            plain = [
                Line2D([], [], color=BLACK, linestyle=":" if name == "chirp" else "-", linewidth=h.get_linewidth())
                for name, h in unique.items()
            ]
            ax.legend(plain, list(unique), borderpad=0.1, **small)


def _map(response: FrequencyResponse) -> Any:
    """Input frequency across, neurons upwards."""
    fig = figure(11.0, 7.6)
    axes = fig.subplots(2, 2, sharex=True, sharey=True)
    by = varied_parameter(response)
    rows, label = np.arange(response.neurons, dtype=np.float64), "neuron"
    order = np.arange(response.neurons)
    if by is not None:
        parameter = get_neuron(response.population.neuron).parameter(by)
        order = np.argsort(response.population.parameters[by], kind="stable")
        rows, label = response.population.parameters[by][order], f"{parameter.symbol} ({parameter.unit})"
    symbol = response.observed
    with np.errstate(all="ignore"):
        panels = [(f"gain of {symbol}, transfer function", _decibel(response.analytic), "gain (dB)", "viridis")]
        for kind, measured in response.measured.items():
            off = np.log10(np.maximum(np.abs(measured / response.analytic - 1.0), FLOOR))
            panels.append((f"error measured with {kind}s", off, "log₁₀ of relative error", "cividis"))
    if response.spike_trains is not None and response.faint_trains is not None:
        name = f"mean |{symbol}| under spike trains, linear"
        panels.append((name, response.faint_trains.mean_abs, f"mean |{symbol}|", "viridis"))
        rate = response.spike_trains.spikes / response.duration
        panels.append(("spikes under spike trains", rate, "spikes per unit time", "magma"))
    for ax, (title, values, unit, colours) in zip(axes.ravel(), panels, strict=False):
        scale = "log" if unit == f"mean |{symbol}|" else "linear"
        mesh = ax.pcolormesh(
            _edges(response.frequencies), _edges(rows), values[order], cmap=colours, norm=scale, rasterized=True
        )
        fig.colorbar(mesh, ax=ax, label=unit, pad=0.02)
        ax.set_title(title, fontsize=10, loc="left")
        ax.set_facecolor("0.8")  # neurons without steady response
    for ax in axes.ravel()[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(FREQUENCY)
    for ax in axes[:, 0]:
        ax.set_ylabel(label)
    fig.suptitle(f"{response.neurons:,} × {_title(response)}", fontsize=11)
    return fig


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of cells around rising values."""
    if len(values) == 1:
        return values[0] + np.array([-0.5, 0.5])
    middle = 0.5 * (values[1:] + values[:-1])
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
