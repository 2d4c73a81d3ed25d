"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from brfkit.cli.checks import PICTURES, integer, suffix
from brfkit.cli.command import COMPUTING, DATA, GENERAL, OUTPUT, option
from brfkit.cli.display import console, say
from brfkit.cli.parameters import CheckpointPath, DatasetName, NeuronName
from brfkit.io.text import visible
from brfkit.neurons import NEURONS

F = TypeVar("F", bound=Callable[..., Any])

# Parts that can be switched off, and what their neurons are then without.
PARTS = {
    part.name: f"{', '.join(n.name.upper() for n in NEURONS.values() if part in n.options)} without {part.without}."
    for neuron in NEURONS.values()
    for part in neuron.options
}
DTYPES = ("float32", "float64")
BACKENDS = ("auto", "numba", "cupy", "torch", "reference")


class _SafeFormatter(logging.Formatter):
    """Writes out what a terminal would act upon: messages hold names from files."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


def common(function: F) -> F:
    """``--json`` and ``--debug``, and the log on stderr."""

    def set_up(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        handler = logging.StreamHandler()
        handler.setFormatter(_SafeFormatter("%(levelname)s: %(message)s"))
        logging.basicConfig(level=logging.DEBUG if value else logging.WARNING, handlers=[handler])
        for noisy in ("numba", "matplotlib", "h5py", "PIL"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        return value

    debug = option("--debug", is_flag=True, expose_value=False, callback=set_up, panel=GENERAL, help="Show tracebacks.")
    as_json = option("--json", "as_json", is_flag=True, panel=OUTPUT, help="Print exactly one JSON object.")
    return as_json(debug(function))


def computing(function: F) -> F:
    """``--backend``, ``--threads`` and ``--seed``."""
    return _computing("")(function)


def computing_without_chance(function: F) -> F:
    """:func:`computing` of a command that draws nothing at random."""
    return _computing("nothing in this command is random")(function)


def _computing(no_chance: str) -> Callable[[F], F]:
    backend = option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        panel=COMPUTING,
        help="Compute backend; auto: cupy where a CUDA device works, else numba.",
    )
    threads = option("--threads", type=click.IntRange(1), panel=COMPUTING, help="CPU threads.  [default: all]")
    seed = option(
        "--seed", type=click.IntRange(0), callback=integer, default=0, show_default=True, panel=COMPUTING,
        idle=no_chance, help="Seed of all random numbers.",
    )  # fmt: skip
    return lambda function: backend(threads(seed(function)))


def dtype(default: str | None, text: str = "Precision of the computation.") -> Callable[[F], F]:
    """``--dtype``."""
    return option(
        "--dtype", type=click.Choice(DTYPES), default=default, show_default=default is not None, panel=COMPUTING,
        help=text,
    )  # fmt: skip


def data_dir(function: F) -> F:
    """``--data-dir``."""
    return option(
        "--data-dir",
        type=click.Path(),
        metavar="FOLDER",
        envvar="BRFKIT_DATA_DIR",
        show_envvar=True,
        panel=DATA,
        help="Folder of the data sets.  [default: the user's cache folder]",
    )(function)


def dataset(function: F) -> F:
    """``--dataset`` of a command on a trained network."""
    return option(
        "--dataset", type=DatasetName(), panel=DATA,
        help="Data set, or a file.  [default: the one that the run was trained on]",
    )(function)  # fmt: skip


def permutation(function: F) -> F:
    """``--permutation``."""
    return option("--permutation", type=click.Path(), metavar="FILE", panel=DATA,
                  help="psmnist: order of the pixels (.npy or .pt).")(function)  # fmt: skip


def split(choices: tuple[str, ...] = ("test", "train")) -> Callable[[F], F]:
    """``--split``."""
    return option("--split", type=click.Choice(choices), default="test", show_default=True, panel=DATA,
                  help="Which samples.")  # fmt: skip


def trained_network(function: F) -> F:
    """CHECKPOINT, ``--dataset``, ``--neuron`` and ``--permutation``: one trained network and its data."""
    neuron = option("--neuron", type=NeuronName(), panel=DATA,
                    help="Neuron of a published file (brf, rf, bhrf), or the file of a custom neuron.")  # fmt: skip
    return click.argument("checkpoint", type=CheckpointPath())(dataset(neuron(permutation(function))))


def output(
    *, out: Sequence[str] = (), out_help: str = "", plot: bool = False, more: Sequence[str] = ()
) -> Callable[[F], F]:
    """``--out``, ``--plot`` with ``--style``, and ``--force``: what a command writes.

    Args:
        out: endings of ``--out``; none: the command has no such option, or one of its own, named in `more`.
        out_help: what it holds.
        plot: whether there is ``--plot``.
        more: further parameters that name files.
    """
    names = [*(["out"] if out else []), *(["plot"] if plot else []), *more]

    def decorate(function: F) -> F:
        flags = [f"--{name}" for name in names]
        listed = " and ".join(filter(None, (", ".join(flags[:-1]), flags[-1])))
        function = option("--force", is_flag=True, needs=names, panel=OUTPUT, help=f"Overwrite {listed}.")(function)
        if plot:
            function = style()(function)
            function = option("--plot", type=click.Path(), metavar="FILE", callback=suffix(PICTURES), panel=OUTPUT,
                              help="Draw the result: .png, .svg or .pdf.")(function)  # fmt: skip
        if out:
            endings = " or ".join(filter(None, (", ".join(out[:-1]), out[-1])))
            function = option("--out", type=click.Path(), metavar="FILE", callback=suffix(out), panel=OUTPUT,
                              help=f"{out_help or 'Write all numbers'}: {endings}.")(function)  # fmt: skip
        return function

    return decorate


def check_outputs(force: bool, *files: str | None) -> list[str]:
    """The files that are asked for, each of which can be written; for asking before long work."""
    from brfkit.io.atomic import check_writable

    wanted = [file for file in files if file is not None]
    for file in wanted:
        check_writable(file, force)
    return wanted


def style(needs: str | None = "plot") -> Callable[[F], F]:
    """``--style``: how the pictures of the command are drawn.

    Args:
        needs: name of the option that asks for a picture; None where there is always one.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def styled(*arguments: Any, style: str, **options: Any) -> Any:
            from brfkit.plotting.style import use_style

            with use_style(style):
                return function(*arguments, **options)

        return option(
            "--style",
            type=click.Choice(("screen", "paper")),
            default="screen",
            show_default=True,
            needs=() if needs is None else (needs,),
            panel=OUTPUT,
            help="Of pictures; paper: one column of a page, 8 pt, no title.",
        )(styled)

    return decorate


def discretisation(function: F) -> F:
    """``--discretisation``."""
    return option(
        "--discretisation",
        metavar="euler|symplectic|exact",
        help="How RF and BRF go from step to step.  [default: euler, as published]",
    )(function)


def part_flags(panel: str | None = None) -> Callable[[F], F]:
    """A flag for every part of a neuron that can be switched off, such as ``--no-refractory``."""

    def decorate(function: F) -> F:
        for name, what in reversed(PARTS.items()):
            flag = f"--no-{name.replace('_', '-')}"
            function = option(flag, is_flag=True, panel=panel, help=what)(function)
        return function

    return decorate


def parts(function: F) -> F:
    """:func:`part_flags` and ``--discretisation``."""
    return part_flags()(discretisation(function))


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
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, number(value))
    console().print(table)


def print_written(files: Sequence[str]) -> None:
    """Names of the files that a command has written."""
    if files:
        say(f"written: {', '.join(map(str, files))}")


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
