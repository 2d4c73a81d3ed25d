"""``brfkit evaluate``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.options import common, computing, data_dir, print_json, print_table
from brfkit.cli.progress import progress


@click.command()
@click.argument("checkpoint", type=click.Path())
@click.option("--dataset", help="Data set, or a file.  [default: the one that the run was trained on]")
@click.option("--neuron", help="For a published file: which neuron it holds (brf, rf, bhrf).")
@click.option("--permutation", type=click.Path(dir_okay=False), help="psmnist: order of the pixels (.npy).")
@click.option("--limit-test", type=click.IntRange(1), help="Take the first N test samples.")
@click.option("--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Samples at a time.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@data_dir
@computing
@common
def command(checkpoint: str, as_json: bool, seed: int, **options: Any) -> None:
    """Accuracy, loss and spikes of a trained network on the test set.

    CHECKPOINT is a run folder, a checkpoint of this project, or a .pt file of the published implementation.

    \b
    brfkit evaluate runs/ecg
    brfkit evaluate ecg_brf.pt --dataset ecg --neuron brf
    """
    from brfkit.api import evaluate

    with progress("evaluating", "samples") as advance:
        result = evaluate(checkpoint, progress=advance, seed=seed, **options)
    if as_json:
        print_json(result)
    else:
        print_table(f"{result['neuron']} on {result['dataset']}", result)
