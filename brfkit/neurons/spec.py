"""What a neuron is: data and two plain functions, from which every backend is derived."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
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

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> NDArray[np.float64]:
        return rng.uniform(self.low, self.high, size)

    def __str__(self) -> str:
        return f"U({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Normal:
    """Initial values drawn from N(mean, std²)."""

    mean: float
    std: float

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> NDArray[np.float64]:
        return rng.normal(self.mean, self.std, size)

    def __str__(self) -> str:
        return f"N({self.mean:g}, {self.std:g}²)"


@dataclass(frozen=True)
class Constant:
    """The same initial value for every neuron."""

    value: float

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> NDArray[np.float64]:
        return np.full(size, self.value)

    def __str__(self) -> str:
        return f"{self.value:g}"


Init = Uniform | Normal | Constant
OptionValue = bool | str
DISCRETISATION = "discretisation"
TRAIN = "train_"  # an option of this name and a constant's trains the constant


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
    """A part of a neuron that can be switched off (for ablations).

    Attributes:
        name: in code and configuration; the command line has ``--no-<name>``.
        doc: one line.
        without: what a neuron lacks where the part is off, for the flag's help.
        default: whether it is on.
    """

    name: str
    doc: str
    without: str = ""
    default: bool = True


@dataclass(frozen=True)
class ThresholdTerm:
    """What is added to θ in the comparison that makes the spike, for pictures of the threshold.

    Attributes:
        state: symbol of the state that is added.
        factor: name of the constant by which it is multiplied; None for 1.
        before: whether the state before the step is meant, not the one after it.
        option: part of the neuron without which it is not added; None always adds it.
    """

    state: str
    factor: str | None = None
    before: bool = False
    option: str | None = None


@dataclass(frozen=True)
class Trainable:
    """A constant that can be trained, one value per neuron, from the constant's value on.

    Attributes:
        name: of the constant.
        symbol, unit, doc: as for :class:`Parameter`.
        constrain: function of the trained value whose result ``step`` gets; keeps it in its valid range.
    """

    name: str
    symbol: str
    unit: str
    doc: str
    constrain: Callable[[Any], Any]

    def parameter(self, value: float) -> Parameter:
        """The trained parameter that begins at ``value``."""
        return Parameter(self.name, self.symbol, self.unit, value, Constant(value), self.doc)


@dataclass(frozen=True)
class Discretisation:
    """A time discretisation of a neuron's differential equation.

    Attributes:
        doc: one line.
        functions: functions that ``derive`` and ``step`` take as arguments, by name.
        equations: what of the neuron's equations is other than written there.
        limit: δω from which on no damping b is stable.
        bound: δω at which ``derive`` clips ω; None where it does not.
    """

    doc: str
    functions: Mapping[str, Callable[..., Any]]
    equations: tuple[str, ...] = ()
    limit: float = 1.0
    bound: float | None = None


@dataclass(frozen=True, eq=False)
class Neuron:
    """One neuron model, written once.

    ``derive(*parameters, *constants, *options, *functions)`` runs once per sequence and returns what the time step
    needs. ``step(x, *states, *derived, *constants, *options, *functions)`` returns ``(output, *next_states)``: output
    is the spike z (0/1) of a spiking neuron and a membrane value of a non-spiking one; x is the input current I_t.
    Arguments are matched by name. Both use only assignments of ``+ - * / **2 abs sqrt exp expm1 sin cos minimum
    maximum spike`` and calls of functions of that kind, and a final ``return`` (see :mod:`brfkit.codegen.parser`).
    Derived values that ``step`` does not read with the options chosen are left out.

    Attributes:
        name, title, doc, source: for people; ``source`` cites paper and equation.
        states: symbols of the state variables, all 0 at the start.
        parameters: trained parameters.
        constants: fixed numbers by name (δ is always there as ``dt``).
        options: parts that can be switched off.
        discretisations: time discretisations by name, the first is the default; empty where there is one only.
        trainable: constants that can be trained.
        surrogate: name of the default surrogate gradient; None for a neuron without spikes.
        equations: the model in the notation of the papers, one line each.
        membrane: symbol of the state that is compared with the threshold, and shown where one is shown.
        threshold_terms: what raises the threshold above θ.
        memoryless: values of the parameters at which a leaky integrator follows its input within one step; empty for
            neurons that cannot.
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
    discretisations: Mapping[str, Discretisation] = field(default_factory=dict)
    trainable: tuple[Trainable, ...] = ()
    surrogate: str | None = "double_gaussian"
    membrane: str = "u"
    threshold_terms: tuple[ThresholdTerm, ...] = ()
    memoryless: Mapping[str, float] = field(default_factory=dict)

    @property
    def spiking(self) -> bool:
        return self.surrogate is not None

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name, or the constant that can be one."""
        for parameter in (*self.parameters, *(one.parameter(self.constants[one.name]) for one in self.trainable)):
            if parameter.name == name:
                return parameter
        raise self.no_parameter(name)

    def no_parameter(self, name: str) -> BrfkitError:
        known = ", ".join(p.name for p in self.parameters)
        return BrfkitError(f"neuron {self.name} has no parameter {name!r}; it has {known}")

    def resolve_options(self, chosen: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
        """All options with their values; a name or value that this neuron does not have is refused.

        Beside the parts, which are on or off, ``discretisation`` names the discretisation where there are several, and
        ``train_<constant>`` says whether a constant is trained.
        """
        known: dict[str, OptionValue] = {option.name: option.default for option in self.options}
        if self.discretisations:
            known[DISCRETISATION] = next(iter(self.discretisations))
        known |= {TRAIN + one.name: False for one in self.trainable}
        for name, value in chosen.items():
            if name == DISCRETISATION:
                self._check_discretisation(value)
            elif name.startswith(TRAIN):
                self.trainable_options([name.removeprefix(TRAIN)])
            elif name not in known:
                have = ", ".join(option.name for option in self.options) or "none"
                raise BrfkitError(f"neuron {self.name} has no option {name!r} (it has {have})")
            if name != DISCRETISATION and isinstance(value, str):
                raise BrfkitError(f"option {name} of neuron {self.name} is on or off, not {value!r}")
        return known | {n: v if n == DISCRETISATION else bool(v) for n, v in chosen.items()}

    def _check_discretisation(self, name: object) -> None:
        if not self.discretisations:
            raise BrfkitError(f"neuron {self.name} has one discretisation only, so there is none to choose")
        if not isinstance(name, str) or name not in self.discretisations:
            raise BrfkitError(
                f"neuron {self.name} has no discretisation {name!r}; {nearest(str(name), self.discretisations)}"
            )

    def discretisation(self, options: Mapping[str, OptionValue]) -> Discretisation | None:
        """The discretisation that these options select; None where there is one only."""
        name = self.resolve_options(options).get(DISCRETISATION)
        return None if name is None else self.discretisations[str(name)]

    def trainable_options(self, names: Iterable[str]) -> dict[str, OptionValue]:
        """Options that train these constants; a constant that cannot be trained is refused."""
        known = [one.name for one in self.trainable]
        options: dict[str, OptionValue] = {}
        for name in names:
            if name not in known:
                hint = nearest(name, known) if known else "none of its constants can"
                raise BrfkitError(f"neuron {self.name} has no constant {name!r} that can be trained; {hint}")
            options[TRAIN + name] = True
        return options

    def trained(
        self, options: Mapping[str, OptionValue], constants: Mapping[str, float] | None = None
    ) -> tuple[Parameter, ...]:
        """The trained parameters with these options; a constant that is trained begins at its value."""
        values = {**self.constants, **(constants or {})}
        chosen = [one for one in self.trainable if options.get(TRAIN + one.name)]
        return self.parameters + tuple(one.parameter(values[one.name]) for one in chosen)

    def variant_label(self, options: Mapping[str, OptionValue]) -> str:
        """Name of the neuron with its discretisation and trained constants where they differ from the default."""
        scheme = options.get(DISCRETISATION)
        trained = [f"{one.name} trained" for one in self.trainable if options.get(TRAIN + one.name)]
        return ", ".join([self.name, *([] if scheme is None else [str(scheme)]), *trained])

    def largest_omega(self, options: Mapping[str, OptionValue], dt: float) -> float:
        """The ω at which this neuron clips larger values; infinite where it does not clip."""
        chosen = self.discretisation(options)
        return math.inf if chosen is None or chosen.bound is None else chosen.bound / dt

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


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message says after an unknown name: the nearest one, and all there are."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"there are {', '.join(names)}"
