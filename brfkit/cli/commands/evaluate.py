"""``brfkit evaluate``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import cli_command, option
from brfkit.cli.options import common, computing, data_dir, dtype, print_json, print_table, split, trained_network
from brfkit.cli.progress import progress


@cli_command()
@trained_network
@split()
@option("--limit-test", type=click.IntRange(1), help="Take the first N samples of the split.")
@option("--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Samples at a time.")
@dtype("float32")
@data_dir
@computing
@common
def command(checkpoint: str, as_json: bool, seed: int, **options: Any) -> None:
    """Accuracy, loss and spikes of a trained network on the test set.

    CHECKPOINT is a run folder, a checkpoint of this project, or a .pt file of the published implementation.

    \b
    brfkit evaluate runs/ecg
    brfkit evaluate runs/ecg --split train
    brfkit evaluate ecg_brf.pt --dataset ecg --neuron brf
    """
    from brfkit.analysis.network.evaluate import evaluate

    with progress("evaluating", "samples") as advance:
        result = evaluate(checkpoint, progress=advance, seed=seed, **options).to_dict()
    if as_json:
        print_json(result)
    else:
        print_table(f"{result['neuron']} on {result['dataset']}", result)
