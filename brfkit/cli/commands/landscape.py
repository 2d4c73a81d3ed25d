"""``brfkit landscape``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brfkit.cli.checks import finite, suffix
from brfkit.cli.command import COMPUTING, DATA, OUTPUT, cli_command, option, refuse_given
from brfkit.cli.display import say
from brfkit.cli.options import (
    common,
    computing,
    data_dir,
    dataset,
    dtype,
    output,
    permutation,
    print_json,
    print_table,
    print_written,
    split,
)
from brfkit.cli.parameters import CheckpointPath
from brfkit.cli.progress import progress

if TYPE_CHECKING:
    from brfkit.analysis.landscape.run import Landscape
    from brfkit.analysis.landscape.workers import Crew

VALUES = ("loss", "accuracy", "spikes_per_sample")


@cli_command()
@click.argument("checkpoints", type=CheckpointPath(), nargs=-1, required=True, metavar="CHECKPOINT…")
@dataset
@option("--neuron", metavar="NAME[,NAME…]", panel=DATA,
        help="For published files: which neuron they hold; one for all or one for each.")  # fmt: skip
@permutation
@split()
@option("--samples", type=click.IntRange(1), panel=DATA, help="Take the first N of them.")
@option(
    "--sample-seed",
    type=click.IntRange(0),
    needs=("samples",),
    panel=DATA,
    help="Draw the N samples with this seed instead.",
)
@option("--points", type=click.IntRange(2), default=50, show_default=True,
        help="Points per axis; an odd number holds the centre.")  # fmt: skip
@option("--bound", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
        help="Coordinates go from -BOUND to BOUND.")  # fmt: skip
@option("--slice", "line", is_flag=True, help="Along the first direction only.")
@option("--directions", type=click.Choice(["filter", "pca"]), default="filter", show_default=True,
        help="Random and filter-normalised, or where training moved most (train --keep-weights).")  # fmt: skip
@option("--parameters", default="weights", show_default=True, metavar="NAMES",
        help="What moves: weights (W_in and W_rec of the spiking layers), all, or names such as "
                   "omega,b_offset or readout.w_in.")  # fmt: skip
@option("--match-loss", type=float, metavar="L", callback=finite, excludes=("match_epoch",),
        help="Centre: the kept epoch whose loss on these samples is nearest to L.")  # fmt: skip
@option("--match-epoch", type=click.IntRange(0), metavar="N", help="Centre: the weights kept after epoch N.")
@option("--hessian", type=click.IntRange(0), default=0, show_default=True, metavar="K",
        help="Also take the K largest eigenvalues of the Hessian.")  # fmt: skip
@option("--hessian-samples", type=click.IntRange(1), default=100, show_default=True, needs=("hessian",),
        help="Samples for that.")  # fmt: skip
@option("--hessian-step", type=click.FloatRange(0, min_open=True), default=0.01, show_default=True, needs=("hessian",),
        help="Length of the finite difference, relative to the norm of the weights.")  # fmt: skip
@option("--radius", type=click.FloatRange(0, min_open=True), default=0.25, show_default=True,
        help="Of the sharpness, in units of α and β.")  # fmt: skip
@output(out=(".h5",), out_help="Write the surface; of several, OUT-NAME.h5 each", plot=True, more=("html",))
@option("--html", type=click.Path(), metavar="FILE", callback=suffix((".html",)), panel=OUTPUT,
        help="One page that can be turned and zoomed, without a network; needs plotly.")  # fmt: skip
@option(
    "--show",
    type=click.Choice(VALUES),
    default="loss",
    show_default=True,
    needs=("plot", "html"),
    panel=OUTPUT,
    help="What --plot and --html show.",
)
@option(
    "--log",
    is_flag=True,
    needs=("plot", "html"),
    panel=OUTPUT,
    help="Colours and heights of --plot and --html on a logarithmic scale.",
)
@option(
    "--resume", is_flag=True, needs=("out",), excludes=("force",), panel=OUTPUT, help="Go on with the surface in --out."
)
@option("--block", type=click.IntRange(1), default=16, show_default=True, needs=("out",), panel=OUTPUT,
        help="Points between two writes of --out; changes no result.")  # fmt: skip
@option(
    "--batch-size", type=click.IntRange(1), default=256, show_default=True, panel=COMPUTING, help="Samples at a time."
)
@dtype("float32")
@option("--worker-timeout", type=click.FloatRange(1), default=30.0, show_default=True, metavar="SECONDS",
        panel=COMPUTING,
        help="Under torchrun: silence after which a process counts as dead.")  # fmt: skip
@data_dir
@computing
@common
def command(checkpoints: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """The error surface around a trained network.

    CHECKPOINT is a run folder, a checkpoint of this project, a .pt file of the published implementation, or a surface
    (.h5) that is there already. Several are drawn on common axes and on their own. Every finished block is in --out;
    after Ctrl-C or a crash --resume goes on. Started by torchrun, the processes share the work.

    \b
    brfkit landscape runs/smnist --points 51 --samples 1000 --out surface.h5 --plot surface.png
    brfkit landscape runs/ecg --directions pca --out pca.h5 --plot pca.png --html pca.html
    brfkit landscape brf.h5 alif.h5 --plot both.png
    torchrun --nproc-per-node 4 -m brfkit landscape runs/smnist --threads 1 --out surface.h5
    """
    pictures = {name: options.pop(name) for name in ("plot", "html", "show", "log")}
    out = options.pop("out")
    _check_effects(checkpoints)
    if options["line"] and pictures["html"] is not None:
        raise click.UsageError("--slice has no surface for --html; use --plot.")
    neurons = _neurons(options.pop("neuron"), len(checkpoints))
    with _crew(options.pop("worker_timeout")) as crew:
        writes = crew is None or crew.writes
        if writes:
            _check_files(pictures, options["force"])
        files = _names(checkpoints, out)
        found = [
            _one(checkpoint, file, crew, neuron=neuron, **options)
            for checkpoint, file, neuron in zip(checkpoints, files, neurons, strict=True)
        ]
    surfaces = [landscape for landscape in found if landscape is not None]
    if writes:
        written = _draw(surfaces, options["force"], **pictures)
        _report(surfaces, as_json, written)


# What a surface does not need any more.
_FOR_NEW_SURFACES = (
    "dataset", "neuron", "permutation", "split", "samples", "sample_seed", "points", "bound", "line", "directions",
    "parameters", "match_loss", "match_epoch", "hessian", "out", "resume", "block", "batch_size", "dtype",
    "worker_timeout", "backend", "threads", "seed",
)  # fmt: skip


def _check_effects(checkpoints: tuple[str, ...]) -> None:
    from brfkit.analysis.landscape.store import is_surface
    from brfkit.analysis.landscape.workers import launched

    ctx = click.get_current_context()
    if all(is_surface(checkpoint) for checkpoint in checkpoints):
        refuse_given(ctx, _FOR_NEW_SURFACES, "has no effect on a surface, which is drawn as it is")
    if not launched():
        refuse_given(ctx, ("worker_timeout",), "has no effect without torchrun")


def _neurons(given: str | None, count: int) -> Sequence[str | None]:
    if given is None:
        return [None] * count
    names = [name.strip() or None for name in given.split(",")]
    if len(names) not in (1, count):
        raise click.UsageError(f"--neuron names {len(names)} neurons for {count} checkpoints.")
    return names * count if len(names) == 1 else names


@contextmanager
def _crew(patience: float) -> Iterator[Crew | None]:
    """The processes that torchrun has started; None where this one is alone."""
    from brfkit.analysis.landscape.workers import Crew, launched

    if not launched():
        yield None
        return
    crew = Crew(patience)
    try:
        yield crew
    finally:
        crew.close()


def _check_files(pictures: dict[str, Any], force: bool) -> None:
    from brfkit.io.atomic import check_writable

    for name in ("plot", "html"):
        if pictures[name] is not None:
            check_writable(pictures[name], force)
    if pictures["html"] is not None:
        import plotly  # noqa: F401  # before hours of work, not after


def _names(checkpoints: tuple[str, ...], out: str | None) -> list[str | None]:
    """A file for each surface."""
    if out is None or len(checkpoints) == 1:
        return [out] * len(checkpoints)
    names: list[str | None] = []
    for checkpoint in checkpoints:
        stem, number = Path(checkpoint).resolve().stem, 1
        file = Path(out).with_stem(f"{Path(out).stem}-{stem}")
        while str(file) in names:
            number += 1
            file = Path(out).with_stem(f"{Path(out).stem}-{stem}-{number}")
        names.append(str(file))
    return names


def _one(checkpoint: str, out: str | None, crew: Crew | None, **options: Any) -> Landscape | None:
    from brfkit.analysis.landscape.run import Curvature, landscape, summarise
    from brfkit.analysis.landscape.store import is_surface, read_surface

    wanted = Curvature(*(options.pop(name) for name in ("hessian", "hessian_samples", "hessian_step")))
    if is_surface(checkpoint):
        return summarise(read_surface(checkpoint), options["radius"], checkpoint)
    if crew is not None:
        from brfkit.analysis.landscape.workers import restarts, threads_per_process
        from brfkit.backends.threads import default_threads

        options["resume"] = options["resume"] or (restarts() > 0 and out is not None)
        options["threads"] = options["threads"] or threads_per_process(default_threads())
    with ExitStack() as stack:
        if crew is None or crew.writes:
            options["progress"] = stack.enter_context(progress(f"{Path(checkpoint).name}: evaluating", "points"))
        try:
            return landscape(checkpoint, out=out, crew=crew, curvature=wanted, **options)
        except KeyboardInterrupt:
            if out is not None and Path(out).exists() and (crew is None or crew.writes):
                done = read_surface(out).done
                say(f"{out} holds {done.sum()} of {len(done)} points; --resume goes on", err=True)
            raise


def _draw(found: list[Landscape], force: bool, plot: str | None, html: str | None, show: str, log: bool) -> list[str]:
    """Names of the pictures that were made."""
    from brfkit.io.atomic import atomic_path, atomic_write

    if plot is not None:
        from brfkit.plotting.landscape.surfaces import landscape_figure

        with atomic_path(plot, force) as path:
            landscape_figure([one.surface for one in found], show, log).savefig(path)
    if html is not None:
        from brfkit.plotting.landscape.html import landscape_page

        with atomic_write(html, "w", force) as stream:
            stream.write(landscape_page([one.surface for one in found], show, log))
    return [file for file in (plot, html) if file is not None]


def _report(found: list[Landscape], as_json: bool, written: list[str]) -> None:
    if as_json:
        rows = [one.to_dict() for one in found]
        print_json({**rows[0], "pictures": written} if len(rows) == 1 else {"surfaces": rows, "pictures": written})
        return
    for one in found:
        rows_of = {name: _text(value) for name, value in one.to_dict().items() if value is not None}
        name = rows_of.pop("checkpoint")
        print_table(f"{name}: {rows_of.pop('neuron')} on {rows_of.pop('dataset')}", rows_of)
    print_written(written)


def _text(value: Any) -> Any:
    """Several numbers in one cell."""
    return ", ".join(f"{number:.4g}" for number in value) if isinstance(value, tuple | list) else value
