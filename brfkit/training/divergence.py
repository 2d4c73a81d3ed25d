"""Training that cannot go on: something is not finite, or a weight cannot change any more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.errors import BrfkitError
from brfkit.runs.remarks import GRADIENT_REMEDY

# Where torch's optimisers keep what they divide a gradient by: a mean or sum of its squares, or its largest size.
_SQUARES = ("exp_avg_sq", "square_avg", "sum")
_SIZES = ("exp_inf",)
# A gradient this far below its optimiser's scale does not move a weight by more than float32 rounds off.
BLOCKED = 1e-6


class DivergedError(BrfkitError):
    """Training went wrong for good; ``epoch`` and ``batch`` say where (both counted from 1), ``what`` names the value.

    Args:
        epoch, batch, what: see above.
        fault: what is the matter with the value.
    """

    def __init__(self, epoch: int, batch: int, what: str, fault: str = "is not finite") -> None:
        super().__init__(f"training diverged in epoch {epoch}, batch {batch}: {what} {fault}")
        self.epoch, self.batch, self.what = epoch, batch, what


class WeightWatch:
    """Finds weights that cannot learn any more, by what the optimiser keeps of them and by how they change.

    A gradient of 1e19 or more, squared, is infinite in float32: Adam's second moment is then infinite for good and the
    update 0. A gradient that is merely huge leaves a scale that takes thousands of steps to fade, in any dtype. And a
    step that makes a weight larger by more than the dtype has digits leaves nothing of its value.

    Args:
        weights: trained weights by name.
        optimizer: what changes them.
    """

    def __init__(self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._weights = dict(weights)
        self._optimizer = optimizer
        self.start_epoch()

    def start_epoch(self) -> None:
        self._before = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._largest = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}

    @torch.no_grad()
    def see_gradients(self) -> None:
        """Take note of the gradients that the optimiser is about to use."""
        for name, weight in self._weights.items():
            if weight.grad is not None:
                torch.maximum(self._largest[name], weight.grad.abs(), out=self._largest[name])

    def overflowed(self) -> tuple[str, str] | None:
        """After a step: the first weight of which the optimiser's state is not finite, and what is the matter."""
        for name, weight in self._weights.items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                if not isinstance(value, Tensor) or value.ndim == 0 or bool(torch.isfinite(value.sum())):
                    continue
                bad = int((~torch.isfinite(value)).sum())
                if bad:  # a sum of finite values may overflow
                    largest = float(self._largest[name].max())
                    return name, (
                        f"cannot learn any more: {key} of the optimiser is not finite for {bad} of {value.numel()} "
                        f"values (largest gradient {largest:.2g}); {GRADIENT_REMEDY}"
                    )
        return None

    def stuck(self) -> tuple[str, str] | None:
        """After an epoch: the first weight that lost its value or can no longer change, and what is the matter."""
        for name, weight in self._weights.items():
            before, after = float(self._before[name].abs().max()), float(weight.detach().abs().max())
            if after * torch.finfo(weight.dtype).eps > max(before, 1.0):
                fault = f"grew from {before:.2g} to {after:.2g} in this epoch, which leaves nothing of it"
                return name, f"{fault}; {GRADIENT_REMEDY}"
            frozen, driven = self.frozen(name)
            if 2 * frozen > driven:
                return name, (
                    f"cannot learn any more: {frozen} of its {driven} values with a gradient did not change in this "
                    f"epoch, because the optimiser divides by more than a million times the gradient; {GRADIENT_REMEDY}"
                )
        return None

    @torch.no_grad()
    def frozen(self, name: str) -> tuple[int, int]:
        """Values of a weight that did not change in this epoch although they had a gradient, because the optimiser's
        scale dwarfs it; and how many had a gradient."""
        weight, largest = self._weights[name], self._largest[name]
        driven = largest > 0
        state = self._optimizer.state.get(weight, {})
        scales = [state[key].sqrt() for key in _SQUARES if key in state] + [state[k] for k in _SIZES if k in state]
        if not scales:
            return 0, int(driven.sum())
        still = driven & (weight == self._before[name]) & (largest < BLOCKED * scales[0])
        return int(still.sum()), int(driven.sum())

    def frozen_values(self) -> int:
        """:meth:`frozen` over all weights."""
        return sum(self.frozen(name)[0] for name in self._weights)


def first_nonfinite(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """In brackets and words, what a loss or gradient that is not finite comes from: a weight, else the state of the
    layer nearest to the input; nothing where all of them are finite.

    Args:
        weights: by name, in the order of the layers.
        state: after the batch, ``<layer>.<state>`` [B, H], in the order of the layers.
    """
    bad = not_finite(weights)
    if bad is not None:
        return f" (and before it weight {bad})"
    for name, value in state.items():
        units = ~np.isfinite(value.detach().numpy()).reshape(-1, value.shape[-1]).all(0)
        if units.any():
            layer, symbol = name.rsplit(".", 1)
            unit = int(np.flatnonzero(units)[0])
            own = {n.rsplit(".", 1)[1]: w for n, w in weights.items() if n.startswith(f"{layer}.") and w.ndim == 1}
            numbers = "".join(f", {n} {float(w.detach()[unit]):.4g}" for n, w in own.items() if len(w) == len(units))
            count = int(units.sum())
            return f" (and before it state {symbol} of {layer} in {count} neurons; the first is {unit}{numbers})"
    return ""


def not_finite(weights: Mapping[str, Tensor | NDArray]) -> str | None:
    """Name of the first weight that holds a number that is not finite."""
    for name, value in weights.items():
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        if not np.isfinite(array).all():
            return name
    return None
