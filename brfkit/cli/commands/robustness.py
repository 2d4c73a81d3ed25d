"""``brfkit robustness``."""

from __future__ import annotations

import math
from typing import Any

import click

from brfkit.cli.checks import PICTURES, suffix
from brfkit.cli.options import common, computing, data_dir, print_json, style
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


@click.command()
@click.argument("checkpoint", type=click.Path())
@click.option("--perturbation", type=click.Choice(NAMES), required=True, help="What is done to the network.")
@click.option("--levels", metavar="A,B,…", callback=_levels, help="How strongly.  [default: as in the paper]")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Evaluations per level.")
@click.option("--samples", type=click.IntRange(1), help="Take the first N test samples.")
@click.option("--dataset", help="Data set, or a file.  [default: the one that the run was trained on]")
@click.option("--neuron", help="For a published file: which neuron it holds (brf, rf, bhrf).")
@click.option("--permutation", type=click.Path(dir_okay=False), help="psmnist: order of the pixels (.npy).")
@click.option("--batch-size", type=click.IntRange(1), default=500, show_default=True, help="Samples at a time.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), callback=suffix((".csv",)),
              help="One line per evaluation: .csv.")  # fmt: skip
@click.option("--plot", type=click.Path(dir_okay=False), callback=suffix(PICTURES), multiple=False,
              help="Draw them: .png, .svg or .pdf.")  # fmt: skip
@style()
@click.option("--force", is_flag=True, help="Overwrite --out and --plot.")
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
    from brfkit.io.atomic import atomic_path, check_writable

    for file in (out, plot):
        if file is not None:
            check_writable(file, force)

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
        _report(result, [file for file in (out, plot) if file is not None])


def _report(result: Any, files: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{result.perturbation.name}, {result.neuron} on {result.samples:,} samples of {result.dataset}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("level", "accuracy %", "± std", "loss", "spikes per sample"):
        table.add_column(name, justify="right")
    columns = (result.levels, result.mean("accuracy"), result.std("accuracy"), result.mean("loss"),
               result.mean("spikes_per_sample"))  # fmt: skip
    for level, accuracy, std, loss, spikes in zip(*columns, strict=True):
        table.add_row(f"{level:g}", f"{accuracy:.2f}", f"{std:.2f}", f"{loss:.4g}", f"{spikes:,.1f}")
    console = Console()
    console.print(table)
    click.echo(f"level: {result.perturbation.level}; {result.seconds:.1f} s")
    if files:
        click.echo(f"written: {', '.join(files)}")
