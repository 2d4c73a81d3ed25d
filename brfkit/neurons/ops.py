"""The operations a neuron may be written with, as NumPy functions.

A neuron's ``derive`` and ``step`` are plain functions over these, so they can be called as they stand on numbers and
arrays (the reference backend does). The same source is parsed by :mod:`brfkit.codegen` for every other backend.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

exp = np.exp
expm1 = np.expm1
sin = np.sin
cos = np.cos
sqrt = np.sqrt
minimum = np.minimum
maximum = np.maximum


def spike(x: ArrayLike) -> NDArray:
    """Heaviside step Θ(x): 1 where x > 0, else 0 (Θ(0) = 0)."""
    x = np.asarray(x)
    return (x > 0).astype(x.dtype)
