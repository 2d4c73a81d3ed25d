"""Ways to disturb a trained network or its input: the four tests of Higuchi et al. (ICML 2024, appendix), and others.

A perturbation changes what goes into a scan, never the equations of a neuron: the samples, the weights, or, for spikes
that are deleted, the backend that runs the scan.
"""

from __future__ import annotations

import difflib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from brfkit.analysis.network.perturbations.input import (
    ChangedSplit,
    add_noise,
    drop_channels,
    drop_span,
    round_input,
    warp,
)
from brfkit.analysis.network.perturbations.spikes import DeletingBackend
from brfkit.analysis.network.perturbations.weights import quantised, rounded, with_synaptic_noise
from brfkit.backends.base import Backend
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights


@dataclass(frozen=True)
class Streams:
    """The random numbers of one repeat. They depend neither on the level nor on how samples are put into batches, so
    one repeat has the same noise at every level, only scaled.

    Attributes:
        seed: of the whole test.
        repeat: number of the repeat, from 0.
        name: of the perturbation.
    """

    seed: int
    repeat: int
    name: str

    def generator(self, *numbers: int) -> np.random.Generator:
        """The stream of a sample, a layer, …"""
        return np.random.default_rng([self.seed, self.repeat, zlib.crc32(self.name.encode()), *numbers])


@dataclass(frozen=True)
class Trial:
    """What is evaluated."""

    network: Network
    weights: Weights
    split: Split
    backend: Backend


@dataclass(frozen=True)
class Perturbation:
    """One way to disturb.

    Attributes:
        name: on the command line.
        level: what the level is, for an axis.
        doc: one line.
        levels: where nothing else is asked for.
        lowest, highest: levels that make sense.
        random: whether repeats differ; if so, level 0 changes nothing.
        apply: the trial with this level.
    """

    name: str
    level: str
    doc: str
    levels: tuple[float, ...]
    lowest: float
    highest: float
    random: bool
    apply: Callable[[Trial, float, Streams], Trial]

    def check(self, level: float) -> None:
        """Refuse a level that means nothing."""
        if not self.lowest <= level <= self.highest or (not self.random and level != int(level)):
            whole = "" if self.random else "a whole number "
            top = "" if math.isinf(self.highest) else f" to {self.highest:g}"
            raise BrfkitError(
                f"a level of {self.name} is {whole}from {self.lowest:g}{top} ({self.level}), not {level:g}"
            )


def _input_noise(trial: Trial, level: float, streams: Streams) -> Trial:
    return replace(trial, split=ChangedSplit(trial.split, lambda x, y, n: add_noise(x, y, n, level, streams.generator)))


def _spike_deletion(trial: Trial, level: float, streams: Streams) -> Trial:
    key = int(streams.generator().integers(2**63))
    return replace(trial, backend=DeletingBackend(trial.backend, level, key))


def _synaptic_noise(trial: Trial, level: float, streams: Streams) -> Trial:
    return replace(trial, weights=with_synaptic_noise(trial.weights, level, streams.generator()))


def _bit_precision(trial: Trial, level: float, streams: Streams) -> Trial:
    split = ChangedSplit(trial.split, lambda x, y, n: (round_input(x, int(level)), y))
    return replace(trial, split=split, weights=rounded(trial.network, trial.weights, int(level)))


def _missing_channels(trial: Trial, level: float, streams: Streams) -> Trial:
    if trial.network.inputs < 2:
        raise BrfkitError("missing-channels needs input of more than one channel; missing-span leaves out time")
    change = ChangedSplit(trial.split, lambda x, y, n: drop_channels(x, y, n, level, streams.generator))
    return replace(trial, split=change)


def _missing_span(trial: Trial, level: float, streams: Streams) -> Trial:
    return replace(trial, split=ChangedSplit(trial.split, lambda x, y, n: drop_span(x, y, n, level, streams.generator)))


def _time_warping(trial: Trial, level: float, streams: Streams) -> Trial:
    return replace(trial, split=ChangedSplit(trial.split, lambda x, y, n: warp(x, y, n, level, streams.generator)))


def _weight_quantisation(trial: Trial, level: float, streams: Streams) -> Trial:
    return replace(trial, weights=quantised(trial.weights, int(level)))


PERTURBATIONS = {
    p.name: p
    for p in (
        Perturbation(
            "input-noise",
            "standard deviation σ of the noise",
            "N(0, σ²) is added to every input value",
            (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35),
            0.0,
            math.inf,
            True,
            _input_noise,
        ),
        Perturbation(
            "spike-deletion",
            "probability p that a spike is dropped",
            "each spike of a hidden layer is dropped with probability p before anything uses it",
            (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
            0.0,
            1.0,
            True,
            _spike_deletion,
        ),
        Perturbation(
            "synaptic-noise",
            "relative standard deviation σ of the weights",
            "each weight w of every matrix becomes w + σ w ε, ε ~ N(0, 1)",
            (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
            0.0,
            math.inf,
            True,
            _synaptic_noise,
        ),
        Perturbation(
            "bit-precision",
            "fractional bits f",
            "input, all weights and parameters, and the readout's decay become round(2^f x) / 2^f",
            (1, 2, 4, 8, 16, 32, 52),
            0,
            100,
            False,
            _bit_precision,
        ),
        Perturbation(
            "missing-channels",
            "share of silent input channels",
            "a share of the input channels, drawn for each sample, is 0",
            (0.0, 0.25, 0.5, 0.75),
            0.0,
            1.0,
            True,
            _missing_channels,
        ),
        Perturbation(
            "missing-span",
            "share of the steps without input",
            "the input is 0 in one stretch of time, drawn for each sample",
            (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            0.0,
            1.0,
            True,
            _missing_span,
        ),
        Perturbation(
            "time-warping",
            "standard deviation of the log of the speed",
            "each sample runs faster here and slower there, its length kept",
            (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            0.0,
            5.0,
            True,
            _time_warping,
        ),
        Perturbation(
            "weight-quantisation",
            "bits of a weight",
            "each matrix becomes whole numbers of so many bits times one scale (symmetric, per matrix)",
            (16, 8, 6, 5, 4, 3, 2),
            2,
            32,
            False,
            _weight_quantisation,
        ),
    )
}


def get_perturbation(name: str) -> Perturbation:
    """The perturbation of that name; an unknown one is a :class:`BrfkitError`."""
    try:
        return PERTURBATIONS[name]
    except KeyError:
        near = difflib.get_close_matches(name, PERTURBATIONS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BrfkitError(f"unknown perturbation {name!r}; {hint}there are {', '.join(PERTURBATIONS)}") from None


__all__ = ["PERTURBATIONS", "Perturbation", "Streams", "Trial", "get_perturbation"]
