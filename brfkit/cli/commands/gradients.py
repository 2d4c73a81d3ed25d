"""``brfkit gradients``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import PICTURES, suffix
from brfkit.cli.options import common, computing, data_dir, limit_threads, print_json, style


@click.command()
@click.argument("checkpoints", metavar="CHECKPOINT…", type=click.Path(), nargs=-1, required=True)
@click.option("--dataset", help="Data set, or a file.  [default: the one that the run was trained on]")
@click.option("--neuron", "neurons", multiple=True, metavar="NAME",
              help="For published files: which neuron it holds; once, or once for each checkpoint.")  # fmt: skip
@click.option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Take the first N samples.")
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--points", type=click.IntRange(2), default=200, show_default=True, help="Moments that are kept.")
@click.option("--check", is_flag=True, help="Compare with autograd (torch backend) on the first sample.")
@click.option("--permutation", type=click.Path(dir_okay=False), help="psmnist: order of the pixels (.npy).")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False), callback=suffix((".csv",)), help="All numbers: .csv.")
@click.option("--plot", type=click.Path(dir_okay=False), callback=suffix(PICTURES),
              help="Draw them: .png, .svg or .pdf.")  # fmt: skip
@style()
@click.option("--force", is_flag=True, help="Overwrite --out and --plot.")
@data_dir
@computing
@common
def command(
    checkpoints: tuple[str, ...],
    neurons: tuple[str, ...],
    as_json: bool,
    out: str | None,
    plot: str | None,
    force: bool,
    **options: Any,
) -> None:
    """How gradient magnitude travels back through time.

    Norm of ∂L/∂state over time, eigenvalues of the neurons' transition matrices along a trajectory, gradient norms of
    all weights and the part of them that passed through W_rec. Several checkpoints are drawn into one picture.

    \b
    brfkit gradients runs/ecg-brf runs/ecg-rf runs/ecg-alif --plot gradients.png --out gradients.csv
    brfkit gradients ecg_brf.pt ecg_alif.pt --neuron brf --neuron alif --dataset ecg --check
    """
    if len(neurons) not in (0, 1, len(checkpoints)):
        raise click.UsageError(f"--neuron is given {len(neurons)} times for {len(checkpoints)} checkpoints.")
    from brfkit.analysis.network.gradients.profile import gradient_flow, write_gradients
    from brfkit.cli.progress import progress
    from brfkit.io.atomic import atomic_path, check_writable

    for file in (out, plot):
        if file is not None:
            check_writable(file, force)
    limit_threads(options["threads"])
    kinds = neurons if len(neurons) == len(checkpoints) else (neurons or (None,)) * len(checkpoints)
    flows = []
    with progress("differentiating", "passes") as advance:
        for number, (checkpoint, kind) in enumerate(zip(checkpoints, kinds, strict=True)):

            def shifted(done: int, total: int, number: int = number) -> None:
                advance(number * total + done, len(checkpoints) * total)

            flows.append(gradient_flow(checkpoint, neuron=kind, progress=shifted, **options))
    if out is not None:
        write_gradients(out, flows, force)
    if plot is not None:
        from brfkit.plotting.gradients import gradients_figure

        with atomic_path(plot, force) as path:
            gradients_figure(flows).savefig(path)
    if as_json:
        print_json({"checkpoints": [flow.to_dict() for flow in flows], "out": out, "plot": plot})
    else:
        _report(flows, [file for file in (out, plot) if file is not None])


def _report(flows: list[Any], files: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Gradients back through time", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in (
        "checkpoint",
        "layer",
        "loss",
        "‖∂L/∂s‖ first",
        "last",
        "decades / 1000 steps",
        "lost %",
        "exploded %",
    ):
        table.add_column(name, justify="left" if name in ("checkpoint", "layer", "loss") else "right")
    for flow in flows:
        for loss, by_layer in flow.to_dict()["gradient"].items():
            for layer, figures in by_layer.items():
                shares = [f"{100 * figures[k]:.1f}" if k in figures else "" for k in ("lost_share", "exploded_share")]
                table.add_row(
                    flow.name, layer, loss, f"{figures['norm_first']:.3g}", f"{figures['norm_last']:.3g}",
                    f"{figures['decades_per_1000_steps']:+.2f}", *shares,
                )  # fmt: skip
    console = Console()
    console.print(table)
    for flow in flows:
        if flow.autograd_difference is not None:
            click.echo(f"{flow.name}: {flow.autograd_difference:.1e} of the largest gradient from autograd")
    if files:
        click.echo(f"written: {', '.join(files)}")
