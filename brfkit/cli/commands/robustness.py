"""``brfkit robustness``."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
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
    output,
    permutation,
    print_json,
    print_written,
)
from brfkit.cli.parameters import CheckpointPath
from brfkit.cli.progress import progress

NAMES = (
    "input-noise", "spike-deletion", "synaptic-noise", "bit-precision", "missing-channels", "missing-span",
    "time-warping", "weight-quantisation",
)  # fmt: skip


def _levels(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        levels = tuple(float(part) for part in value.split(","))
        if not all(math.isfinite(level) for level in levels):
            raise ValueError
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0,0.1,0.2") from None
    return levels


@cli_command()
@click.argument("checkpoints", type=CheckpointPath(), nargs=-1, required=True, metavar="CHECKPOINT…")
@dataset
@option("--neuron", metavar="NAME[,NAME…]", panel=DATA,
        help="For published files: which neuron they hold; one for all or one for each.")  # fmt: skip
@permutation
@option("--perturbation", type=click.Choice(NAMES), help="What is done to the network; a .csv file says it itself.")
@option("--levels", metavar="A,B,…", callback=_levels, help="How strongly.  [default: as in the paper]")
@option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Evaluations per level.")
@option("--samples", type=click.IntRange(1), help="Take the first N test samples.")
@option("--label", "labels", multiple=True, metavar="TEXT", help="Name of a network, once for each in their order.")
@option("--batch-size", type=click.IntRange(1), default=500, show_default=True, help="Samples at a time.")
@dtype("float32")
@output(out=(".csv",), out_help="One line per evaluation", plot=True)
@data_dir
@computing
@common
def command(checkpoints: tuple[str, ...], as_json: bool, out: str | None, plot: str | None, force: bool,
            labels: tuple[str, ...], neuron: str | None, **options: Any) -> None:  # fmt: skip
    """Accuracy of trained networks under increasing perturbations.

    CHECKPOINT is a run folder, a checkpoint, a .pt file of the published implementation, or a .csv file of this
    command, which is not computed again; several are drawn in one picture. Input noise, spike deletion, synaptic
    noise and bit precision are the tests of the ICML paper; docs/robustness.md says what each level means. With --out
    every finished evaluation is on disk, also after Ctrl-C, and can be drawn.

    \b
    brfkit robustness runs/ecg --perturbation spike-deletion --out deletion.csv --plot deletion.png
    brfkit robustness runs/brf runs/alif --perturbation input-noise --samples 200 --plot both.png
    brfkit robustness deletion.csv --plot deletion.pdf --style paper
    brfkit robustness smnist_brf.pt --dataset smnist --neuron brf --perturbation input-noise --levels 0,0.1,0.2
    """
    from brfkit.analysis.network.robustness_files import write_results

    _check(checkpoints, options, labels)
    written = check_outputs(force, out, plot)
    results: dict[str, Any] = {}
    names = _names(checkpoints, labels)

    def keep(name: str, result: Any) -> None:
        if out is not None:
            write_results(out, {**results, name: result}, force or bool(results) or len(result.points) > 1)

    for number, (name, checkpoint) in enumerate(zip(names, checkpoints, strict=True)):
        if _is_table(checkpoint):
            results |= _read(checkpoint, options["perturbation"], name if labels else None, results)
            continue
        results[name] = _compute(checkpoint, _neuron_of(neuron, number, len(checkpoints)), partial(keep, name), options)
    if out is not None:
        write_results(out, results, force=True)
    if plot is not None:
        from brfkit.io.atomic import atomic_path
        from brfkit.plotting.robustness import robustness_figure

        with atomic_path(plot, force) as path:
            shown = results if len(results) > 1 else next(iter(results.values()))
            robustness_figure(shown).savefig(path)
    if as_json:
        one = next(iter(results.values())).to_dict()
        several = {"perturbation": one["perturbation"], "networks": {n: r.to_dict() for n, r in results.items()}}
        print_json({**(one if len(results) == 1 else several), "out": out, "plot": plot})
        return
    for name, result in results.items():
        _report(result, name if len(results) > 1 else "")
    print_written(written)


def _is_table(checkpoint: str) -> bool:
    return Path(checkpoint).suffix == ".csv"


def _check(checkpoints: tuple[str, ...], options: dict[str, Any], labels: tuple[str, ...]) -> None:
    if options["perturbation"] is None and not all(map(_is_table, checkpoints)):
        raise click.UsageError("Missing option '--perturbation'.")
    if labels and (len(labels) != len(checkpoints) or len(set(labels)) != len(labels)):
        raise click.UsageError(
            f"--label must be given once for each of the {len(checkpoints)} networks, all different."
        )


def _names(checkpoints: tuple[str, ...], labels: tuple[str, ...]) -> list[str]:
    """A name for each network: its label, else as much of the end of its path as tells it from the others."""
    if labels:
        return list(labels)
    paths = [Path(checkpoint).resolve().with_suffix("") for checkpoint in checkpoints]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _neuron_of(neuron: str | None, number: int, count: int) -> str | None:
    """The neuron of network ``number``, of one name for all or one for each."""
    if neuron is None:
        return None
    names = [name.strip() for name in neuron.split(",")]
    if len(names) not in (1, count):
        raise click.UsageError(f"--neuron names {len(names)} neurons for {count} networks.")
    return names[number] if len(names) > 1 else names[0]


def _read(file: str, perturbation: str | None, label: str | None, before: dict[str, Any]) -> dict[str, Any]:
    from brfkit.analysis.network.robustness_files import read_results
    from brfkit.errors import BrfkitError

    found = read_results(file, perturbation)
    if label is not None and len(found) == 1:
        found = dict(zip([label], found.values(), strict=True))
    for name, result in found.items():
        if name in before:
            raise BrfkitError(f"{file}: there is a network {name} already; --label names them")
        for other in before.values():
            if other.perturbation.name != result.perturbation.name:
                raise BrfkitError(f"{file} is of {result.perturbation.name}, another one of {other.perturbation.name}")
    return found


def _compute(checkpoint: str, neuron: str | None, finished: Any, options: dict[str, Any]) -> Any:
    from brfkit.analysis.network.robustness import robustness

    with progress("evaluating", "samples") as advance:
        return robustness(checkpoint, progress=advance, finished=finished, neuron=neuron, **options)


def _report(result: Any, name: str = "") -> None:
    from rich.table import Table

    title = f"{result.perturbation.name}, {result.neuron} on {result.samples:,} samples of {result.dataset}"
    title = f"{name}: {title}" if name else title
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("level", "accuracy (%)", "± std", "loss (nats)", "spikes per sample"):
        table.add_column(name, justify="right")
    columns = (result.levels, result.mean("accuracy"), result.std("accuracy"), result.mean("loss"),
               result.mean("spikes_per_sample"))  # fmt: skip
    for level, accuracy, std, loss, spikes in zip(*columns, strict=True):
        table.add_row(f"{level:g}", f"{accuracy:.2f}", f"{std:.2f}", f"{loss:.4g}", f"{spikes:,.1f}")
    console().print(table)
    chance = "" if result.chance is None else f"; most frequent class: {result.chance:.2f} %"
    say(f"level: {result.perturbation.level}{chance}; {result.seconds:.1f} s")
