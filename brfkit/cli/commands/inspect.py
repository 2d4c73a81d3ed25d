"""``brfkit inspect``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brfkit.cli.command import OUTPUT, cli_command, option
from brfkit.cli.display import console, note, say
from brfkit.cli.options import (
    common,
    computing,
    data_dir,
    dtype,
    number,
    output,
    print_json,
    split,
    style,
    trained_network,
)

if TYPE_CHECKING:
    from brfkit.trained import TrainedNetwork

FORMATS = ("png", "svg", "pdf")


def _samples(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in value.split(",") if part.strip())
        if any(n < 0 for n in numbers):
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of sample numbers such as 0,5,7") from None
    return numbers


@cli_command()
@trained_network
@option("--samples", type=click.IntRange(1), default=1000, show_default=True, help="Take the first N samples.")
@split()
@option("--show", metavar="A,B,…", callback=_samples, default="0,1", show_default=True, needs=("out",),
        help="Samples whose spikes and states are drawn.")  # fmt: skip
@dtype("float32")
@option("--out", type=click.Path(), metavar="FOLDER", panel=OUTPUT,
        help="Folder for pictures, CSV and JSON; made if missing.")  # fmt: skip
@option("--format", "suffix", type=click.Choice(FORMATS), multiple=True, needs=("out",), panel=OUTPUT,
        help="Of the pictures; may be given more than once.  [default: png; paper: pdf]")  # fmt: skip
@style("out")
@output(more=("out",))
@data_dir
@computing
@common
def command(checkpoint: str, as_json: bool, show: tuple[int, ...], out: str | None, suffix: tuple[str, ...],
            force: bool, **options: Any) -> None:  # fmt: skip
    """Parameters, weights, activity and errors of a trained network.

    Parameters and the frequencies that they stand for, weights, activity of neurons by class, dead and saturated
    neurons, spectrum of the data beside the learned ω, confusions, and single samples.

    \b
    brfkit inspect runs/ecg --out inspection
    brfkit inspect smnist_brf.pt --dataset smnist --neuron brf --out inspection --show 0,3 --format png --format pdf
    """
    from brfkit.analysis.network.inspect.inspection import inspect
    from brfkit.cli.progress import progress
    from brfkit.setups import load_data
    from brfkit.trained import as_network

    folder = None if out is None else _folder(out, force)
    network, samples = as_network(checkpoint, options.pop("neuron")), {}
    if folder is not None and show:  # samples of the whole split: loaded once, for them and for the inspection
        places = {name: options[name] for name in ("split", "permutation", "data_dir", "seed")}
        network = replace(network, task=network.trained_on(options["dataset"])[1])
        options["dataset"] = load_data(network, options["dataset"], **places)
        options["permutation"] = None
        samples = _of_samples(network, _there(show, len(options["dataset"].split(options["split"]))), options)
    with progress("running", "samples") as advance:
        found = inspect(network, progress=advance, **options)
    written = [] if folder is None else _write(folder, found, samples, tuple(dict.fromkeys(suffix)) or _usual(), force)
    if as_json:
        print_json({**found.to_dict(), "out": out, "files": written})
    else:
        _report(found, out, written)


def _there(show: tuple[int, ...], samples: int) -> tuple[int, ...]:
    """The samples to be drawn; by default those that are there."""
    context = click.get_current_context()
    found = tuple(number for number in show if number < samples)
    if found == show or context.get_parameter_source("show") is not click.core.ParameterSource.DEFAULT:
        return show
    count = "is only 1 sample" if samples == 1 else f"are only {samples:,} samples"
    note(f"there {count}; drawn: {', '.join(map(str, found))}")
    return found


def _usual() -> tuple[str, ...]:
    from brfkit.plotting.style import is_paper

    return ("pdf",) if is_paper() else ("png",)


def _folder(out: str, force: bool) -> Path:
    from brfkit.errors import BrfkitError

    folder = Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not force and any(folder.iterdir()):
            raise BrfkitError(f"{out} is not empty; --force overwrites what is in it")
    except OSError as error:
        raise BrfkitError(f"{out} cannot be used: {error.strerror}") from error
    return folder


def _write(
    folder: Path, found: Any, samples: dict[str, Callable[[], Any]], suffixes: tuple[str, ...], force: bool
) -> list[str]:
    """Numbers and pictures; returns the names of the files."""
    from brfkit.analysis.network.inspect.files import write_numbers
    from brfkit.io.atomic import atomic_path
    from brfkit.plotting.inspect import figures

    written = write_numbers(folder, found, force)
    for name, draw in {**figures(found), **samples}.items():
        picture = draw()
        for suffix in suffixes:
            with atomic_path(folder / f"{name}.{suffix}", force) as path:
                picture.savefig(path)
            written.append(f"{name}.{suffix}")
    return written


def _of_samples(
    network: TrainedNetwork, show: tuple[int, ...], options: dict[str, Any]
) -> dict[str, Callable[[], Any]]:
    """Pictures of single samples: spikes, states, outputs; where every step has a label, these over the signal."""
    from brfkit.analysis.network.simulate import simulate_network
    from brfkit.backends import capabilities
    from brfkit.plotting.inspect_data import labels_figure
    from brfkit.plotting.network_trace import network_figure

    names = ("dataset", "split", "dtype", "backend", "threads")
    settings = {name: options[name] for name in names}
    if options["dtype"] not in capabilities(options["backend"]).dtypes:
        settings["dtype"] = None
    runs = [simulate_network(network, sample=number, **settings) for number in show]
    found: dict[str, Callable[[], Any]] = {f"sample-{run.sample}": partial(network_figure, run) for run in runs}
    if runs and not isinstance(runs[0].label, int):
        found["labels"] = partial(labels_figure, runs)
    return found


def _report(found: Any, out: str | None, written: list[str]) -> None:
    from rich.table import Table

    summary = found.to_dict()
    title = f"{found.name}: {found.neuron} on {found.samples:,} {found.split} samples of {found.dataset}"
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name in ("accuracy", "loss", "spikes_per_sample", "parameters"):
        table.add_row(name, number(summary[name]))
    for name, layer in summary["layers"].items():
        for key, value in layer.items():
            table.add_row(f"{name} {key}", _cell(value))
    for name, figures in summary["weights"].items():
        table.add_row(name, "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    console().print(table)
    if out is not None:
        say(f"written to {out}: {', '.join(written)}")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {figure:.4g}" for key, figure in value.items())
    if isinstance(value, list):
        some = ", ".join(map(str, value[:12])) + (" …" if len(value) > 12 else "")
        return f"{len(value)}: {some}" if value else "none"
    return number(value)
