"""What a frequency response is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.linear import Resonance, impulse_response, transfer
from brfkit.analysis.neuron.frequency.measured import SpikeTrains
from brfkit.codegen.linearise import Linearised
from brfkit.simulation.reduce import Population


@dataclass(frozen=True)
class FrequencyResponse:
    """What :func:`brfkit.frequency_response` returns: N neurons, F frequencies (rad per unit time).

    Attributes:
        population: the neurons.
        observed: symbol of the state whose response this is.
        frequencies: (F,).
        radius: (N,) spectral radius of a step; neurons at 1 or above have no steady response and NaN in what follows.
        analytic: (N, F) complex, the transfer function of the update: state over current.
        resonance: peak, bandwidth, Q of every neuron.
        measured: by ``sine`` and ``chirp``, (N, F) complex, of simulated neurons below threshold.
        spike_trains: mean |u| and spikes under trains of pulses; None where not measured.
        subthreshold_trains: the same for neurons kept from spiking by a faint train, scaled to the same amplitude.
        amplitude: of a pulse.
        duration: over which spike trains go.
        backend: name of the compute backend.
        neuron_steps, simulating: steps of single neurons that were simulated, and their wall time in seconds.
        seconds: wall time of everything.
    """

    population: Population
    observed: str
    frequencies: NDArray[np.float64]
    radius: NDArray[np.float64]
    analytic: NDArray[np.complex128]
    resonance: Resonance
    measured: Mapping[str, NDArray[np.complex128]]
    spike_trains: SpikeTrains | None
    subthreshold_trains: SpikeTrains | None
    amplitude: float
    duration: float
    backend: str
    neuron_steps: int
    simulating: float
    seconds: float

    @property
    def neurons(self) -> int:
        return self.population.size

    @property
    def stable(self) -> NDArray[np.bool_]:
        return self.radius < 1.0

    def impulse(self, steps: int = 500, index: int = 0) -> NDArray[np.float64]:
        """Response of a neuron to a current of 1 in one step, (steps,)."""
        linear = self.population.linear
        return impulse_response(linear, linear.states.index(self.observed), steps, index)

    def curve(self, index: int = 0, points: int = 1000) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        """Frequencies (rad per unit time) and transfer function of a neuron, from the first to the last frequency, fine
        enough to draw whatever was measured: the peak and the -3 dB points are among them."""
        low, high = float(self.frequencies[0]), float(self.frequencies[-1])
        r = self.resonance
        marks = np.array([float(values[index]) for values in (r.peak_frequency, r.lower, r.upper)])
        marks = marks[np.isfinite(marks) & (marks > low) & (marks < high)]
        width = float(r.bandwidth[index])
        near = marks[:1] + width * np.linspace(-2, 2, 201) if marks.size and np.isfinite(width) else np.zeros(0)
        near = near[(near > low) & (near < high)]
        grids = (self.frequencies, marks, near, np.geomspace(low, high, points) if low > 0 else np.zeros(0))
        w = np.unique(np.concatenate([*grids, np.linspace(low, high, points)]))
        w = w[(w >= low) & (w <= high)]
        if not self.stable[index]:
            return w, np.full(len(w), np.nan + 0j)
        every = self.population.linear
        parts = (every.transition, every.input, every.output, every.feedthrough)
        linear = Linearised(every.states, *(part[index : index + 1] for part in parts))
        return w, transfer(linear, every.states.index(self.observed), w, self.population.dt)[0]

    def error(self, kind: str) -> float:
        """Largest |measured - analytic| / |analytic| over neurons and frequencies."""
        with np.errstate(all="ignore"):
            off = np.abs(self.measured[kind] / self.analytic - 1.0)[self.stable]
        return float(off.max()) if off.size else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``brfkit frequency``: numbers for one neuron, lists for several."""

        def each(values: NDArray[Any]) -> Any:
            return values[0].item() if self.neurons == 1 else values.tolist()

        r = self.resonance
        with np.errstate(all="ignore"):
            decibel = 20.0 * np.log10(r.peak_gain)
        spikes = self.spike_trains
        return {
            "neuron": self.population.neuron,
            "backend": self.backend,
            "dt": self.population.dt,
            "neurons": self.neurons,
            "parameters": {name: each(values) for name, values in self.population.parameters.items()},
            "frequencies": len(self.frequencies),
            "unstable": int((~self.stable).sum()),
            "peak_frequency": each(r.peak_frequency),
            "peak_gain_db": each(decibel),
            "lower": each(r.lower),
            "upper": each(r.upper),
            "bandwidth": each(r.bandwidth),
            "q": each(r.q),
            "measured_error": {kind: self.error(kind) for kind in self.measured},
            "spikes": None
            if spikes is None or not self.population.model.neuron.spiking
            else int(np.nansum(spikes.spikes)),
            "neuron_steps": self.neuron_steps,
            "neuron_steps_per_second": self.neuron_steps / self.simulating if self.neuron_steps else None,
            "seconds": self.seconds,
        }

    def columns(self) -> dict[str, NDArray[Any]]:
        """The numbers of the picture, one row per neuron and frequency, by the name of their column."""
        shape = (self.neurons, len(self.frequencies))
        table: dict[str, NDArray[Any]] = {
            name: np.broadcast_to(values[:, None], shape) for name, values in self.population.parameters.items()
        }
        table["frequency"] = np.broadcast_to(self.frequencies, shape)
        for kind, response in {"analytic": self.analytic, **self.measured}.items():
            with np.errstate(all="ignore"):
                table[f"{kind}_gain_db"] = 20.0 * np.log10(np.abs(response))
            table[f"{kind}_phase_deg"] = np.degrees(np.angle(response))
        symbol = self.observed
        if self.spike_trains is not None and self.subthreshold_trains is not None:
            table[f"mean_abs_{symbol}_sub_threshold"] = self.subthreshold_trains.mean_abs
            table[f"mean_abs_{symbol}"] = self.spike_trains.mean_abs
            table["spikes"] = self.spike_trains.spikes
        return {name: np.ravel(values) for name, values in table.items()}
