"""The settings of ``brfkit train`` as options, made from the fields of the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from brfkit.cli.checks import finite
from brfkit.cli.command import option
from brfkit.cli.parameters import CheckpointPath, DatasetName, NeuronName
from brfkit.runs.config import TOPICS, Config
from brfkit.runs.settings import Declared, declared

F = TypeVar("F", bound=Callable[..., Any])

_NAMES: dict[str, click.ParamType] = {
    "data.dataset": DatasetName(), "network.neuron": NeuronName(lstm=True), "network.start_from": CheckpointPath(),
}  # fmt: skip
_SAME_EVERYWHERE = ("data.dataset", "data.validation", "data.validation_fraction", "network.neuron", "training.dtype")


def training_settings() -> Iterator[Declared]:
    """The fields that have an option, by topic."""
    default = Config()
    found = [
        one
        for section in dataclasses.fields(Config)
        for one in declared(section.name, type(getattr(default, section.name))).values()
        if one.option is not None
    ]
    for topic in TOPICS:
        yield from (one for one in found if one.setting is not None and one.setting.topic == topic)


def setting_options(function: F) -> F:
    """An option for each of :func:`training_settings`; unset ones are None, flags False."""
    for one in reversed(list(training_settings())):
        function = _option(one)(function)
    return function


def given_settings(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections with the settings that the options gave."""
    sections: dict[str, dict[str, Any]] = {}
    for one in training_settings():
        value = options[_parameter(one)]
        if value is None or (one.kind == "bool" and not value):
            continue
        sections.setdefault(one.section, {})[one.name] = not one.default if one.kind == "bool" else value
    return sections


def _parameter(one: Declared) -> str:
    return f"{one.section}__{one.name}"


def _option(one: Declared) -> Callable[[F], F]:
    setting, flag = one.setting, one.option
    assert setting is not None
    assert flag is not None
    names = (flag, _parameter(one))
    if one.kind == "bool":
        return option(*names, is_flag=True, help=setting.help, panel=setting.topic)
    how: dict[str, Any] = {"help": _help(one), "panel": setting.topic, "metavar": setting.metavar}
    if one.several:
        how |= {"callback": _several(one)}
    elif one.key in _NAMES:
        how |= {"type": _NAMES[one.key], "callback": _absolute if setting.path else None}
    elif setting.choices:
        how |= {"type": click.Choice(setting.choices)}
    elif setting.path:
        how |= {"type": click.Path(), "callback": _absolute}
    elif one.kind == "int":
        how |= {"type": click.IntRange(_bound(setting.low), _bound(setting.high))}
    elif one.kind == "float":
        bounds = click.FloatRange(setting.low, setting.high, setting.low_open, setting.high_open)
        how |= {"type": bounds, "callback": finite}
    return option(*names, **how)


def _bound(value: float | None) -> int | None:
    return None if value is None else int(value)


def _help(one: Declared) -> str:
    """The sentence of the setting, with the default where no preset has another."""
    assert one.setting is not None
    if one.key not in _SAME_EVERYWHERE or "[default:" in one.setting.help:
        return one.setting.help
    return f"{one.setting.help}  [default: {one.default}]"


def _several(one: Declared) -> Callable[[click.Context, click.Parameter, str | None], list[Any] | None]:
    def split(ctx: click.Context, param: click.Parameter, value: str | None) -> list[Any] | None:
        if value is None:
            return None
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if one.kind != "int":
            return parts
        if not parts or not all(part.isdecimal() and 0 < int(part) < 2**31 for part in parts):
            raise click.BadParameter(f"{value!r} is not a size such as 256, or sizes such as 128,128")
        return [int(part) for part in parts]

    return split


def _absolute(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A path that still leads there when the configuration is used from another folder."""
    return None if value is None else str(Path(value).resolve())
