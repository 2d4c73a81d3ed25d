"""``brfkit train``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from brfkit.cli.options import common, computing, data_dir, discretisation, limit_threads, print_json, print_table
from brfkit.cli.progress import TrainingProgress

TERMINATED = 128 + signal.SIGTERM


class _Terminated(KeyboardInterrupt):
    """SIGTERM came; all that Ctrl-C leaves in order is left so, too."""


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


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    from brfkit.errors import BrfkitError
    from brfkit.runs.seeds import parse_seeds

    try:
        return parse_seeds(value)
    except BrfkitError as error:
        raise click.BadParameter(str(error)) from None


def _absolute(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A path that still leads there when the configuration is used from another folder."""
    return None if value is None else str(Path(value).resolve())


@click.command()
@click.option("--dataset", help="ecg, smnist, psmnist, shd, …, tones (embedded), or a file.  [default: tones]")
@click.option("--neuron", help="Hidden neurons; `brfkit neurons` lists them; or lstm, torch's.  [default: brf]")
@click.option("--hidden", callback=_sizes, metavar="N[,N…]", help="Units of the hidden layers.")
@click.option("--epochs", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--accumulate", type=click.IntRange(1), help="Batches to a step of the optimiser.")
@click.option("--lr", "learning_rate", type=click.FloatRange(0, min_open=True), help="Learning rate at the start.")
@click.option("--optimizer", help="adam, radam, rmsprop, adamw, nadam, adamax, sgd or adagrad.")
@click.option("--schedule", help="linear, cosine or constant learning rate.")
@click.option("--warmup-epochs", type=click.IntRange(0), help="Let the learning rate rise over so many epochs.")
@click.option("--weight-decay", type=click.FloatRange(0))
@click.option("--clip-norm", type=click.FloatRange(0, min_open=True), help="Bound on the norm of the gradient.")
@click.option("--input-dropout", type=click.FloatRange(0, 1, max_open=True), help="Share of the input left out.")
@click.option(
    "--spike-dropout", type=click.FloatRange(0, 1, max_open=True), help="Share of the hidden spikes left out."
)
@click.option("--time-stretch", type=click.FloatRange(0, 1), help="Stretch time by up to a factor exp(±X).")
@click.option("--lead-dropout", type=click.FloatRange(0, 1), help="ECG: samples that lose one lead.")
@click.option("--lead-swap", type=click.FloatRange(0, 1), help="ECG: samples whose leads change places.")
@click.option("--average", type=click.FloatRange(0, 1, max_open=True),
              help="Measure and keep the running mean of the weights, with this decay a step.")  # fmt: skip
@click.option("--rate-penalty", type=click.FloatRange(0), help="Price of the firing rate in the loss.")
@click.option("--rate-target", type=click.FloatRange(0, 1, max_open=True), help="Firing rate that is free of it.")
@click.option("--tbptt", type=click.IntRange(1), help="Truncate BPTT to windows of so many steps.")
@click.option("--patience", type=click.IntRange(1), help="Stop after so many epochs without a better validation loss.")
@click.option("--stop-accuracy", type=click.FloatRange(0, 100, min_open=True),
              help="Stop after the first epoch with this validation accuracy (%), and take its network.")  # fmt: skip
@click.option("--validation-fraction", type=click.FloatRange(0, 1, max_open=True))
@click.option("--validation", type=click.Choice(["random", "blocks", "speakers"]),
              help="What is kept for validation: samples, or blocks of neighbours, or speakers.")  # fmt: skip
@click.option("--binning", type=click.Choice(["full", "paper"]), help="Event data: keep every spike, or as published.")
@click.option("--bin-width", type=click.FloatRange(0, min_open=True), help="Event data: length of a step (s).")
@click.option("--bins", type=click.IntRange(1), help="Event data: number of steps.")
@click.option("--test-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Own file: test part.")
@click.option("--limit-train", type=click.IntRange(1), help="Take the first N training samples.")
@click.option("--limit-test", type=click.IntRange(1), help="Take the first N test samples.")
@click.option("--permutation", type=click.Path(dir_okay=False), help="psmnist: order of the pixels (.npy).")
@click.option("--dt", type=click.FloatRange(0, min_open=True), help="Time step δ.")
@click.option("--surrogate", help="Surrogate gradient.")
@click.option("--omega-init", type=click.Choice(["spectrum"]), help="Draw ω from the spectrum of the training inputs.")
@click.option("--start-from", type=click.Path(), metavar="CHECKPOINT", callback=_absolute,
              help="Go on from the weights of a run folder or checkpoint.")  # fmt: skip
@click.option("--no-recurrent", is_flag=True, help="No recurrent weights.")
@click.option("--bias", is_flag=True, help="Train a constant current per neuron.")
@discretisation
@click.option("--trainable", metavar="NAME[,NAME…]", help="Train a constant of BRF and BHRF, too: gamma.")
@click.option("--no-refractory", is_flag=True, help="BRF without the refractory threshold.")
@click.option("--no-smooth-reset", is_flag=True, help="BRF without the smooth reset.")
@click.option("--no-divergence-boundary", is_flag=True, help="BRF without p(ω).")
@click.option("--dtype", type=click.Choice(["float32", "float64"]))
@click.option("--preset", help="Settings by name, in place of the papers' for data set and neuron.")
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="Settings as .toml or .json.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Any single setting.")
@click.option("--seeds", callback=_seeds, metavar="0-4", help="One run per seed, in RUN_DIR/seed-N, and their mean.")
@click.option("--run-dir", type=click.Path(file_okay=False), help="Folder of the run.  [default: runs/…]")
@click.option("--keep-weights", is_flag=True, help="Keep the weights of every epoch, too.")
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
    brfkit train --dataset ecg --seeds 0-4 --run-dir runs/ecg-seeds
    """
    seed_given = ctx.get_parameter_source("seed") is not click.core.ParameterSource.DEFAULT
    if options["resume"] and options["run_dir"] is None:
        raise click.UsageError("--resume needs --run-dir.", ctx)
    if options["seeds"] is not None and seed_given:
        raise click.UsageError("Use either --seed or --seeds.", ctx)
    with _stopping_at_sigterm():
        _train(options, seed_given)


@contextmanager
def _stopping_at_sigterm() -> Iterator[None]:
    """SIGTERM, by which queues end a job, ends the run as Ctrl-C does, with an exit code of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated:
        click.echo("Terminated; --resume goes on after the last finished epoch.", err=True)
        raise click.exceptions.Exit(TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _train(options: dict[str, Any], seed_given: bool) -> None:
    limit_threads(options["threads"])
    from brfkit.errors import BrfkitError
    from brfkit.plotting.curves import learning_curve
    from brfkit.training.distributed import World
    from brfkit.training.run import train

    config = _config(options, seed_given)
    backend = _backend(config, options)
    world = World.from_environment()
    folder = Path(options["run_dir"] or world.share(str(_new_folder(config)) if world.first else None))
    force = options["force"]

    def run_one(settings: Any, run_dir: Path, resume: bool) -> dict[str, Any]:
        observer = TrainingProgress() if world.first else None
        places = {"data_dir": options["data_dir"], "observer": observer, "world": world, "picture": learning_curve}
        try:
            return train(settings, run_dir, backend, resume=resume, force=force, **places).to_dict()
        finally:
            if observer is not None:
                observer.close()

    try:
        if options["seeds"] is not None:
            result = _several(config, folder, options, run_one, world)
        else:
            result = run_one(config, folder, options["resume"])
    finally:
        world.close()
    if not world.first:
        return
    if options["as_json"]:
        print_json(result)
    else:
        print_table("Training", {k: v for k, v in result.items() if not isinstance(v, list)})
    if isinstance(result["diverged"], str) and result["epochs"] == 0:
        raise BrfkitError(result["diverged"])


def _several(config: Any, folder: Path, options: dict[str, Any], run_one: Any, world: Any) -> dict[str, Any]:
    from brfkit.runs.seeds import run_seeds, summarise, write_summary

    seeds = options["seeds"]

    def announced(settings: Any, run_dir: Path, resume: bool) -> dict[str, Any]:
        if world.first:
            click.echo(f"seed {settings.training.seed}: {run_dir}", err=True)
        return run_one(settings, run_dir, resume)

    how = {name: options[name] for name in ("resume", "force")}
    results = run_seeds(config, folder, seeds, announced, check=world.first, **how)
    summary = summarise(folder, seeds, results)
    if world.first:
        write_summary(folder, summary)
    return summary


def _backend(config: Any, options: dict[str, Any]) -> Any:
    from brfkit.backends import get_backend
    from brfkit.errors import BrfkitError
    from brfkit.runs.config import LSTM

    if config.network.neuron != LSTM:
        return get_backend(options["backend"], threads=options["threads"])
    if options["backend"] not in ("auto", "torch"):
        raise BrfkitError(f"backend {options['backend']} has no LSTM; it is torch's own, so use auto or torch")
    return get_backend("torch", threads=options["threads"])


def _config(options: dict[str, Any], seed_given: bool) -> Any:
    from brfkit.runs.config_files import merge
    from brfkit.runs.resolve import parse_settings, resolve

    stored = _stored_config(options) if options["resume"] else None
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
        "network": {
            key: options[key]
            for key in ("hidden", "dt", "surrogate", "omega_init", "discretisation", "trainable", "start_from")
        },
        "training": {
            key: options[key]
            for key in (
                "epochs", "batch_size", "learning_rate", "optimizer", "schedule", "weight_decay", "clip_norm",
                "tbptt", "patience", "stop_accuracy", "dtype", "accumulate", "warmup_epochs",
                "input_dropout", "spike_dropout", "time_stretch", "lead_dropout", "lead_swap", "average",
                "rate_penalty",
                "rate_target",
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
    if options["keep_weights"]:
        given["training"]["keep_weights"] = True
    if seed_given:
        given["training"]["seed"] = options["seed"]
    overrides = merge(given, parse_settings(options["settings"]))
    return resolve(options["dataset"], options["neuron"], preset=options["preset"], file=file, overrides=overrides)


def _stored_config(options: dict[str, Any]) -> Path:
    """Where a run that is resumed has its settings; with several seeds, the first that was begun."""
    from brfkit.runs.folder import CONFIG
    from brfkit.runs.seeds import seed_folder

    folder = Path(options["run_dir"])
    if options["seeds"] is None:
        return folder / CONFIG
    files = [seed_folder(folder, seed) / CONFIG for seed in options["seeds"]]
    return next((file for file in files if file.exists()), files[0])


def _new_folder(config: Any) -> Path:
    """A folder under ``runs/`` that does not exist yet."""
    stem = f"{Path(config.data.dataset).stem}-{config.network.neuron}-seed{config.training.seed}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder
