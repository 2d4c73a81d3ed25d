"""Pictures of a bank of resonators as a spectrogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.spectrogram.result import Spectrogram, decibel_below_top
from brfkit.neurons import get_neuron
from brfkit.plotting.style import BLACK, figure, heading, tidy
from brfkit.plotting.traces import line

RANGE = 60.0  # dB
COLOURS = "magma"


def spectrogram_figure(result: Spectrogram) -> Any:
    """The signal, the bank's amplitudes, the short-time Fourier transform, and spikes where they were counted."""
    rows = 3 + (result.spikes is not None)
    fig = figure(10.0, 2.0 + 2.3 * (rows - 1), 0.9 + 1.55 * (rows - 1))
    axes = list(fig.subplots(rows, 1, sharex=True, height_ratios=[0.5, *([1] * (rows - 1))]))
    signal = result.signal
    line(axes[0], np.arange(len(signal.values)) / signal.rate, signal.values, color=BLACK, linewidth=0.8)
    axes[0].set(ylabel="signal", xlim=(0.0, signal.duration))
    tidy(axes[0])
    unit = "Hz" if signal.seconds else "1 / time"
    population = result.population
    b = population.parameters["b_offset"]
    damping = f"b' = {b.min():.3g}" + (f" … {b.max():.3g}" if b.max() > b.min() else "")
    bank = _panel(axes[1], result.t, result.frequencies, decibel_below_top(result.amplitude))
    name = get_neuron(population.neuron).title
    axes[1].set_title(f"{len(result.frequencies)} {name} neurons, {damping}", fontsize=10, loc="left")
    _panel(axes[2], result.stft_t, result.stft_frequencies, decibel_below_top(result.stft))
    words = f"short-time Fourier transform, Hann window of {result.window} samples"
    axes[2].set_title(words, fontsize=10, loc="left")
    fig.colorbar(bank, ax=axes[1:3], label="amplitude (dB below the largest)", pad=0.01, aspect=30)
    if result.spikes is not None:
        mesh = axes[3].pcolormesh(
            *_grid(result.t, result.frequencies), result.spikes.T, cmap="gray_r", rasterized=True, vmin=0
        )
        fig.colorbar(mesh, ax=axes[3], label="spikes per frame", pad=0.01, aspect=15)
        axes[3].set_title(
            "spikes of the same neurons, their input scaled to reach the threshold", fontsize=10, loc="left"
        )
    log = _is_log(result.frequencies)
    for ax in axes[1:]:
        ax.set(ylabel=f"frequency ({unit})", yscale="log" if log else "linear")
        ax.set_ylim(result.frequencies[0], result.frequencies[-1])
    axes[-1].set_xlabel("time (s)" if signal.seconds else "time t")
    heading(fig, f"{signal.name}, {signal.rate:g} samples per {'second' if signal.seconds else 'unit time'}")
    return fig


def _panel(ax: Any, t: NDArray[np.float64], f: NDArray[np.float64], decibel: NDArray[np.float64]) -> Any:
    return ax.pcolormesh(*_grid(t, f), decibel.T, cmap=COLOURS, vmin=-RANGE, vmax=0.0, rasterized=True)


def _grid(t: NDArray[np.float64], f: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Borders of cells around times and frequencies."""
    return _edges(t), np.exp(_edges(np.log(f))) if _is_log(f) else _edges(f).clip(0)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) == 1:
        return np.array([0.0, 2.0 * values[0]])
    middle = 0.5 * (values[1:] + values[:-1])
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def _is_log(f: NDArray[np.float64]) -> bool:
    """Whether frequencies are evenly spaced on a logarithmic axis rather than on a linear one."""
    return len(f) > 2 and f[0] > 0 and bool(np.ptp(np.diff(np.log(f))) < np.ptp(np.diff(f)) / f.mean())
