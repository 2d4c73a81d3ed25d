"""``brfkit sweep``: run a hyper-parameter study, and look at one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from brfkit.cli.command import Group, option
from brfkit.cli.options import common, data_dir, limit_threads, print_json, style

FIGURES = (".png", ".svg", ".pdf")


class _StudyGroup(Group):
    """``sweep STUDY.toml`` runs a study: what is no subcommand is taken for its file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = next((a for a in args if not a.startswith("-")), None)
        if args and args[0] not in ("--help", "-h") and first not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "STUDY.toml [OPTIONS]")
        formatter.write_usage(ctx.command_path, "show STUDY [OPTIONS]")


@click.group("sweep", cls=_StudyGroup)
def command() -> None:
    """Hyper-parameter studies on Optuna.

    A study file has the tables [study], [base] and [space]:

    \b
    [study]
    trials = 40                   # sampler = "tpe" | "random" | "grid" | "cmaes"
    pruner = "median"             # "none" | "median" | "halving"
    objectives = ["validation_accuracy"]
    seeds = "0-2"                 # every trial has a run for each
    [base]
    dataset = "ecg"
    training.epochs = 60
    [space]
    "training.learning_rate" = { low = 0.01, high = 0.3, log = true }
    "network.init.omega.high" = { low = 5, high = 100, log = true }
    "training.batch_size" = [4, 16, 64]

    \b
    brfkit sweep study.toml --workers 2
    brfkit sweep show study.toml --plot study.png --best best.toml
    brfkit train --config best.toml

    `brfkit sweep run --help` and `brfkit sweep show --help` list the options.
    """


@command.command("run")
@click.argument("study", type=click.Path(exists=True, dir_okay=False), metavar="STUDY.toml")
@option("--out", type=click.Path(file_okay=False), help="Folder of the study.  [default: sweeps/<name of the file>]")
@option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes of this machine.")
@option("--trials", type=click.IntRange(1), help="In place of the study's.")
@option("--storage", metavar="URL", help="Of Optuna's RDB storage.  [default: a journal file in the study's folder]")
@option("--backend", default="auto", show_default=True, help="Compute backend.")
@option("--threads", type=click.IntRange(1), help="CPU threads of all workers together.  [default: all processors]")
@option("--worker", type=click.IntRange(0), hidden=True)
@data_dir
@common
def run(**options: Any) -> None:
    """Run a study; one that is there already goes on. The word `run` may be left out.

    Started again, on this machine or on others that share its folder (or its --storage), the command joins the study.
    A trial whose process was killed is run again, from the last finished epoch on.

    \b
    brfkit sweep run study.toml --workers 2
    brfkit sweep run study.toml --storage postgresql://user@host/studies
    """
    limit_threads(options["threads"])
    from brfkit.plotting.curves import learning_curve
    from brfkit.sweeps.run import default_folder, prepare_folder, run_study
    from brfkit.sweeps.study_file import read_study, with_options

    spec = with_options(read_study(options["study"]), trials=options["trials"], storage=options["storage"])
    folder = Path(options["out"]) if options["out"] else default_folder(options["study"])
    prepare_folder(options["study"], spec, folder)
    started = time.perf_counter()
    if options["worker"] is not None:
        from brfkit.backends import get_backend
        from brfkit.sweeps.run import Places, work

        backend = get_backend(options["backend"], threads=options["threads"])
        work(spec, Places(folder, backend, options["data_dir"], learning_curve), options["worker"])
        return
    if options["workers"] > 1:
        result = _workers(spec, folder, options, started)
    else:
        result = run_study(
            spec, folder, backend=options["backend"], threads=options["threads"], data_dir=options["data_dir"],
            picture=learning_curve,
        )  # fmt: skip
    if options["as_json"]:
        print_json(result.to_dict())
    else:
        _print(result, 5)


def _workers(spec: Any, folder: Path, options: dict[str, Any], started: float) -> Any:
    from brfkit.sweeps.results import study_result
    from brfkit.sweeps.run import WorkerCommand, run_workers, worker_threads
    from brfkit.sweeps.storage import open_study

    open_study(spec, folder)  # a storage that cannot be used is found before any worker starts
    arguments = [options["study"], "--out", str(folder), "--backend", options["backend"]]
    for name in ("trials", "storage", "data_dir"):
        if options[name] is not None:
            arguments += [f"--{name.replace('_', '-')}", str(options[name])]
    command = WorkerCommand(arguments, worker_threads(options["workers"], options["threads"]))
    run_workers(command, options["workers"], _Counter(spec, folder))
    return study_result(spec, folder, time.perf_counter() - started)


class _Counter:
    """Says on stderr now and then how many trials there are."""

    def __init__(self, spec: Any, folder: Path) -> None:
        from brfkit.sweeps.storage import open_study

        self.study, self.spec = open_study(spec, folder), spec
        self.last, self.shown = time.monotonic(), -1

    def __call__(self) -> None:
        if time.monotonic() - self.last < 5.0:
            return
        self.last = time.monotonic()
        finished = sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))
        if finished != self.shown:
            self.shown = finished
            click.echo(f"{finished} of {self.spec.trials or 'all'} trials", err=True)


