"""Spiking layers for torch: every neuron as a ``torch.nn.Module`` over the fused scans."""

from brfkit.nn.layers import ALIF, BHRF, BRF, LI, LIF, RF, NeuronLayer, RFIzhikevich
from brfkit.nn.network import NetworkModule

__all__ = ["ALIF", "BHRF", "BRF", "LI", "LIF", "RF", "NetworkModule", "NeuronLayer", "RFIzhikevich"]
