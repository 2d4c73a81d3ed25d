"""Spiking layers for torch: every neuron as a ``torch.nn.Module`` over the fused scans."""

import brfkit.nn.operator  # noqa: F401  # registers brfkit::scan, which exported programs call
from brfkit.nn.calibration import Calibrated, calibrate
from brfkit.nn.classes import ALIF, BHRF, BRF, LI, LIF, RF, LISigmoid, RFIzhikevich, SEAdLIF
from brfkit.nn.layers import NeuronLayer
from brfkit.nn.network import NetworkModule
from brfkit.nn.silence import SilentLayerWarning

__all__ = [
    "ALIF",
    "BHRF",
    "BRF",
    "LI",
    "LIF",
    "RF",
    "Calibrated",
    "LISigmoid",
    "NetworkModule",
    "NeuronLayer",
    "RFIzhikevich",
    "SEAdLIF",
    "SilentLayerWarning",
    "calibrate",
]
