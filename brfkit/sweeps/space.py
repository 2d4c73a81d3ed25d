"""The space of a study: which settings vary, and over what.

A dimension is a setting's full name with ``{ low, high }`` (and ``log``, ``step``), or a list of choices. Below
``network.init`` a single number of an initial distribution can vary: ``network.init.omega.low``, ``.high``, ``.width``
(high - low), ``.mean``, ``.std`` or ``.value``. Constants are numbers, too: ``network.constants.gamma``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from brfkit.errors import BrfkitError
from brfkit.neurons import get_neuron
from brfkit.runs.config import Config, is_lstm
from brfkit.runs.values import init_values

Value = bool | int | float | str
_NUMBERS = {"low", "high", "log", "step", "when"}
_CHOICES = {"choices", "when"}
_INIT = "network.init."
_CONSTANT = "network.constants."
_DISTRIBUTIONS = {
    "low": "uniform", "high": "uniform", "width": "uniform", "mean": "normal", "std": "normal", "value": "constant",
}  # fmt: skip


class Suggests(Protocol):
    """What a dimension needs of an Optuna trial."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Any: ...


@dataclass(frozen=True)
class Dimension:
    """One setting that varies.

    Attributes:
        key: full name of the setting, such as ``training.learning_rate``.
        low, high: bounds, both included; None where there are choices.
        log: whether to draw the logarithm uniformly.
        step: distance of neighbouring values; None is continuous, for integers 1.
        integer: whether the setting is a whole number.
        choices: the values of a setting that is no range; a list in the study file is one choice.
        when: the dimension exists only where these settings have these values.
    """

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    integer: bool = False
    choices: tuple[Any, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, trial: Suggests) -> Any:
        """The value that a trial takes."""
        if self.low is None or self.high is None:
            names = [_choice_name(choice) for choice in self.choices]
            return self.choices[names.index(trial.suggest_categorical(self.key, names))]
        if self.integer:
            return trial.suggest_int(self.key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def grid(self) -> list[Any]:
        """All values, as Optuna knows them, for a grid."""
        if self.low is None or self.high is None:
            return [_choice_name(choice) for choice in self.choices]
        step = self.step or (1.0 if self.integer else None)
        if step is None or self.log:
            raise BrfkitError(f"space.{self.key}: a grid needs a list of choices, or low, high and step without log")
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + index * step for index in range(count)]
        return [int(v) for v in values] if self.integer else values

    def probes(self) -> list[Any]:
        """Values whose configurations are built before the study starts, so that a wrong space is found at once."""
        if self.low is None or self.high is None:
            return list(self.choices)
        return [int(self.low), int(self.high)] if self.integer else [self.low, self.high]


def _choice_name(value: Any) -> Value:
    """A choice as Optuna can store it: lists and tables as text."""
    return value if isinstance(value, bool | int | float | str) else repr(value)


