"""``brfkit evaluate``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import suffix
from brfkit.cli.command import OUTPUT, cli_command, given, note_unused_folder, option
from brfkit.cli.display import note
from brfkit.cli.options import (
    common,
    computing,
    data_dir,
    dtype,
    output,
    print_json,
    print_table,
    print_written,
    split,
    trained_network,
)
from brfkit.cli.progress import progress

SHOWN_CLASSES = 40


@cli_command()
@trained_network
@split()
@option("--limit-test", type=click.IntRange(1), help="Take the first N samples of the split.")
@option("--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Samples at a time.")
@option("--predictions", type=click.Path(), metavar="FILE", callback=suffix((".csv",)), panel=OUTPUT,
        help="Write true and predicted class and the probabilities of every sample: .csv.")  # fmt: skip
@output(more=("predictions",))
@dtype("float32")
@data_dir
@computing
@common
@click.pass_context
def command(ctx: click.Context, checkpoint: str, as_json: bool, seed: int, **options: Any) -> None:
    """Accuracy, loss and spikes of a trained network on the test set.

    Also the accuracy's 95 % interval (bootstrapped over samples), balanced accuracy, macro F1 and the recall of each
    class; --json has the confusion matrix, too.

    CHECKPOINT is a run folder, a checkpoint of this project, or a .pt file of the published implementation.

    \b
    brfkit evaluate runs/ecg
    brfkit evaluate runs/ecg --split train
    brfkit evaluate runs/ecg --predictions predictions.csv
    brfkit evaluate ecg_brf.pt --dataset ecg --neuron brf
    """
    from brfkit.analysis.network.evaluate import evaluate

    with progress("evaluating", "samples") as advance:
        result = evaluate(checkpoint, progress=advance, seed=seed, **options)
    if options["dataset"] is None:
        note_unused_folder(ctx, result.dataset)
    if given(ctx, "seed") and not _permuted(result.dataset):
        note("--seed has no effect: it draws the permutation of psmnist, and nothing else here is random")
    if as_json:
        print_json(result.to_dict())
        return
    found, values = result.classification, result.figures()
    low, high = found.interval
    values["95 % interval of the accuracy"] = f"{low:.2f} to {high:.2f}"
    values |= {"balanced accuracy": found.balanced_accuracy, "macro F1": found.macro_f1}
    if len(found.class_names) <= SHOWN_CLASSES:
        recalls = zip(found.class_names, found.recall.tolist(), strict=True)
        values |= {f"recall of {name}": recall for name, recall in recalls}
    print_table(f"{result.neuron} on {result.dataset}", values)
    print_written([options["predictions"]] if options["predictions"] else [])


def _permuted(dataset: str) -> bool:
    from brfkit.data import dataset_names, dataset_spec

    return dataset in dataset_names() and dataset_spec(dataset).permuted
