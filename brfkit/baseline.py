"""The LSTM baseline for torch: module, scan and the backend that evaluates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.backends.base import Backend, Gradients, ScanCall, Trace, VjpCall
from brfkit.checkpoints.lstm import LstmNetwork
from brfkit.errors import BrfkitError
from brfkit.events import Events


class LstmModule(torch.nn.Module):
    """The network as a module; parameters under the names of ``network.shapes()`` with ``.`` as ``__``."""

    def __init__(self, network: LstmNetwork, weights: Mapping[str, NDArray]) -> None:
        super().__init__()
        self.network = network
        for name in network.shapes():
            value = torch.from_numpy(np.array(weights[name]))
            self.register_parameter(name.replace(".", "__"), torch.nn.Parameter(value))

    def weight_tensors(self) -> dict[str, Tensor]:
        """The parameters under the network's names."""
        return {name.replace("__", "."): value for name, value in self.named_parameters()}

    def weights(self) -> dict[str, NDArray]:
        """A copy of the parameters as arrays."""
        return {name: value.detach().numpy().copy() for name, value in self.weight_tensors().items()}


def run_lstm(
    network: LstmNetwork, weights: Mapping[str, Tensor], x: Tensor, state: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs [T, B, O] for an input [T, B, I], and the state after it: ``hidden0.h`` and ``hidden0.c`` [1, B, H]."""
    after: dict[str, Tensor] = {}
    for index, cells in enumerate(network.hidden):
        layer = f"hidden{index}"
        own = [weights[f"{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        zero = x.new_zeros(1, x.shape[1], cells)
        start = (state[f"{layer}.h"], state[f"{layer}.c"]) if state else (zero, zero)
        x, h, c = torch.lstm(x, start, own, True, 1, 0.0, False, False, False)
        after |= {f"{layer}.h": h, f"{layer}.c": c}
    return torch.nn.functional.linear(x, weights["readout.weight"], weights["readout.bias"]), after


class LstmBackend(Backend):
    """Runs the baseline for :func:`brfkit.evaluation.evaluate`; it has no spikes, and torch has its gradients."""

    name = "torch"

    def _dtype(self, network: Any, weights: Mapping[str, NDArray]) -> np.dtype:
        return next(iter(weights.values())).dtype

    def _scan(self, call: ScanCall) -> Trace:
        network: Any = call.network
        dense = call.x.dense(call.dtype) if isinstance(call.x, Events) else call.x
        tensors = {name: torch.from_numpy(value) for name, value in call.weights.items()}
        with torch.no_grad():
            outputs, _ = run_lstm(network, tensors, torch.from_numpy(dense))
        return Trace(outputs.numpy(), {}, {})

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        raise BrfkitError("the LSTM is differentiated by torch")
