"""``brfkit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from brfkit.cli.options import common, computing, data_dir, limit_threads, print_json, print_table
from brfkit.cli.progress import TrainingProgress


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        sizes = [int(part) for part in value.split(",")]
    except ValueError:
        sizes = [0]
    if min(sizes) < 1:
        raise click.BadParameter(f"{value!r} is not a size such as 256, or sizes such as 128,128")
    return sizes


@click.command()
@click.option("--dataset", help="ecg, smnist, psmnist, shd, …, tones (embedded), or a file.  [default: tones]")
@click.option("--neuron", help="Hidden neurons; `brfkit neurons` lists them.  [default: brf]")
@click.option("--hidden", callback=_sizes, metavar="N[,N…]", help="Units of the hidden layers.")
@click.option("--epochs", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--lr", "learning_rate", type=click.FloatRange(0, min_open=True), help="Learning rate at the start.")
@click.option("--optimizer", help="adam, radam, rmsprop, adamw, nadam, adamax, sgd or adagrad.")
@click.option("--schedule", help="linear, cosine or constant learning rate.")
@click.option("--weight-decay", type=click.FloatRange(0))
@click.option("--clip-norm", type=click.FloatRange(0, min_open=True), help="Bound on the norm of the gradient.")
@click.option("--tbptt", type=click.IntRange(1), help="Truncate BPTT to windows of so many steps.")
@click.option("--patience", type=click.IntRange(1), help="Stop after so many epochs without a better validation loss.")
@click.option("--validation-fraction", type=click.FloatRange(0, 1, max_open=True))
@click.option("--validation", type=click.Choice(["random", "speakers"]), help="What is kept for validation.")
@click.option("--binning", type=click.Choice(["full", "paper"]), help="Event data: keep every spike, or as published.")
@click.option("--bin-width", type=click.FloatRange(0, min_open=True), help="Event data: length of a step (s).")
@click.option("--bins", type=click.IntRange(1), help="Event data: number of steps.")
@click.option("--test-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Own file: test part.")
@click.option("--limit-train", type=click.IntRange(1), help="Take the first N training samples.")
@click.option("--limit-test", type=click.IntRange(1), help="Take the first N test samples.")
@click.option("--permutation", type=click.Path(dir_okay=False), help="psmnist: order of the pixels (.npy).")
@click.option("--dt", type=click.FloatRange(0, min_open=True), help="Time step δ.")
@click.option("--surrogate", help="Surrogate gradient.")
@click.option("--no-recurrent", is_flag=True, help="No recurrent weights.")
@click.option("--bias", is_flag=True, help="Train a constant current per neuron.")
@click.option("--no-refractory", is_flag=True, help="BRF without the refractory threshold.")
@click.option("--no-smooth-reset", is_flag=True, help="BRF without the smooth reset.")
@click.option("--no-divergence-boundary", is_flag=True, help="BRF without p(ω).")
@click.option("--dtype", type=click.Choice(["float32", "float64"]))
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="Settings as .toml or .json.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any single setting.")
@click.option("--run-dir", type=click.Path(file_okay=False), help="Folder of the run.  [default: runs/…]")
@click.option("--resume", is_flag=True, help="Go on with the run in --run-dir.")
@click.option("--force", is_flag=True, help="Overwrite the run in --run-dir.")
@data_dir
@computing
@common
@click.pass_context
def command(ctx: click.Context, **options: Any) -> None:
    """Train a recurrent spiking network by BPTT.

    What is not set comes from the papers' settings for the data set and neuron. The run folder holds configuration,
    metrics, the best and the last checkpoint, TensorBoard files and a picture; it can be resumed at any moment.

    \b
    brfkit train --dataset tones
    brfkit train --dataset ecg --epochs 50 --run-dir runs/ecg
    brfkit train --dataset ecg --run-dir runs/ecg --resume
    """
    limit_threads(options["threads"])
    from brfkit.backends import get_backend
    from brfkit.errors import BrfkitError
    from brfkit.training.run import train

    if options["resume"] and options["run_dir"] is None:
        raise click.UsageError("--resume needs --run-dir.", ctx)
    seed_given = ctx.get_parameter_source("seed") is not click.core.ParameterSource.DEFAULT
    config = _config(options, seed_given)
    folder = Path(options["run_dir"]) if options["run_dir"] else _new_folder(config)
    backend = get_backend(options["backend"], threads=options["threads"])
    observer = TrainingProgress()
    try:
        result = train(
            config,
            folder,
            backend,
            data_dir=options["data_dir"],
            resume=options["resume"],
            force=options["force"],
            observer=observer,
        )
    finally:
        observer.close()
    if options["as_json"]:
        print_json(result.to_dict())
    else:
        print_table("Training", result.to_dict())
    if result.diverged and result.epochs == 0:
        raise BrfkitError(result.diverged)


def _config(options: dict[str, Any], seed_given: bool) -> Any:
    from brfkit.training.config import merge
    from brfkit.training.resolve import parse_settings, resolve

    stored = Path(options["run_dir"]) / "config.json" if options["resume"] else None
    file = options["config_file"]
    if file is None and stored is not None and stored.exists():
        file = stored
    sections = {
        "data": {
            key: options[key]
            for key in (
                "validation", "validation_fraction", "limit_train", "limit_test", "permutation", "binning",
                "bin_width", "bins", "test_fraction",
            )
        },
        "network": {"hidden": options["hidden"], "dt": options["dt"], "surrogate": options["surrogate"]},
        "training": {
            key: options[key]
            for key in (
                "epochs", "batch_size", "learning_rate", "optimizer", "schedule", "weight_decay", "clip_norm",
                "tbptt", "patience", "dtype",
            )
        },
    }  # fmt: skip
    given = {s: {k: v for k, v in values.items() if v is not None} for s, values in sections.items()}
    switched_off = {
        name: False for name in ("refractory", "smooth_reset", "divergence_boundary") if options[f"no_{name}"]
    }
    if switched_off:
        given["network"]["options"] = switched_off
    if options["no_recurrent"]:
        given["network"]["recurrent"] = False
    if options["bias"]:
        given["network"]["bias"] = True
    if seed_given:
        given["training"]["seed"] = options["seed"]
    overrides = merge(given, parse_settings(options["settings"]))
    return resolve(options["dataset"], options["neuron"], file=file, overrides=overrides)


def _new_folder(config: Any) -> Path:
    """A folder under ``runs/`` that does not exist yet."""
    stem = f"{Path(config.data.dataset).stem}-{config.network.neuron}-seed{config.training.seed}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder
