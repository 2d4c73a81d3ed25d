"""``brfkit robustness``."""

from __future__ import annotations

import math
from typing import Any

import click

from brfkit.cli.command import cli_command, option
from brfkit.cli.options import (
    check_outputs,
    common,
    computing,
    data_dir,
    dtype,
    output,
    print_json,
    print_written,
    say,
    trained_network,
)
from brfkit.cli.progress import progress

NAMES = (
    "input-noise", "spike-deletion", "synaptic-noise", "bit-precision", "missing-channels", "missing-span",
    "time-warping", "weight-quantisation",
)  # fmt: skip


def _levels(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        levels = tuple(float(part) for part in value.split(","))
        if not all(math.isfinite(level) for level in levels):
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0,0.1,0.2") from None
    return levels


@cli_command()
@trained_network
@option("--perturbation", type=click.Choice(NAMES), required=True, help="What is done to the network.")
@option("--levels", metavar="A,B,…", callback=_levels, help="How strongly.  [default: as in the paper]")
@option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Evaluations per level.")
@option("--samples", type=click.IntRange(1), help="Take the first N test samples.")
@option("--batch-size", type=click.IntRange(1), default=500, show_default=True, help="Samples at a time.")
@dtype("float32")
@output(out=(".csv",), out_help="One line per evaluation", plot=True)
@data_dir
@computing
@common
def command(checkpoint: str, as_json: bool, out: str | None, plot: str | None, force: bool, **options: Any) -> None:
    """Accuracy of a trained network that is disturbed more and more.

    Input noise, spike deletion, synaptic noise and bit precision are the tests of the ICML paper; docs/robustness.md
    says what each level means. With --out every finished evaluation is on disk, also after Ctrl-C.

    \b
    brfkit robustness runs/ecg --perturbation spike-deletion --out deletion.csv --plot deletion.png
    brfkit robustness smnist_brf.pt --dataset smnist --neuron brf --perturbation input-noise --levels 0,0.1,0.2
    """
    from brfkit.analysis.network.robustness import robustness, write_points
    from brfkit.io.atomic import atomic_path

    written = check_outputs(force, out, plot)

    def finished(points: Any) -> None:
        if out is not None:
            write_points(out, points, force or len(points) > 1)

    with progress("evaluating", "samples") as advance:
        result = robustness(checkpoint, progress=advance, finished=finished, **options)
    if plot is not None:
        from brfkit.plotting.robustness import robustness_figure

        with atomic_path(plot, force) as path:
            robustness_figure(result).savefig(path)
    if as_json:
        print_json({**result.to_dict(), "out": out, "plot": plot})
    else:
        _report(result)
        print_written(written)


def _report(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from brfkit.io.text import markup

    title = f"{result.perturbation.name}, {result.neuron} on {result.samples:,} samples of {result.dataset}"
    table = Table(title=markup(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("level", "accuracy %", "± std", "loss", "spikes per sample"):
        table.add_column(name, justify="right")
    columns = (result.levels, result.mean("accuracy"), result.std("accuracy"), result.mean("loss"),
               result.mean("spikes_per_sample"))  # fmt: skip
    for level, accuracy, std, loss, spikes in zip(*columns, strict=True):
        table.add_row(f"{level:g}", f"{accuracy:.2f}", f"{std:.2f}", f"{loss:.4g}", f"{spikes:,.1f}")
    console = Console()
    console.print(table)
    say(f"level: {result.perturbation.level}; {result.seconds:.1f} s")
