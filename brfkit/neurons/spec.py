"""What a neuron is: data and two plain functions, from which every backend is derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError


@dataclass(frozen=True)
class Uniform:
    """Initial values drawn from U(low, high)."""

    low: float
    high: float

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        return rng.uniform(self.low, self.high, size)

    def __str__(self) -> str:
        return f"U({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Normal:
    """Initial values drawn from N(mean, std²)."""

    mean: float
    std: float

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        return rng.normal(self.mean, self.std, size)

    def __str__(self) -> str:
        return f"N({self.mean:g}, {self.std:g}²)"


Init = Uniform | Normal


@dataclass(frozen=True)
class Parameter:
    """A trained number per neuron.

    Attributes:
        name: name in code, configuration and checkpoints.
        symbol: symbol in the equations.
        unit: unit in terms of the time unit of δ.
        default: value of a single simulated neuron.
        init: distribution at the start of training.
        doc: one line.
    """

    name: str
    symbol: str
    unit: str
    default: float
    init: Init
    doc: str


@dataclass(frozen=True)
class Option:
    """A part of a neuron that can be switched off (for ablations)."""

    name: str
    doc: str
    default: bool = True


@dataclass(frozen=True, eq=False)
class Neuron:
    """One neuron model, written once.

    ``derive(*parameters, *constants, *options)`` runs once per sequence and returns what the time step needs.
    ``step(x, *states, *derived, *constants, *options)`` returns ``(output, *next_states)``: output is the spike z
    (0/1) of a spiking neuron and a membrane value of a non-spiking one; x is the input current I_t. Arguments are
    matched by name. Both use only assignments of ``+ - * / **2 abs sqrt exp minimum maximum spike`` and a final
    ``return`` (see :mod:`brfkit.codegen.program`).

    Attributes:
        name, title, doc, source: for people; ``source`` cites paper and equation.
        states: symbols of the state variables, all 0 at the start.
        parameters: trained parameters.
        constants: fixed numbers by name (δ is always there as ``dt``).
        options: parts that can be switched off.
        surrogate: name of the default surrogate gradient; None for a neuron without spikes.
        equations: the model in the notation of the papers, one line each.
    """

    name: str
    title: str
    doc: str
    source: str
    states: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    derive: Callable[..., tuple[Any, ...]]
    step: Callable[..., tuple[Any, ...]]
    equations: tuple[str, ...]
    constants: Mapping[str, float] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    surrogate: str | None = "double_gaussian"

    @property
    def spiking(self) -> bool:
        return self.surrogate is not None

    def parameter(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        known = ", ".join(p.name for p in self.parameters)
        raise BrfkitError(f"neuron {self.name} has no parameter {name!r}; it has {known}")

    def resolve_options(self, chosen: Mapping[str, bool]) -> dict[str, bool]:
        """All options with their values; a name that this neuron does not have is refused."""
        known = {option.name: option.default for option in self.options}
        for name in chosen:
            if name not in known:
                have = ", ".join(known) or "none"
                raise BrfkitError(f"neuron {self.name} has no option {name!r} (it has {have})")
        return known | {name: bool(value) for name, value in chosen.items()}

    def resolve_constants(self, dt: float, chosen: Mapping[str, float]) -> dict[str, float]:
        """δ and all constants with their values; a name that this neuron does not have is refused."""
        if not (np.isfinite(dt) and dt > 0):
            raise BrfkitError(f"the time step dt must be a positive number, not {dt!r}")
        for name, value in chosen.items():
            if name not in self.constants:
                have = ", ".join(self.constants) or "none"
                raise BrfkitError(f"neuron {self.name} has no constant {name!r} (it has {have})")
            if not np.isfinite(value):
                raise BrfkitError(f"constant {name} of neuron {self.name} must be finite, not {value!r}")
        return {"dt": float(dt), **self.constants, **{k: float(v) for k, v in chosen.items()}}
