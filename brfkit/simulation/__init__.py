"""Driving neurons, populations and trained networks, and recording every state."""

from brfkit.simulation.population import Simulation, simulate
from brfkit.simulation.stimulus import STIMULI
from brfkit.simulation.trace_file import SUFFIXES, write_trace
from brfkit.simulation.trained import NetworkSimulation, simulate_network

__all__ = [
    "STIMULI",
    "SUFFIXES",
    "NetworkSimulation",
    "Simulation",
    "simulate",
    "simulate_network",
    "write_trace",
]