def parse_space(table: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """The dimensions of the ``[space]`` table; keys may be nested tables or dotted names in quotes.

    Raises:
        BrfkitError: an unknown setting or key, bounds that make no range, a condition on an unknown setting.
    """
    dimensions = tuple(_dimension(key, value) for key, value in _leaves(table, ""))
    if not dimensions:
        raise BrfkitError("[space] is empty; it names at least one setting that varies")
    names = [d.key for d in dimensions]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise BrfkitError(f"[space] names {', '.join(sorted(repeated))} twice")
    # Conditions are decided by values that are there already.
    return tuple(sorted(dimensions, key=lambda d: bool(d.when)))


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        nested = isinstance(value, Mapping) and not any(
            k in value and not isinstance(value[k], Mapping) for k in ("low", "high", "choices")
        )
        if nested:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _dimension(key: str, value: Any) -> Dimension:
    where = f"space.{key}"
    kind = _kind(key)
    if isinstance(value, list):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise BrfkitError(f"{where} must be a list of choices or {{ low = …, high = … }}, not {value!r}")
    allowed = _CHOICES if "choices" in value else _NUMBERS
    for name in value.keys() - allowed:
        raise BrfkitError(f"{where} has no key {name!r}; there are {', '.join(sorted(allowed))}")
    when = value.get("when", {})
    if not isinstance(when, Mapping):
        raise BrfkitError(f"{where}.when must be a table of settings and values")
    for condition in when:
        _kind(str(condition))
    if "choices" in value:
        choices = value["choices"]
        if not isinstance(choices, list) or not choices:
            raise BrfkitError(f"{where}.choices must be a list of at least one value")
        if len({_choice_name(c) for c in choices}) != len(choices):
            raise BrfkitError(f"{where}.choices has a value twice")
        return Dimension(key, choices=tuple(choices), when=when)
    return _range(key, where, value, kind, when)


def _range(key: str, where: str, value: Mapping[str, Any], kind: str, when: Mapping[str, Any]) -> Dimension:
    numbers = {}
    for name in ("low", "high", "step"):
        number = value.get(name)
        if number is None and name == "step":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise BrfkitError(f"{where}.{name} must be a finite number, not {number!r}")
        numbers[name] = number
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise BrfkitError(f"{where}.log must be true or false, not {log!r}")
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    if kind not in ("int", "float"):
        raise BrfkitError(f"{where}: {key} is not a number; give a list of choices")
    if kind == "int" and any(number != int(number) for number in numbers.values()):
        raise BrfkitError(f"{where}: {key} is a whole number, its bounds are not")
    if low >= high:
        raise BrfkitError(f"{where}: low must be below high, but {low:g} is not below {high:g}")
    if log and low <= 0:
        raise BrfkitError(f"{where}: log needs a low above 0, not {low:g}")
    if step is not None and (step <= 0 or log):
        raise BrfkitError(f"{where}: step must be above 0 and does not go with log")
    return Dimension(key, float(low), float(high), log, step, kind == "int", (), when)


def _kind(key: str) -> str:
    """Kind of a setting: ``int``, ``float``, ``str``, ``bool`` or ``other``; an unknown one is refused."""
    if key.startswith(_INIT):
        return "float" if _number_of_distribution(key) else "other"
    if key.startswith(_CONSTANT) and "." not in key.removeprefix(_CONSTANT):
        return "float"
    section, _, name = key.partition(".")
    sections = {f.name: type(getattr(Config(), f.name)) for f in dataclasses.fields(Config)}
    if section not in sections:
        raise BrfkitError(f"{key}: unknown section {section!r}; there are {', '.join(sections)}")
    fields = {f.name: str(f.type).split(" | ")[0] for f in dataclasses.fields(sections[section])}
    if name.split(".")[0] not in fields:
        raise BrfkitError(f"{key}: section {section} has no setting {name!r}; there are {', '.join(fields)}")
    kind = fields.get(name, "other")
    return kind if kind in ("int", "float", "str", "bool") else "other"


def _number_of_distribution(key: str) -> tuple[str, str] | None:
    """Parameter and number that a key below ``network.init`` names; None for a whole distribution and other keys."""
    parameter, _, part = key.removeprefix(_INIT).rpartition(".")
    return (parameter, part) if key.startswith(_INIT) and parameter and part in _DISTRIBUTIONS else None


def settings_of(values: Mapping[str, Any], base: Config) -> dict[str, Any]:
    """Sections of settings, as a configuration takes them, from the values of a trial by full name.

    Args:
        values: of the dimensions.
        base: the configuration that they are put over; what a trial leaves open of an initial distribution is its.
    """
    sections: dict[str, Any] = {}
    numbers: dict[str, dict[str, float]] = {}
    for key, value in values.items():
        found = _number_of_distribution(key)
        if found is not None:
            numbers.setdefault(found[0], {})[found[1]] = value
            continue
        section, *names = key.split(".", 2)
        inner = sections.setdefault(section, {})
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = value
    for parameter, parts in numbers.items():
        sections.setdefault("network", {}).setdefault("init", {})[parameter] = _distribution(parameter, parts, base)
    return sections


def _distribution(parameter: str, parts: Mapping[str, float], base: Config) -> list[Any]:
    kinds = {_DISTRIBUTIONS[part] for part in parts}
    if len(kinds) > 1:
        raise BrfkitError(f"{_INIT}{parameter}: {', '.join(sorted(parts))} do not belong to one distribution")
    kind = kinds.pop()
    given = {**_base_distribution(parameter, kind, base), **parts}
    if "width" in parts and "low" in given:
        given["high"] = given["low"] + parts["width"]
    needed = {"uniform": ("low", "high"), "normal": ("mean", "std"), "constant": ("value",)}[kind]
    missing = [name for name in needed if name not in given]
    if missing:
        raise BrfkitError(f"{_INIT}{parameter}.{missing[0]} is neither in [space] nor in the base configuration")
    return [kind, *(given[name] for name in needed)]


def _base_distribution(parameter: str, kind: str, base: Config) -> dict[str, float]:
    """The numbers of the distribution that holds without the study, where it is of this kind."""
    init = base.network.init.get(parameter)
    if init is None and not is_lstm(base):
        own = {p.name: p.init for p in get_neuron(base.network.neuron).parameters}
        init = own.get(parameter)
    if init is None:
        return {}
    found, *numbers = init_values(init)
    names = {"uniform": ("low", "high"), "normal": ("mean", "std"), "constant": ("value",)}[found]
    return dict(zip(names, numbers, strict=True)) if found == kind else {}


def suggest(dimensions: Sequence[Dimension], trial: Suggests, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all dimensions that exist in a trial, by full name; ``fixed`` are the settings that do not vary."""
    values: dict[str, Any] = {}
    for dimension in dimensions:
        have = {**fixed, **values}
        if all(have.get(key) == value for key, value in dimension.when.items()):
            values[dimension.key] = dimension.suggest(trial)
    return values


def grid_size(dimensions: Sequence[Dimension]) -> int:
    """Number of points of the whole grid."""
    return len(list(itertools.product(*(d.grid() for d in dimensions))))
