"""``brfkit bench``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from brfkit.backends.capabilities import PRECISIONS
from brfkit.cli.checks import integer
from brfkit.cli.command import COMPUTING, DATA, cli_command, option
from brfkit.cli.options import BACKENDS, check_outputs, common, data_dir, output, plain, print_json
from brfkit.cli.parameters import CheckpointPath
from brfkit.cli.progress import progress

SHAPES = ("ecg", "shd", "smnist")
PEERS = {"plain": "the plain loop", "jax": "a scan of JAX"}


@cli_command()
@option(
    "--shape",
    "shapes",
    multiple=True,
    type=click.Choice([*SHAPES, "all"]),
    default=("all",),
    help="Sizes and data of the papers; may be given several times.  [default: all]",
)
@option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(BACKENDS),
    default=("auto",),
    help="Who is timed; may be given several times.  [default: auto]",
)
@option(
    "--against",
    type=click.Choice([*PEERS]),
    default="plain",
    show_default=True,
    help="The plain loop, or a scan of JAX under jit (needs brfkit[peers]).",
)
@option(
    "--gradient-precision",
    type=click.Choice(PRECISIONS),
    panel=COMPUTING,
    default="float32",
    show_default=True,
    help="Operands of the backward scan's product with W_rec.",
)
@option(
    "--threads",
    type=click.IntRange(1),
    panel=COMPUTING,
    help="CPU threads of every contestant.  [default: all processors]",
)
@option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Turns that the two take.")
@option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Peak memory of a training step and time of the first step, in fresh processes.",
)
@option("--latency", is_flag=True, help="Time single steps of a single sample, the state handed on (streaming).")
@option("--roofline", is_flag=True, help="Measure the machine and set the scans of numba against it.")
@option(
    "--checkpoints",
    type=click.Path(),
    metavar="FOLDER",
    panel=DATA,
    help="Folder with trained ecg_brf.pt, smnist_brf.pt, shd_brf.pt.  [default: $BRFKIT_REFERENCE_DIR/checkpoints]",
)
@option(
    "--checkpoint",
    type=CheckpointPath(),
    panel=DATA,
    excludes=("checkpoints",),
    help="Trained network for the one --shape.",
)
@option(
    "--seed",
    type=click.IntRange(0),
    callback=integer,
    panel=COMPUTING,
    default=0,
    show_default=True,
    help="Of what is generated.",
)
@output(out=(".json",), out_help="Write the report")
@data_dir
@common
def command(shapes: tuple[str, ...], out: str | None, force: bool, as_json: bool, **options: Any) -> None:
    """Time the backends on this machine against a plain PyTorch loop, or against JAX.

    The plain loop is the published network under TorchScript, the weakest peer; a scan of JAX under jit is the
    strongest. Both take turns in one process; ratios are medians.
    Real data and trained weights are used where they are at hand, else generated ones that spike as often.

    \b
    brfkit bench --shape ecg
    brfkit bench --shape smnist --against jax --gradient-precision bfloat16
    brfkit bench --shape ecg --latency --no-memory
    brfkit bench --shape all --roofline --out benchmarks/results/laptop.json
    """
    from brfkit.bench.bench import Settings, run
    from brfkit.io.atomic import atomic_write

    check_outputs(force, out)
    chosen = SHAPES if "all" in shapes else tuple(dict.fromkeys(shapes))
    with progress("benchmarking", "turns") as advance:
        report = run(Settings(shapes=chosen, **options), progress=advance)
    if out is not None:
        with atomic_write(Path(out), "w", force) as stream:
            stream.write(json.dumps(plain(report), indent=1) + "\n")
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    console.print(_machine_line(report["machine"]), style="dim", highlight=False)
    for result in report["results"]:
        console.print(_facts_line(result), highlight=False)
    console.print(_times(report["results"], report["against"]))
    if "rates" in report:
        for rates in report["rates"]:
            console.print(_rates_line(rates), highlight=False)
        console.print(_roofline(report["results"]))


def _machine_line(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "numpy", "numba", "torch", "brfkit"))
    commit = f", commit {machine['commit']}" if machine["commit"] else ""
    return f"{machine['cpu']}, {machine['threads']} of {machine['processors']} processors; {versions}{commit}"


def _facts_line(result: Mapping[str, Any]) -> str:
    sizes = ", ".join(str(result[name]) for name in ("batch", "steps", "inputs", "hidden", "outputs"))
    rate = f"{100 * result['firing_rate']:.1f} % firing"
    return f"{result['shape']} ({sizes}): {result['data']}; {result['weights']}; {rate}"


def _times(results: list[dict[str, Any]], against: str) -> Any:
    from rich.table import Table

    table = Table(title=f"Against {PEERS[against]}", title_justify="left")
    for name in ("shape", "backend", "what"):
        table.add_column(name)
    for name in (against, "ours", "ratio", "range"):
        table.add_column(name, justify="right")
    for result in results:
        for cells in (*_speed_rows(result, against), *_memory_rows(result, against)):
            table.add_row(result["shape"], result["backend"], *cells)
        table.add_section()
    return table


def _speed_rows(result: Mapping[str, Any], against: str) -> Iterator[tuple[str, ...]]:
    for what, label in (("train", "training"), ("inference", "inference")):
        pair = result[what]
        times = f"{pair[f'{against}_ms']:.4g} ms", f"{pair['ours_ms']:.3g} ms"
        yield label, *times, f"{pair['ratio']:.3g} ×", f"{pair['lowest']:.3g}-{pair['highest']:.3g}"
    if "latency" in result:
        found = result["latency"]
        for label, part in (("one step", ""), ("99 %", "_99")):
            theirs, ours = found[f"{against}{part}_us"], found[f"ours{part}_us"]
            yield label, f"{theirs:.0f} µs", f"{ours:.0f} µs", f"{theirs / ours:.3g} ×", ""


def _memory_rows(result: Mapping[str, Any], against: str) -> Iterator[tuple[str, ...]]:
    if "memory" not in result:
        return
    memory, first = result["memory"], result["first_step"]
    ratio = "" if memory["ratio"] is None else f"1/{memory['ratio']:.3g}"
    sizes = [f"{memory[k]:.4g} MiB" if memory[k] is not None else "?" for k in (f"{against}_mib", "ours_mib")]
    yield "memory", *sizes, ratio, ""
    yield "first step", f"{first[f'{against}_first_step_s']:.3g} s", f"{first['first_step_s']:.3g} s", "", ""
    if first["compile_s"] is not None:
        yield "compiling", "", f"{first['compile_s']:.3g} s", "", ""


def _rates_line(rates: Mapping[str, float]) -> str:
    named = {"sgemm": "GFLOP/s sgemm", "cache_read": "GB/s cache read", "cache_copy": "GB/s cache copy"}
    named["memory_copy"] = "GB/s memory copy"
    shown = ", ".join(f"{1e-9 * rates[name]:.3g} {unit}" for name, unit in named.items())
    return f"{rates['threads']} thread{'s' if rates['threads'] > 1 else ''}: {shown}"


def _roofline(results: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(title="Roofline", title_justify="left")
    for name in ("shape", "scan"):
        table.add_column(name)
    for name in ("GFLOP", "cache MB", "RAM MB", "bound ms", "took ms", "share"):
        table.add_column(name, justify="right")
    for result in results:
        found = result.get("roofline") or {}
        for scan in ("inference", "forward", "backward"):
            if scan in found:
                row = found[scan]
                figures = [f"{row[k]:.3g}" for k in ("gflop", "cache_mb", "memory_mb", "bound_ms", "measured_ms")]
                table.add_row(result["shape"], scan, *figures, f"{100 * row['share']:.0f} %")
    return table
