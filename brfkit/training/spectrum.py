"""Initial ω of resonators from the spectrum of their training data. Needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network
from brfkit.neurons.oscillator import BOUND
from brfkit.runs.config import AUTO, SPECTRUM
from brfkit.spectrum import input_power

log = logging.getLogger(__name__)

SAMPLES = 256  # of the training set at most; the spectrum is a mean, which more of them hardly change
_SAMPLE_STREAM, _OMEGA_STREAM = 4, 5


@dataclass(frozen=True)
class Spectrum:
    """Power of the input over angular frequency.

    Attributes:
        omega: [K], the frequencies 2π k / (T δ), k = 1, 2, …, below 0.9999 / δ, in radians per time unit of δ.
        power: [K], mean over samples and channels of |rfft|² of the sequences without their mean.
        samples: how many were looked at.
        highest: no ω is drawn above it.
    """

    omega: NDArray[np.float64]
    power: NDArray[np.float64]
    samples: int
    highest: float

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Angular frequencies [size] whose density is the power, ascending.

        The power of a frequency is spread evenly over the step around it, for the lowest over the half above it. The
        i-th value is the inverse of the cumulative power at a random place in the i-th of ``size`` equal parts of it,
        so that even few neurons cover the spectrum.
        """
        step = self.omega[0]
        edges = np.minimum(np.concatenate([[step], self.omega + 0.5 * step]), self.highest)
        cumulative = np.concatenate([[0.0], np.cumsum(self.power)])
        places = (np.arange(size) + rng.random(size)) / size
        found: NDArray[np.float64] = np.interp(places * cumulative[-1], cumulative, edges)
        return found


def input_spectrum(split: Split, dt: float, seed: int, samples: int = SAMPLES) -> Spectrum:
    """The spectrum of some samples of a split.

    Args:
        split: training samples, dense or events.
        dt: time step δ of the network; one step of the input is one δ.
        seed: chooses the samples.
        samples: how many at most.

    Raises:
        BrfkitError: the sequences are too short for a frequency below 1/δ, or nothing in them changes.
    """
    drawn = np.sort(np.random.default_rng([seed, _SAMPLE_STREAM]).permutation(len(split))[:samples])
    found = input_power(split, drawn)
    omega = found.omega(dt)
    band = (omega > 0.0) & (omega < BOUND / dt)
    if not band.any():
        raise BrfkitError(f"network.omega_init: sequences of {found.steps} steps hold no frequency below 1/δ")
    if found.constant:
        raise BrfkitError("network.omega_init: the training inputs do not change in time, so they have no spectrum")
    return Spectrum(omega[band], found.power[band].mean(1), len(drawn), BOUND / dt)


def period_range(steps: int, dt: float) -> Spectrum:
    """An even spectrum from one to four periods in a sequence, below 1/(2δ), for inputs that have none of their own."""
    highest = 0.5 / dt
    lowest = min(2.0 * np.pi / (steps * dt), 0.5 * highest)
    count = max(1, min(4, int(highest / lowest)))
    return Spectrum(lowest * np.arange(1.0, count + 1.0, dtype=np.float64), np.ones(count), 0, highest)


def initialise_omega(
    network: Network, weights: Mapping[str, NDArray], split: Split, seed: int, how: str = SPECTRUM
) -> dict[str, Any]:
    """Put ω drawn from the spectrum of the input into the initial weights, in place.

    All layers with an ω draw from the same spectrum, each with its own random numbers; other weights stay as they are.

    Args:
        network, weights: what to initialise.
        split: training samples.
        seed: of the draws.
        how: ``spectrum``; or ``auto``, which takes :func:`period_range` where the inputs have no spectrum.

    Returns:
        What a run folder records of it: number of samples, and by layer the lowest, the median and the highest ω.

    Raises:
        BrfkitError: the inputs have no spectrum, and ``how`` is not ``auto``.
    """
    try:
        spectrum = input_spectrum(split, network.dt, seed)
    except BrfkitError as error:
        if how != AUTO:
            raise
        steps = split.batch([0])[0]
        length = steps.steps if isinstance(steps, Events) else steps.shape[0]
        spectrum = period_range(length, network.dt)
        log.info("%s; ω is drawn from one to four periods in a sequence", error)
    drawn: dict[str, Any] = {"samples": spectrum.samples}
    for index, layer in enumerate(network.layers):
        omega = weights.get(f"{layer.name}.omega")
        if omega is not None:
            omega[...] = spectrum.draw(np.random.default_rng([seed, _OMEGA_STREAM, index]), layer.units)
            drawn[f"{layer.name}.omega"] = [float(np.quantile(omega, q)) for q in (0.0, 0.5, 1.0)]
    return drawn
