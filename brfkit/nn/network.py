"""A whole network as one module: the fused scans run all its layers at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from brfkit.backends.base import Backend, Trace
from brfkit.events import Events
from brfkit.network import Network, Weights
from brfkit.nn.function import scan


class NetworkModule(torch.nn.Module):
    """A :class:`brfkit.network.Network` with its weights as parameters.

    ``forward`` takes [T, B, I] or events and returns the outputs [T, B, O]; the trace of the last call (spike counts)
    is in ``trace``. Parameter names are those of the network with ``.`` replaced by ``__``.

    Args:
        network: description.
        weights: initial values by name.
        backend: who computes; cupy where the module is moved to a CUDA device.
    """

    def __init__(self, network: Network, weights: Mapping[str, np.ndarray], backend: Backend) -> None:
        super().__init__()
        network.check(weights)
        self.network = network
        self.backend = backend
        self.trace: Trace | None = None
        for name in network.shapes():
            value = torch.from_numpy(np.array(weights[name]))
            self.register_parameter(name.replace(".", "__"), torch.nn.Parameter(value))

    def weight_tensors(self) -> dict[str, Tensor]:
        """The parameters under the network's names."""
        return {name.replace("__", "."): value for name, value in self.named_parameters()}

    def weights(self) -> Weights:
        """A copy of the parameters as arrays."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.weight_tensors().items()}

    def forward(self, x: Tensor | Events) -> Tensor:
        outputs, _, self.trace = scan(self.backend, self.network, self.weight_tensors(), x)
        return outputs
