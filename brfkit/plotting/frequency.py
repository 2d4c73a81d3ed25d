"""Pictures of frequency responses: curves of a few neurons, a map over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.result import FrequencyResponse
from brfkit.errors import BrfkitError
from brfkit.neurons import get_neuron
from brfkit.plotting.style import BLACK, COLOURS, TIME, TINY, heading, is_paper, legend_below, look, note, panels

FREQUENCY = "input frequency (rad / time)"
CURVES = len(COLOURS)
MOST = 28  # curves in one picture
DOTS = 24  # markers along a curve, so that the line behind them stays visible
FLOOR = 1e-17  # of errors on a logarithmic axis
Labelled = tuple[str, FrequencyResponse, int]


def frequency_figure(responses: Sequence[tuple[str, FrequencyResponse]]) -> Any:
    """Curves for up to seven neurons of each variant; maps over input frequency and neuron for more: of one variant
    four quantities, of several each quantity for all of them on a common scale.

    Args:
        responses: variants with their names; the name is empty where there is only one.

    Raises:
        BrfkitError: more curves than can be distinguished.
    """
    if max(response.neurons for _, response in responses) > CURVES:
        return _map(responses[0][1]) if len(responses) == 1 else _maps(responses)
    curves = [
        (_label(name, response, index), response, index)
        for name, response in responses
        for index in range(response.neurons)
    ]
    if len(curves) > MOST:
        raise BrfkitError(f"{len(curves)} curves cannot be distinguished in one picture; at most {MOST}")
    return _curves(curves)


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
    fig, axes = panels(3, 2, (5.5, 2.75), 1.35)
    gain, impulse, phase, mean, error, spikes = axes
    for number, (label, response, index) in enumerate(curves):
        own = {key: look(number)[key] for key in ("color", "linestyle")} | {"linewidth": 1.5}
        _response(gain, phase, error, response, index, own, label)
        _impulse(impulse, response, index, own)
        _trains(mean, spikes, response, index, own)
    first = curves[0][1]
    if len(curves) == 1:
        _resonance(gain, *curves[0][1:])
    symbol = first.observed
    gain.set(ylabel=f"gain of {symbol} (dB)")
    phase.set(ylabel=f"phase of {symbol} (degrees)", yticks=range(-180, 181, 90), ylim=(-190, 190))
    error.set(ylabel="relative error of\nmeasured response", xlabel=FREQUENCY)
    impulse.set(ylabel=f"{symbol} after a pulse\nof 1 in one step", xlabel=TIME)
    mean.set(ylabel=f"mean |{symbol}| under\nspike trains")
    spikes.set(ylabel="spikes per unit time", xlabel=FREQUENCY)
    for ax in (gain, phase, error, mean, spikes):
        ax.set(xscale="log", xlim=(first.frequencies[0], first.frequencies[-1]))
    _fill_empty(first, error, mean, spikes)
    if first.measured:
        error.set_yscale("log")
    _legends(gain, error, mean, len(curves))
    titles = {_title(response) for _, response, _ in curves}
    heading(fig, titles.pop() if len(titles) == 1 else get_neuron(first.population.neuron).title)
    return fig


def _response(
    gain: Any, phase: Any, error: Any, response: FrequencyResponse, index: int, look: dict[str, Any], label: str
) -> None:
    w, analytic = response.frequencies, response.analytic[index]
    with np.errstate(all="ignore"):
        fine, curve = response.curve(index)
        gain.plot(fine, _decibel(curve), label=label or "transfer function", **look)
        phase.plot(fine, _unjoined(np.degrees(np.angle(curve))), **look)
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
    marker = {"marker": "o", "markersize": 3} if steps <= TINY else {}
    ax.plot(np.arange(steps) * dt, response.impulse(steps, index), **marker, **look)


def _trains(mean: Any, spikes: Any, response: FrequencyResponse, index: int, look: dict[str, Any]) -> None:
    if response.spike_trains is None or response.subthreshold_trains is None:
        return
    w = response.frequencies
    mean.plot(w, response.spike_trains.mean_abs[index], label="spiking", **look)
    mean.plot(
        w, response.subthreshold_trains.mean_abs[index], color=look["color"], linewidth=0.8, alpha=0.7, label="linear"
    )
    spikes.plot(w, response.spike_trains.spikes[index] / response.duration, **look)


def _fill_empty(response: FrequencyResponse, error: Any, mean: Any, spikes: Any) -> None:
    """Say why a panel is empty."""
    if not response.measured:
        note(error, "not measured")
    if response.spike_trains is None:
        for ax in (mean, spikes):
            note(ax, "not measured")


def _legends(gain: Any, error: Any, mean: Any, curves: int) -> None:
    if is_paper():
        legend_below(gain.figure, gain.get_legend_handles_labels(), columns=2)
    else:
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
    fig, axes = panels(2, 2, (5.5, 3.8), 2.0, sharex=True, sharey=True)
    rows, label, order = _rows(response)
    symbol = response.observed
    with np.errstate(all="ignore"):
        shown = [(f"gain of {symbol}, transfer function", _decibel(response.analytic), "gain (dB)", "viridis")]
        for kind, measured in response.measured.items():
            off = np.log10(np.maximum(np.abs(measured / response.analytic - 1.0), FLOOR))
            shown.append((f"error measured with {kind}s", off, "log₁₀ of relative error", "cividis"))
    if response.spike_trains is not None and response.subthreshold_trains is not None:
        name = f"mean |{symbol}| under spike trains, linear"
        shown.append((name, response.subthreshold_trains.mean_abs, f"mean |{symbol}|", "viridis"))
        rate = response.spike_trains.spikes / response.duration
        shown.append(("spikes under spike trains", rate, "spikes per unit time", "magma"))
    for ax, (title, values, unit, colours) in zip(axes, shown, strict=False):
        _mesh(fig, ax, response.frequencies, rows, values[order], unit, colours)
        ax.set_title(title, fontsize=10, loc="left")
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    _label_maps(axes, 1 if is_paper() else 2, label)
    heading(fig, f"{response.neurons:,} × {_title(response)}")
    return fig


def _maps(responses: Sequence[tuple[str, FrequencyResponse]]) -> Any:
    """A row for each quantity, a column for each variant, all of a row on one scale."""
    first = responses[0][1]
    symbol = first.observed
    with np.errstate(all="ignore"):
        quantities = [("gain (dB)", [_decibel(one.analytic) for _, one in responses], "viridis")]
    trains = [one.spike_trains for _, one in responses if one.spike_trains is not None]
    if len(trains) == len(responses):
        quantities.append((f"mean |{symbol}|", [one.mean_abs for one in trains], "viridis"))
        rates = [one.spikes / each.duration for one, (_, each) in zip(trains, responses, strict=True)]
        quantities.append(("spikes per unit time", rates, "magma"))
    columns = len(responses)
    fig, axes = panels(len(quantities), columns, (max(3.2, 11.0 / columns), 3.2), 1.8, sharex=True, sharey=True)
    for number, (unit, values, colours) in enumerate(quantities):
        finite = np.concatenate([one[np.isfinite(one)] for one in values] or [np.zeros(0)])
        if unit.startswith("mean"):
            finite = finite[finite > 0]
        span = (float(finite.min()), float(finite.max())) if finite.size else None
        for column, ((name, response), one) in enumerate(zip(responses, values, strict=True)):
            ax = axes[number * columns + column]
            rows, label, order = _rows(response)
            _mesh(fig, ax, response.frequencies, rows, one[order], unit, colours, span)
            ax.set_title(f"{name}: {unit.partition(' (')[0]}", fontsize=9, loc="left")
    _label_maps(axes, 1 if is_paper() else columns, label)
    heading(fig, f"{first.neurons:,} × {_title(first)}")
    return fig


def _label_maps(axes: Sequence[Any], columns: int, label: str) -> None:
    """Labels at the left and below the last panel of each column."""
    shown = [ax for ax in axes if ax.get_visible()]
    for ax in shown[-columns:]:
        ax.set_xlabel(FREQUENCY)
        ax.tick_params(labelbottom=True)
    for ax in shown[::columns]:
        ax.set_ylabel(label)
    for ax in shown:
        ax.grid(False)


def _rows(response: FrequencyResponse) -> tuple[NDArray[np.float64], str, NDArray[np.intp]]:
    """Places of the neurons upwards, the label of that axis, and their order."""
    by = varied_parameter(response)
    rows, label = np.arange(response.neurons, dtype=np.float64), "neuron"
    order = np.arange(response.neurons)
    if by is not None:
        parameter = get_neuron(response.population.neuron).parameter(by)
        order = np.argsort(response.population.parameters[by], kind="stable")
        rows, label = response.population.parameters[by][order], f"{parameter.symbol} ({parameter.unit})"
    return rows, label, order


def _mesh(
    fig: Any,
    ax: Any,
    frequencies: NDArray[np.float64],
    rows: NDArray[np.float64],
    values: NDArray[np.float64],
    unit: str,
    colours: str,
    span: tuple[float, float] | None = None,
) -> None:
    """Values (neurons, frequencies) as colours, with their scale; ``span`` is its ends, None those of the values."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = span if span is not None and span[0] < span[1] else (None, None)
    norm = (LogNorm if unit.startswith("mean") else Normalize)(low, high)
    mesh = ax.pcolormesh(_edges(frequencies), _edges(rows), values, cmap=colours, norm=norm, rasterized=True)
    fig.colorbar(mesh, ax=ax, label=unit, pad=0.02)
    ax.set_facecolor("0.8")  # neurons without steady response


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Borders of cells around rising values."""
    if len(values) == 1:
        return values[0] + np.array([-0.5, 0.5])
    middle = 0.5 * (values[1:] + values[:-1])
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
