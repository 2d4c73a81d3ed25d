"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# Parts of BRF that can be switched off, and what the neuron is then without.
PARTS = {"refractory": "the refractory threshold", "smooth_reset": "the smooth reset", "divergence_boundary": "p(ω)"}
BACKENDS = ("auto", "numba", "cupy", "torch", "reference")


def common(function: F) -> F:
    """``--json`` and ``--debug``, and the log on stderr."""

    def set_up(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        logging.basicConfig(level=logging.DEBUG if value else logging.WARNING, format="%(levelname)s: %(message)s")
        for noisy in ("numba", "matplotlib", "h5py", "PIL"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        return value

    debug = click.option("--debug", is_flag=True, expose_value=False, callback=set_up, help="Show tracebacks.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
    return as_json(debug(function))


def computing(function: F) -> F:
    """``--backend``, ``--threads`` and ``--seed``."""
    backend = click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="Who computes; auto: cupy where a CUDA device works, else numba.",
    )
    threads = click.option(
        "--threads", type=click.IntRange(1), default=None, help="CPU threads.  [default: all processors]"
    )
    seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Makes a run repeatable.")
    return backend(threads(seed(function)))


def data_dir(function: F) -> F:
    """``--data-dir``."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False),
        envvar="BRFKIT_DATA_DIR",
        show_envvar=True,
        help="Folder of the data sets.  [default: the user's cache folder]",
    )(function)


def style(needs: str | None = "plot") -> Callable[[F], F]:
    """``--style``: how the pictures of the command are drawn.

    Args:
        needs: name of the option that asks for a picture; None where there is always one.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def styled(*arguments: Any, style: str, **options: Any) -> Any:
            from brfkit.plotting.style import use_style

            source = click.get_current_context().get_parameter_source("style")
            if source is click.core.ParameterSource.COMMANDLINE and needs is not None and not options[needs]:
                raise click.UsageError(f"--style has no effect without --{needs}.")
            with use_style(style):
                return function(*arguments, **options)

        return click.option(
            "--style",
            type=click.Choice(("screen", "paper")),
            default="screen",
            show_default=True,
            help="Of pictures; paper: one column of a page, 8 pt, no title.",
        )(styled)  # type: ignore[return-value]

    return decorate


def discretisation(function: F) -> F:
    """``--discretisation``."""
    return click.option(
        "--discretisation",
        metavar="euler|symplectic|exact",
        help="How RF and BRF go from step to step.  [default: euler, as published]",
    )(function)


def parts(function: F) -> F:
    """``--no-refractory``, ``--no-smooth-reset``, ``--no-divergence-boundary`` and ``--discretisation``."""
    function = discretisation(function)
    for name, what in reversed(PARTS.items()):
        function = click.option(f"--no-{name.replace('_', '-')}", is_flag=True, help=f"BRF without {what}.")(function)
    return function


def chosen_parts(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a neuron that :func:`parts` have set."""
    found: dict[str, Any] = {part: False for part in PARTS if options[f"no_{part}"]}
    if options["discretisation"] is not None:
        found["discretisation"] = options["discretisation"]
    return found


def limit_threads(threads: int | None) -> None:
    """Bound the threads of torch too, where it is used."""
    if threads is not None:
        import torch

        from brfkit.backends.threads import processors

        torch.set_num_threads(min(threads, processors()))  # more gain nothing, and OpenMP starts them all


def plain(value: Any) -> Any:
    """A value as JSON knows it: what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(values: Mapping[str, Any]) -> None:
    click.echo(json.dumps(plain(values)))


def print_table(title: str, rows: Mapping[str, Any]) -> None:
    """A two-column table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for key, value in rows.items():
        table.add_row(key, number(value))
    Console().print(table)


def number(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "no"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
