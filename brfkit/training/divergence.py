"""Training that stops because something is not finite: where, and what went first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from brfkit.errors import BrfkitError


class DivergedError(BrfkitError):
    """Loss, gradient or weight stopped being finite; ``epoch`` and ``batch`` say where (both counted from 1)."""

    def __init__(self, epoch: int, batch: int, what: str) -> None:
        super().__init__(f"training diverged in epoch {epoch}, batch {batch}: {what} is not finite")
        self.epoch, self.batch, self.what = epoch, batch, what


def what_went_first(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
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
