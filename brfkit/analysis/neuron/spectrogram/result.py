"""What a spectrogram by resonators is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.spectrogram.signal import Signal
from brfkit.analysis.neuron.stability.plane import B_OFFSET, OMEGA
from brfkit.simulation.reduce import Population

SILENCE = 1e-12


@dataclass(frozen=True)
class Spectrogram:
    """What :func:`brfkit.analysis.neuron.spectrogram.bank.spectrogram` returns. M resonators, F frames.

    Attributes:
        signal: what was analysed, after downsampling.
        population: the bank.
        frequencies: (M,) in cycles per unit time (Hz), at which each resonator turns.
        t: (F,) middle of each frame.
        hop: samples per frame.
        amplitude: (F, M) of the sine that would drive a resonator as far; 1 for a sine of amplitude 1 at its frequency.
        spikes: (F, M) spikes per frame; None where not asked for.
        stft_frequencies, stft_t, stft: (K,), (J,), (J, K) amplitude by :func:`scipy.signal.stft` with a Hann window.
        window: samples of that window.
        backend, neuron_steps, simulating, seconds: what simulated, how much, and the wall times.
    """

    signal: Signal
    population: Population
    frequencies: NDArray[np.float64]
    t: NDArray[np.float64]
    hop: int
    amplitude: NDArray[np.float64]
    spikes: NDArray[np.int64] | None
    stft_frequencies: NDArray[np.float64]
    stft_t: NDArray[np.float64]
    stft: NDArray[np.float64]
    window: int
    backend: str
    neuron_steps: int
    simulating: float
    seconds: float

    @property
    def stft_on_grid(self) -> NDArray[np.float64]:
        """The STFT's amplitude at the frames and frequencies of the bank, interpolated, (F, M)."""
        from scipy.interpolate import RegularGridInterpolator

        inside = RegularGridInterpolator((self.stft_t, self.stft_frequencies), self.stft, bounds_error=False)
        t = self.t.clip(self.stft_t[0], self.stft_t[-1])
        points = np.stack(np.meshgrid(t, self.frequencies, indexing="ij"), -1)
        return np.asarray(inside(points), np.float64)

    def correlation(self, floor_db: float = -40.0) -> float:
        """Of the two pictures in decibels below their maximum, down to ``floor_db``."""
        bank, fourier = (
            np.maximum(decibel_below_top(np.nan_to_num(amplitude)), floor_db).ravel()
            for amplitude in (self.amplitude, self.stft_on_grid)
        )
        with np.errstate(all="ignore"):
            return float(np.corrcoef(np.stack([bank, fourier]))[0, 1])

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``brfkit spectrogram``."""
        loudest = int(np.sqrt((self.amplitude**2).mean(0)).argmax())
        return {
            "neuron": self.population.neuron,
            "backend": self.backend,
            "samples": len(self.signal.values),
            "rate": self.signal.rate,
            "duration": self.signal.duration,
            "resonators": len(self.frequencies),
            "lowest": float(self.frequencies[0]),
            "highest": float(self.frequencies[-1]),
            "frames": len(self.t),
            "hop": self.hop,
            "loudest": float(self.frequencies[loudest]),
            "stft_window": self.window,
            "stft_loudest": float(self.stft_frequencies[int(np.sqrt((self.stft**2).mean(0)).argmax())]),
            "stft_correlation": self.correlation(),
            "spikes": None if self.spikes is None else int(self.spikes.sum()),
            "neuron_steps": self.neuron_steps,
            "neuron_steps_per_second": self.neuron_steps / self.simulating,
            "seconds": self.seconds,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``--out`` holds."""
        spikes = {} if self.spikes is None else {"spikes": self.spikes}
        return {
            "t": self.t,
            "frequency": self.frequencies,
            "omega": self.population.parameters[OMEGA],
            "b_offset": self.population.parameters[B_OFFSET],
            "amplitude": self.amplitude,
            **spikes,
            "stft_t": self.stft_t,
            "stft_frequency": self.stft_frequencies,
            "stft_amplitude": self.stft,
            "rate": np.array(self.signal.rate),
        }


def decibel_below_top(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitudes in dB relative to the largest."""
    top = max(float(amplitude.max()), SILENCE)
    return np.asarray(20.0 * np.log10(np.maximum(amplitude, SILENCE * top) / top), np.float64)
