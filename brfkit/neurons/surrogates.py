"""Surrogate derivatives of the spike, dz/dx as a function of x = (membrane value) - (threshold).

Each is written once as a plain function (parsed like a neuron) together with its primitive, which replaces the spike
where a smooth network is needed to prove gradients (Taylor tests). Values follow the published code of Higuchi et al.
(2024) and Yin et al. (2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.neurons.ops import exp, maximum

HEIGHT = 0.15  # p, weight of the negative lobes
WIDTH = 0.5  # s, standard deviation of the central Gaussian
LOBE_WIDTH = 6.0 * WIDTH
SCALE = 0.5
CENTRE = SCALE * (1.0 + HEIGHT) / (WIDTH * math.sqrt(2.0 * math.pi))
LOBE = SCALE * HEIGHT / (LOBE_WIDTH * math.sqrt(2.0 * math.pi))
NORMAL = 1.0 / math.sqrt(2.0 * math.pi)
PI = math.pi


def double_gaussian(x):  # type: ignore[no-untyped-def]
    # exp(-2 x²) is the 36th power of exp(-x²/18): six products cost less than a second exponential.
    lobe = exp(x**2 * (-0.5 / LOBE_WIDTH**2))
    power4 = (lobe**2) ** 2
    power32 = ((power4**2) ** 2) ** 2
    return CENTRE * (power32 * power4) - 2.0 * LOBE * lobe


def multi_gaussian(x):  # type: ignore[no-untyped-def]
    lobes = exp((x - WIDTH) ** 2 * (-0.5 / LOBE_WIDTH**2)) + exp((x + WIDTH) ** 2 * (-0.5 / LOBE_WIDTH**2))
    return CENTRE * exp(x**2 * (-0.5 / WIDTH**2)) - LOBE * lobes


def gaussian(x):  # type: ignore[no-untyped-def]
    return NORMAL * exp(x**2 * -0.5)


def linear(x):  # type: ignore[no-untyped-def]
    return maximum(1.0 - abs(x), 0.0)


def exponential(x):  # type: ignore[no-untyped-def]
    return exp(-abs(x))


def sigmoid(x):  # type: ignore[no-untyped-def]
    e = exp(-abs(x))
    return e / (1.0 + e) ** 2


def atan(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + (PI * x) ** 2)


def fast_sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + abs(x)) ** 2


def _normal_cdf(x: NDArray, sigma: float) -> NDArray:
    from scipy.special import erf

    return 0.5 * (1.0 + erf(x / (sigma * math.sqrt(2.0))))


def _double_gaussian_primitive(x: NDArray) -> NDArray:
    return SCALE * ((1 + HEIGHT) * _normal_cdf(x, WIDTH) - 2 * HEIGHT * _normal_cdf(x, LOBE_WIDTH))


def _multi_gaussian_primitive(x: NDArray) -> NDArray:
    lobes = _normal_cdf(x - WIDTH, LOBE_WIDTH) + _normal_cdf(x + WIDTH, LOBE_WIDTH)
    return SCALE * ((1 + HEIGHT) * _normal_cdf(x, WIDTH) - HEIGHT * lobes)


def _linear_primitive(x: NDArray) -> NDArray:
    clipped = np.clip(x, -1.0, 1.0)
    return 0.5 + clipped - 0.5 * clipped * np.abs(clipped)


def _exponential_primitive(x: NDArray) -> NDArray:
    return np.where(x > 0, 2.0 - np.exp(-np.abs(x)), np.exp(-np.abs(x)))


def _sigmoid_primitive(x: NDArray) -> NDArray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _atan_primitive(x: NDArray) -> NDArray:
    return np.arctan(PI * x) / PI + 0.5


def _fast_sigmoid_primitive(x: NDArray) -> NDArray:
    return x / (1.0 + np.abs(x))


@dataclass(frozen=True)
class Surrogate:
    """One surrogate gradient.

    Attributes:
        name: registry name.
        derivative: dz/dx, scalar function of x, in the operations of :mod:`brfkit.neurons.ops`.
        primitive: a function whose derivative is ``derivative`` (NumPy only; used for proofs, never for running).
        formula: the same for people.
        base, slope: of a surrogate that is made steeper: dz/dx = slope f(slope x), f the derivative of the base.
    """

    name: str
    derivative: Callable[[Any], Any]
    primitive: Callable[[NDArray], NDArray]
    formula: str
    base: Surrogate | None = None
    slope: float = 1.0

    def steeper(self, slope: float) -> Surrogate:
        """This surrogate with its derivative as high and as narrow again by a factor, so that its integral stays.

        Raises:
            BrfkitError: a factor that is not a positive number.
        """
        if not (math.isfinite(slope) and slope > 0.0):
            raise BrfkitError(f"the slope of surrogate {self.name} must be a positive number, not {slope:g}")
        return Surrogate(
            f"{self.name}:{slope:g}",
            lambda x: slope * self.derivative(slope * x),
            lambda x: self.primitive(slope * x),
            f"k f(k x), f(x) = {self.formula}, k = {slope:g}",
            self,
            slope,
        )


SURROGATES = {
    s.name: s
    for s in (
        Surrogate(
            "double_gaussian",
            double_gaussian,
            _double_gaussian_primitive,
            "0.5 [1.15 N(x; 0, 0.5) - 0.3 N(x; 0, 3)]",
        ),
        Surrogate(
            "multi_gaussian",
            multi_gaussian,
            _multi_gaussian_primitive,
            "0.5 [1.15 N(x; 0, 0.5) - 0.15 N(x; 0.5, 3) - 0.15 N(x; -0.5, 3)]",
        ),
        Surrogate("gaussian", gaussian, lambda x: _normal_cdf(x, 1.0), "N(x; 0, 1)"),
        Surrogate("linear", linear, _linear_primitive, "max(0, 1 - |x|)"),
        Surrogate("exponential", exponential, _exponential_primitive, "exp(-|x|)"),
        Surrogate("sigmoid", sigmoid, _sigmoid_primitive, "exp(-|x|) / (1 + exp(-|x|))²"),
        Surrogate("atan", atan, _atan_primitive, "1 / (1 + (π x)²)"),
        Surrogate("fast_sigmoid", fast_sigmoid, _fast_sigmoid_primitive, "1 / (1 + |x|)²"),
    )
}


def get_surrogate(name: str) -> Surrogate:
    """The surrogate of that name, or of ``name:slope``, such as ``atan:2`` (:meth:`Surrogate.steeper`).

    Raises:
        BrfkitError: an unknown name, or a slope that is not a positive number.
    """
    if name in SURROGATES:
        return SURROGATES[name]
    base, _, slope = name.partition(":")
    if base not in SURROGATES:
        raise BrfkitError(f"unknown surrogate {name!r}; there are {', '.join(SURROGATES)}, each also with :SLOPE")
    return _steeper(SURROGATES[base], slope)


@lru_cache(maxsize=64)
def _steeper(base: Surrogate, slope: str) -> Surrogate:
    try:
        return base.steeper(float(slope))
    except ValueError:
        raise BrfkitError(f"the slope of surrogate {base.name} must be a positive number, not {slope!r}") from None


def register_surrogate(surrogate: Surrogate, *, overwrite: bool = False) -> Surrogate:
    """Add a custom surrogate gradient under its name.

    A name that is taken is refused unless ``overwrite`` is true; networks and layers of that name then use the new one
    from their next call on.
    """
    if surrogate.name in SURROGATES and not overwrite:
        raise BrfkitError(f"there is a surrogate {surrogate.name!r} already; overwrite=True replaces it")
    SURROGATES[surrogate.name] = surrogate
    return surrogate
