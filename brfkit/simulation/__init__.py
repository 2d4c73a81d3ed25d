"""Driving neurons, populations and trained networks, and recording every state."""

from brfkit.simulation.population import Simulation, simulate
from brfkit.simulation.stimulus import STIMULI
from brfkit.simulation.trace_file import SUFFIXES, write_trace

__all__ = [
    "STIMULI",
    "SUFFIXES",
    "Simulation",
    "simulate",
    "write_trace",
]