@command.command("show")
@click.argument("study", type=click.Path(exists=True), metavar="STUDY")
@option("--out", type=click.Path(file_okay=False), help="Folder of the study, where it is not the default one.")
@option("--storage", metavar="URL", help="Where the study was run with one.")
@option("--top", type=click.IntRange(1), default=10, show_default=True, help="Trials to list.")
@option("--plot", type=click.Path(dir_okay=False), help="Progress, importances, slices, heat map: .png, .svg, .pdf.")
@option("--csv", "csv_file", type=click.Path(dir_okay=False), help="All trials as a table.")
@option("--html", type=click.Path(dir_okay=False), help="One page with picture and table, without network access.")
@option("--best", type=click.Path(dir_okay=False), help="Write the best trial's configuration as TOML.")
@option("--force", is_flag=True, needs=("plot", "csv_file", "html", "best"), help="Overwrite files.")
@style("plot")
@common
def show(**options: Any) -> None:
    """Best trials, importances of the settings, pictures. STUDY is the study file or the study's folder.

    Trials are ordered by the first objective; ± is the standard deviation over the seeds. Importance is the share of
    the objective's variance that a setting explains (fANOVA).

    \b
    brfkit sweep show study.toml --plot study.png --csv trials.csv
    brfkit sweep show sweeps/study --best best.toml
    """
    from brfkit.errors import BrfkitError
    from brfkit.io.atomic import atomic_path, check_writable
    from brfkit.sweeps.results import study_result, write_best, write_trials
    from brfkit.sweeps.run import default_folder, kept_study
    from brfkit.sweeps.storage import JOURNAL
    from brfkit.sweeps.study_file import read_study, with_options

    given = Path(options["study"])
    folder = given if given.is_dir() else Path(options["out"] or default_folder(given))
    file = kept_study(given) if given.is_dir() else given
    for name in ("plot", "csv_file", "html", "best"):
        if options[name]:
            check_writable(options[name], options["force"])
    if options["plot"] and Path(options["plot"]).suffix not in FIGURES:
        raise BrfkitError(f"{options['plot']}: a picture ends in {', '.join(FIGURES)}")
    spec = with_options(read_study(file), storage=options["storage"])
    if spec.storage is None and not (folder / JOURNAL).is_file():
        raise BrfkitError(f"there is no study in {folder}; `brfkit sweep {file}` runs it")
    result = study_result(spec, folder, importances=True)
    if options["csv_file"]:
        write_trials(options["csv_file"], result, options["force"])
    if options["best"]:
        write_best(options["best"], result, options["force"])
    if options["plot"]:
        from brfkit.plotting.sweep import study_figure

        with atomic_path(options["plot"], options["force"]) as path:
            study_figure(result).savefig(path)
    if options["html"]:
        from brfkit.plotting.sweep import study_page

        with atomic_path(options["html"], options["force"]) as path:
            path.write_text(study_page(result), encoding="utf-8")
    if options["as_json"]:
        print_json({**result.to_dict(), "importances": dict(result.importances)})
    else:
        _print(result, options["top"])


def _print(result: Any, top: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from brfkit.sweeps.results import ranked

    console = Console()
    counts = ", ".join(f"{result.count(s)} {s}" for s in ("complete", "pruned", "failed", "running") if result.count(s))
    several = len(result.spec.objectives) > 1
    title = f"{result.spec.name}: {counts or 'no trial'}" + (" (* Pareto front)" if several else "")
    table = Table(title=escape(title), title_justify="left")
    table.add_column("trial", justify="right")
    for name in result.spec.objectives:
        table.add_column(name.replace("_", " ") + (" (%)" if "accuracy" in name else ""), justify="right")
    for dimension in result.spec.dimensions:
        table.add_column(escape(dimension.key.split(".", 1)[1]), justify="right")
    front = {trial.number for trial in result.best} if several else set()
    for trial in ranked(result)[:top]:
        cells = [f"{trial.number}{'*' if trial.number in front else ''}"]
        for name in result.spec.objectives:
            spread = trial.spread(name)
            cells.append(f"{trial.values[name]:.4g}" + (f" ± {spread:.2g}" if spread is not None else ""))
        cells += [_cell(trial.params.get(d.key)) for d in result.spec.dimensions]
        table.add_row(*map(escape, cells))
    console.print(table)
    if result.importances:
        shares = ", ".join(f"{key.split('.', 1)[1]} {share:.0%}" for key, share in result.importances.items())
        console.print(escape(f"Importance: {shares}"))
    console.print(escape(f"Selected on validation samples, {len(result.spec.seeds)} seed(s) a trial. {result.folder}"))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
