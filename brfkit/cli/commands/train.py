"""``brfkit train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brfkit.cli.command import cli_command, note_unused_folder, option
from brfkit.cli.display import note, say
from brfkit.cli.options import (
    PARTS,
    common,
    computing,
    data_dir,
    limit_threads,
    part_flags,
    print_json,
    print_table,
)
from brfkit.cli.parameters import PresetName
from brfkit.cli.progress import TrainingProgress
from brfkit.cli.training_options import given_settings, setting_options
from brfkit.errors import BrfkitError
from brfkit.runs.config import NETWORK, RUN, Config

if TYPE_CHECKING:
    from brfkit.backends.base import Backend


def _seeds(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
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
@option("--dry-run", is_flag=True, panel=RUN, excludes=("resume", "force", "seeds"),
        help="Show the settings, what they need of memory and the time per epoch; train nothing.")  # fmt: skip
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
    brfkit train --dataset ecg --dry-run
    brfkit train --dataset ecg --epochs 50 --run-dir runs/ecg
    brfkit train --dataset ecg --run-dir runs/ecg --resume
    brfkit train --dataset ecg --seeds 0-4 --run-dir runs/ecg-seeds
    """
    seed_given = ctx.get_parameter_source("seed") is not click.core.ParameterSource.DEFAULT
    if options["seeds"] is not None and seed_given:
        raise click.UsageError("Use either --seed or --seeds.", ctx)
    try:
        _train(options, seed_given)
    except KeyboardInterrupt:
        _tell_how_to_resume(options)
        raise


def _tell_how_to_resume(options: dict[str, Any]) -> None:
    from brfkit.runs.folder import LAST, RunFolder

    place = options["run_dir"]
    folders = [] if place is None else [RunFolder(place), *map(RunFolder, sorted(Path(place).glob("seed-*")))]
    begun = [folder for folder in folders if folder.has(LAST)]
    if begun:
        rows = begun[-1].metrics()
        done = f" epoch {rows[-1].epoch}" if rows else " the last finished epoch"
        seeds = "" if options["seeds"] is None else f" --seeds {','.join(map(str, options['seeds']))}"
        note(f"{begun[-1]} is complete up to{done}; brfkit train --run-dir {place}{seeds} --resume goes on")


def _train(options: dict[str, Any], seed_given: bool) -> None:
    limit_threads(options["threads"])
    from brfkit.plotting.curves import learning_curve
    from brfkit.runs.folder import new_folder
    from brfkit.training.distributed import World
    from brfkit.training.run import train

    config = _config(options, seed_given)
    note_unused_folder(click.get_current_context(), config.data.dataset)
    backend = _backend(config, options)
    if options["dry_run"]:
        _report_plan(config, backend, options)
        return
    world = World.from_environment()
    folder = Path(options["run_dir"] or world.broadcast(str(new_folder(config)) if world.is_main else None))
    options["run_dir"] = str(folder)
    force = options["force"]
    if options["resume"] and world.is_main:
        _check_resumable(config, folder, options["seeds"])

    def run_one(settings: Any, run_dir: Path, resume: bool) -> dict[str, Any]:
        observer = TrainingProgress() if world.is_main else None
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
    if not world.is_main:
        return
    if options["as_json"]:
        print_json(result)
    else:
        print_table("Training", {k: v for k, v in result.items() if not isinstance(v, list)})
    if isinstance(result["diverged"], str) and result["epochs"] == 0:
        raise BrfkitError(result["diverged"])


def _report_plan(config: Config, backend: Backend, options: dict[str, Any]) -> None:
    from brfkit.bench.plan import plan_training
    from brfkit.cli.commands.presets import config_toml

    plan = plan_training(config, backend, data_dir=options["data_dir"])
    if options["as_json"]:
        print_json({**plan.to_dict(), "settings": config.to_dict()})
        return
    say(config_toml(config.to_dict()) + "\n")
    rows = {name.replace("_", " ").replace("mib", "(MiB)"): value for name, value in plan.to_dict().items()}
    print_table("Plan", rows)


def _check_resumable(config: Config, folder: Path, seeds: list[int] | None) -> None:
    """Refuse to go on with a run that is not there, and tell of one that is extended."""
    from brfkit.runs.folder import RunFolder
    from brfkit.runs.seeds import seed_folder

    places = [folder] if seeds is None else [seed_folder(folder, seed) for seed in seeds]
    begun = [place for place in places if RunFolder(place).present()]
    if not begun:
        raise BrfkitError(f"{folder} holds no run to go on with; leave --resume out to start one there")
    for key, old, new in RunFolder(begun[0], config).extension() if seeds is None else ():
        note(f"{key} was {old} and is {new} from here on; {_EXTENSION.get(key, '')}")


_EXTENSION = {
    "training.epochs": "the learning rate of the epochs to come is that of a run of so many epochs",
    "training.patience": "epochs that are done count",
}


def _several(config: Any, folder: Path, options: dict[str, Any], run_one: Any, world: Any) -> dict[str, Any]:
    from brfkit.runs.seeds import run_seeds, summarise, write_summary

    seeds = options["seeds"]

    def announced(settings: Any, run_dir: Path, resume: bool) -> dict[str, Any]:
        if world.is_main:
            say(f"seed {settings.training.seed}: {run_dir}", err=True)
        return run_one(settings, run_dir, resume)

    how = {name: options[name] for name in ("resume", "force")}
    results = run_seeds(config, folder, seeds, announced, check=world.is_main, **how)
    summary = summarise(folder, seeds, results)
    if world.is_main:
        write_summary(folder, summary)
    return summary


def _backend(config: Any, options: dict[str, Any]) -> Any:
    from brfkit.backends import get_backend
    from brfkit.runs.config import LSTM

    if config.network.neuron != LSTM:
        return get_backend(options["backend"], threads=options["threads"])
    if options["backend"] not in ("auto", "torch"):
        raise BrfkitError(f"backend {options['backend']} has no LSTM; it is torch's own, so use auto or torch")
    return get_backend("torch", threads=options["threads"])


def _config(options: dict[str, Any], seed_given: bool) -> Any:
    from brfkit.runs.config_files import merge
    from brfkit.runs.resolve import parse_settings, resolve
    from brfkit.runs.unused import check_once, check_used

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
    single = parse_settings(options["settings"])
    check_once(given, single)
    overrides = merge(given, single)
    config = resolve(preset=options["preset"], file=file, overrides=overrides)
    check_used(config, overrides)
    return config


def _stored_config(options: dict[str, Any]) -> Path:
    """Where a run that is resumed has its settings; with several seeds, the first that was begun."""
    from brfkit.runs.folder import CONFIG
    from brfkit.runs.seeds import seed_folder

    folder = Path(options["run_dir"])
    if options["seeds"] is None:
        return folder / CONFIG
    files = [seed_folder(folder, seed) / CONFIG for seed in options["seeds"]]
    return next((file for file in files if file.exists()), files[0])
