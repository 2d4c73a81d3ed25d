"""What pictures of surfaces have in common: labels, ranges, heights along a path. Needs no matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.surface import Surface
from brfkit.errors import BrfkitError

LABELS = {"loss": "loss (nats)", "accuracy": "accuracy (%)", "spikes_per_sample": "spikes per sample"}


def title_of(surface: Surface) -> str:
    """Network and samples."""
    settings = surface.settings
    epoch = "" if settings.epoch is None else f", epoch {settings.epoch}"
    part = "" if settings.split == "test" else f"{settings.split} "
    return f"{settings.checkpoint} ({settings.neuron}{epoch}), {settings.samples:,} {part}samples of {settings.dataset}"


def name_of(surface: Surface) -> str:
    """Network in few words."""
    return f"{surface.settings.checkpoint} ({surface.settings.neuron})"


def span(surfaces: Sequence[Surface], show: str, log: bool) -> tuple[float, float]:
    """Smallest and largest value that is known, the centres included.

    Raises:
        BrfkitError: there is none.
    """
    values = np.concatenate([np.append(s.grid(show).ravel(), s.centre(show)) for s in surfaces])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not values.size:
        raise BrfkitError(f"no point of the surface has a {show} that can be drawn")
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1e-9 + abs(low) * 1e-6)


def levels_between(low: float, high: float, count: int, log: bool) -> NDArray[np.float64]:
    """Borders of contours, round numbers where they are spread evenly."""
    if log:
        return _log_levels(low, high, count)
    raw = (high - low) / count
    size = 10.0 ** np.floor(np.log10(raw))
    step = size * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * size - raw))
    return np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step


def _log_levels(low: float, high: float, count: int) -> NDArray[np.float64]:
    """As many borders as are at most `count`, at round numbers in each decade, that hold `low` and `high`."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for parts in ((1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8), (1, 1.5, 2, 3, 4, 6, 8), (1, 2, 5), (1, 3), (1,)):
        levels = np.array([part * 10.0**decade for decade in range(first, last + 1) for part in parts])
        inside = levels[max(np.searchsorted(levels, low, "right") - 1, 0) : np.searchsorted(levels, high) + 1]
        if len(inside) <= count + 1:
            return inside
    return np.geomspace(10.0**first, 10.0**last, count + 1)


def heights_along(surface: Surface, path: NDArray[np.float64], show: str) -> NDArray[np.float64]:
    """Values of the surface at coordinates [E, 2], between points bilinear, outside NaN."""
    from scipy.interpolate import RegularGridInterpolator

    between = RegularGridInterpolator(
        (surface.alpha, surface.beta), surface.grid(show), bounds_error=False, fill_value=np.nan
    )
    found: NDArray[np.float64] = between(path)
    return found
