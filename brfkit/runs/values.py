"""Plain values of TOML and JSON made into those that the configuration declares."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.network import MATRICES, Layer
from brfkit.neurons import Constant, Init, Normal, Uniform
from brfkit.runs.layers import LayerConfig
from brfkit.runs.settings import Declared, declared, short


def suggest(name: str, known: Mapping[str, Any]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def section_values(section: str, kind: type, values: Mapping[str, Any]) -> Any:
    """A section from its keys and values; an unknown key is an error that suggests the nearest."""
    fields = declared(section, kind)
    out: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise BrfkitError(f"unknown key {section}.{short_key(key)} in the configuration{suggest(key, fields)}")
        out[key] = _value(fields[key], value)
    for key, one in fields.items():
        if one.required and key not in out:
            raise BrfkitError(f"{section}.{short_key(key)} is missing")
    return kind(**out)


def short_key(key: str) -> str:
    return key if len(key) <= 60 else f"{key[:57]}…"


def _value(field: Declared, value: Any) -> Any:
    """A value of the kind that the field declares; TOML and JSON give fewer kinds than Python has."""
    key = field.key
    if value is None and field.optional:
        return None
    if field.kind == "Mapping":
        read = {"init": _init, "constants": _finite, "density": _share}.get(field.name, _switch)
        if field.name == "density" and not isinstance(value, Mapping):
            return dict.fromkeys(MATRICES, _share(key, value))
        return {name: read(f"{key}.{name}", v) for name, v in _mapping(key, value).items()}
    if field.kind == LayerConfig.__name__:
        return _layers(key, value)
    if field.several:
        return tuple(_checked(key, field.kind, one) for one in _listed(field.kind, value))
    return _checked(key, field.kind, value)


def _layers(key: str, value: Any) -> tuple[LayerConfig, ...]:
    """A list of tables, or of layers made in Python."""
    if not isinstance(value, list | tuple):
        raise BrfkitError(f"{key} must be a list of tables, in TOML [[{key}]], not {short(value)}")
    found = []
    for number, one in enumerate(value):
        where = f"{key}[{number}]"
        if isinstance(one, LayerConfig | Layer):
            found.append(one if isinstance(one, LayerConfig) else LayerConfig.of(one))
            continue
        if not isinstance(one, Mapping):
            raise BrfkitError(f"{where} must be a table of settings, not {short(one)}")
        found.append(section_values(where, LayerConfig, one))
    return tuple(found)


def _listed(kind: str, value: Any) -> Any:
    """Several values, written as a list, as one value, or with commas in a text."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.strip("[]() ").split(",")]
        value = [part for part in parts if part]
    if not isinstance(value, list | tuple):
        return [value]
    return [int(one) if kind == "int" and _is_digits(one) else one for one in value]


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal() and len(value) < 20


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BrfkitError(f"{key} must hold names and values")
    return value


def _switch(key: str, value: Any) -> bool:
    return bool(_checked(key, "bool", value))


_KINDS: dict[str, tuple[type, str]] = {
    "int": (int, "an integer"), "float": (float, "a number"), "str": (str, "text"), "bool": (bool, "true or false"),
}  # fmt: skip


def _checked(key: str, kind: str, value: Any) -> Any:
    wanted, words = _KINDS[kind]
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise BrfkitError(f"{key} must be a number that float64 can hold, not {short(value)}") from None
    if not isinstance(value, wanted) or (kind != "bool" and isinstance(value, bool)):
        raise BrfkitError(f"{key} must be {words}, not {short(value)}")
    if isinstance(value, str) and "\0" in value:
        raise BrfkitError(f"{key} must not hold a NUL character: {short(value)}")
    return value


def _init(key: str, value: Any) -> Init:
    if isinstance(value, Uniform | Normal | Constant):
        return value
    if isinstance(value, str):  # ["uniform", 1, 2] without its quotes, or uniform,1,2
        value = [_number(part.strip().strip("'\"")) for part in value.strip("[]() ").split(",")]
    if isinstance(value, list | tuple) and len(value) == 2 and value[0] == "constant":
        return Constant(_finite(key, value[1]))
    if isinstance(value, list | tuple) and len(value) == 3 and value[0] in ("uniform", "normal"):
        first, second = (_finite(key, v) for v in value[1:])
        if value[0] == "normal":
            if second < 0:
                raise BrfkitError(f"{key}: the standard deviation must be at least 0, not {second:g}")
            return Normal(first, second)
        if first > second:
            raise BrfkitError(f"{key}: the lower end {first:g} is above the upper end {second:g}")
        return Uniform(first, second)
    raise BrfkitError(
        f'{key} must look like ["uniform", low, high], ["normal", mean, std] or ["constant", value], not {short(value)}'
    )


def _finite(key: str, value: Any) -> float:
    number = float(_checked(key, "float", value))
    if not math.isfinite(number):
        raise BrfkitError(f"{key} must be finite, not {number}")
    return number


def _share(key: str, value: Any) -> float:
    if key.count(".") and key.rpartition(".")[0].endswith("density") and key.rpartition(".")[2] not in MATRICES:
        raise BrfkitError(f"{key}: density is of {' and '.join(MATRICES)}")
    share = _finite(key, value)
    if not 0.0 < share <= 1.0:
        raise BrfkitError(f"{key} must be above 0 and at most 1, not {share:g}")
    return share


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def init_values(init: Init) -> list[Any]:
    """An initial distribution as plain values; configurations are read with such."""
    if isinstance(init, Uniform):
        return ["uniform", init.low, init.high]
    if isinstance(init, Constant):
        return ["constant", init.value]
    return ["normal", init.mean, init.std]
