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

from brfkit.cli.command import cli_command, option
from brfkit.cli.options import (
    PARTS,
    common,
    computing,
    data_dir,
    limit_threads,
    part_flags,
    print_json,
    print_table,
    say,
)
from brfkit.cli.parameters import PresetName
from brfkit.cli.progress import TrainingProgress
from brfkit.cli.training_options import given_settings, setting_options
from brfkit.runs.config import NETWORK, RUN

TERMINATED = 128 + signal.SIGTERM


class _Terminated(KeyboardInterrupt):
    """SIGTERM came; all that Ctrl-C leaves in order is left so, too."""


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    from brfkit.errors import BrfkitError
    from brfkit.runs.seeds import parse_seeds

    try:
        return parse_seeds(value)
    except BrfkitError as error:
        raise click.BadParameter(str(error)) from None


@cli_command()
@setting_options
@part_flags(NETWORK)
@option("--preset", type=PresetName(), panel=RUN,
        help="Settings by name (`brfkit presets`).  [default: the papers' for data set and neuron]")  # fmt: skip
@option("--config", "config_file", type=click.Path(), panel=RUN, metavar="FILE", help="Settings as .toml or .json.")
@option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", panel=RUN,
        help="Any single setting; docs/cli.md lists them.")  # fmt: skip
@option("--seeds", callback=_seeds, metavar="0-4", panel=RUN,
        help="One run per seed, in RUN_DIR/seed-N, and their mean.")  # fmt: skip
@option("--run-dir", type=click.Path(), metavar="FOLDER", panel=RUN, help="Folder of the run.  [default: runs/…]")
@option(
    "--resume",
    is_flag=True,
    panel=RUN,
    needs=("run_dir",),
    excludes=("force", "preset"),
    help="Go on with the run in --run-dir.",
)
@option("--force", is_flag=True, panel=RUN, help="Overwrite the run in --run-dir.")
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
        say("Terminated; --resume goes on after the last finished epoch.", err=True)
        raise click.exceptions.Exit(TERMINATED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _train(options: dict[str, Any], seed_given: bool) -> None:
    limit_threads(options["threads"])
    from brfkit.errors import BrfkitError
    from brfkit.plotting.curves import learning_curve
    from brfkit.runs.folder import new_folder
    from brfkit.training.distributed import World
    from brfkit.training.run import train

    config = _config(options, seed_given)
    backend = _backend(config, options)
    world = World.from_environment()
    folder = Path(options["run_dir"] or world.share(str(new_folder(config)) if world.first else None))
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
            say(f"seed {settings.training.seed}: {run_dir}", err=True)
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
    given = given_settings(options)
    switched_off = {name: False for name in PARTS if options[f"no_{name}"]}
    if switched_off:
        given.setdefault("network", {})["options"] = switched_off
    if seed_given:
        given.setdefault("training", {})["seed"] = options["seed"]
    overrides = merge(given, parse_settings(options["settings"]))
    return resolve(preset=options["preset"], file=file, overrides=overrides)


def _stored_config(options: dict[str, Any]) -> Path:
    """Where a run that is resumed has its settings; with several seeds, the first that was begun."""
    from brfkit.runs.folder import CONFIG
    from brfkit.runs.seeds import seed_folder

    folder = Path(options["run_dir"])
    if options["seeds"] is None:
        return folder / CONFIG
    files = [seed_folder(folder, seed) / CONFIG for seed in options["seeds"]]
    return next((file for file in files if file.exists()), files[0])
