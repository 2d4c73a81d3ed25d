"""A warning for layers that give no spike."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from brfkit.backends.base import Trace
from brfkit.nn.function import is_plain

CALLS = 10


class SilentLayerWarning(UserWarning):
    """A layer gave no spike in its first batches, so that nothing behind it learns."""


class Watch:
    """Looks for a first spike in the first calls in training mode.

    Attributes:
        open: whether it is still to be looked for.
    """

    def __init__(self, spiking: bool) -> None:
        self.spiking = spiking
        self.reset()

    def reset(self) -> None:
        self.open, self.calls = self.spiking, 0

    def see(self, layer: torch.nn.Module, output: Tensor, trace: Trace | None) -> None:
        """A call in plain use has been made."""
        if trace is not None:
            spiked = any(bool(count.any()) for count in trace.spike_counts.values())
        elif is_plain(output, ()) and not torch._C._are_functorch_transforms_active():
            spiked = bool(output.detach().any())
        else:
            return
        self.calls += 1
        if spiked or self.calls == CALLS:
            self.open = False
        if not spiked and self.calls == CALLS:
            warnings.warn(
                f"{layer} gave no spike in its first {CALLS} batches; scale the input, take init='active', or call "
                "brfkit.nn.calibrate(model, x)",
                SilentLayerWarning,
                stacklevel=6,
            )
