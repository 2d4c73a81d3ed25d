"""``brfkit gradients``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import DATA, cli_command, option
from brfkit.cli.display import console, say
from brfkit.cli.options import (
    check_outputs,
    common,
    computing,
    data_dir,
    dataset,
    dtype,
    limit_threads,
    output,
    permutation,
    print_json,
    print_written,
    split,
)
from brfkit.cli.parameters import CheckpointPath, NeuronName


@cli_command()
@click.argument("checkpoints", metavar="CHECKPOINT…", type=CheckpointPath(), nargs=-1, required=True)
@dataset
@option("--neuron", "neurons", type=NeuronName(), multiple=True, panel=DATA,
        help="For published files: which neuron it holds; once, or once for each checkpoint.")  # fmt: skip
@option("--samples", type=click.IntRange(1), default=16, show_default=True, help="Take the first N samples.")
@split()
@option("--points", type=click.IntRange(2), default=200, show_default=True, help="Moments that are kept.")
@option("--check", is_flag=True, help="Compare with autograd (torch backend) on the first sample.")
@permutation
@dtype("float64")
@output(out=(".csv",), plot=True)
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
    """Gradient norm at every time step of the backward pass.

    Norm of ∂L/∂state over time, eigenvalues of the neurons' transition matrices along a trajectory, gradient norms of
    all weights and the part of them that passed through W_rec. Several checkpoints are drawn into one picture.

    \b
    brfkit gradients runs/ecg-brf runs/ecg-rf runs/ecg-alif --plot gradients.png --out gradients.csv
    brfkit gradients ecg_brf.pt ecg_alif.pt --neuron brf --neuron alif --dataset ecg --check
    """
    if len(neurons) not in (0, 1, len(checkpoints)):
        raise click.UsageError(f"--neuron is given {len(neurons)} times for {len(checkpoints)} checkpoints.")
    from brfkit.analysis.network.gradients.profile import gradients, write_gradients
    from brfkit.cli.progress import progress
    from brfkit.io.atomic import atomic_path

    written = check_outputs(force, out, plot)
    limit_threads(options["threads"])
    kinds = neurons if len(neurons) == len(checkpoints) else (neurons or (None,)) * len(checkpoints)
    flows = []
    with progress("differentiating", "passes") as advance:
        for number, (checkpoint, kind) in enumerate(zip(checkpoints, kinds, strict=True)):

            def shifted(done: int, total: int, number: int = number) -> None:
                advance(number * total + done, len(checkpoints) * total)

            flows.append(gradients(checkpoint, neuron=kind, progress=shifted, **options))
    if out is not None:
        write_gradients(out, flows, force)
    if plot is not None:
        from brfkit.plotting.gradients import gradients_figure

        with atomic_path(plot, force) as path:
            gradients_figure(flows).savefig(path)
    if as_json:
        print_json({"checkpoints": [flow.to_dict() for flow in flows], "out": out, "plot": plot})
    else:
        _report(flows)
        print_written(written)


def _report(flows: list[Any]) -> None:
    from rich.table import Table

    table = Table(title="Gradients over time", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in (
        "checkpoint",
        "layer",
        "loss",
        "‖∂L/∂s‖ first",
        "last",
        "decades / 1000 steps",
        "vanished %",
        "exploded %",
    ):
        table.add_column(name, justify="left" if name in ("checkpoint", "layer", "loss") else "right")
    for flow in flows:
        for loss, by_layer in flow.to_dict()["gradient"].items():
            for layer, figures in by_layer.items():
                shares = [f"{100 * figures[k]:.1f}" if k in figures else "" for k in ("lost_share", "exploded_share")]
                table.add_row(
                    flow.name, layer, loss,
                    f"{figures['norm_first']:.3g}", f"{figures['norm_last']:.3g}",
                    f"{figures['decades_per_1000_steps']:+.2f}", *shares,
                )  # fmt: skip
    console().print(table)
    for flow in flows:
        if flow.autograd_difference is not None:
            say(f"{flow.name}: {flow.autograd_difference:.1e} of the largest gradient from autograd")
