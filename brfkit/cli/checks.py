"""Checks of option values that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

PICTURES = (".png", ".svg", ".pdf")


def suffix(allowed: Sequence[str]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Callback that refuses file names with another ending; options that may be repeated give tuples."""

    def check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        for file in value if isinstance(value, tuple) else (value,):
            if file is not None and Path(file).suffix not in allowed:
                raise click.BadParameter(f"{file!r} must end in {', '.join(allowed)}")
        return value

    return check


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Callback that refuses inf and NaN."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not finite")
    return value


def integer(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Callback that refuses integers of more than 63 bits, which random generators do not take."""
    if value is not None and not -(2**63) <= value < 2**63:
        raise click.BadParameter("it has more than 63 bits")
    return value


def values(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Callback for a number, a list or a range, left as text."""
    if value is not None:
        from brfkit.simulation.values import parse_values

        try:
            parse_values(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no number, list such as 5,10,20 or range such as 5:50") from None
    return value


def interval(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Callback for LOW:HIGH."""
    if value is None:
        return None
    low, colon, high = value.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(low), float(high)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a range such as 0.1:100") from None


def settings(given: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE texts by name."""
    found = {}
    for setting in given:
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise click.UsageError(f"--set {setting!r} is not of the form NAME=VALUE.")
        found[name] = text
    return found


def refuse_twice(ctx: click.Context, texts: tuple[str, ...], varied: str | None = None) -> None:
    """Refuse a name that is given twice: by its option, by ``--set NAME=VALUE``, or by ``--vary`` (`varied`)."""
    names = [text.partition("=")[0].replace("-", "_") for text in texts] + ([varied] if varied else [])
    for name in names:
        own = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if names.count(name) + own > 1:
            raise click.UsageError(f"{name} is given twice.", ctx)


def constant(name: str, text: str) -> float:
    """The number that --set gives to a constant."""
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--set {name} is a constant and takes one number, not {text!r}.") from None
