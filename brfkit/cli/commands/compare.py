"""``brfkit compare``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import suffix
from brfkit.cli.command import OUTPUT, cli_command, option
from brfkit.cli.display import console
from brfkit.cli.options import check_outputs, common, output, print_json, print_written, split
from brfkit.cli.parameters import CheckpointPath

TABLES = (".csv", ".md", ".tex")


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    from brfkit.analysis.runs.columns import chosen_columns
    from brfkit.errors import BrfkitError

    names = [name.strip() for name in value.split(",") if name.strip()]
    try:
        chosen_columns(names)
    except BrfkitError as error:
        raise click.BadParameter(str(error)) from None
    return names


@cli_command()
@click.argument("runs", type=CheckpointPath(), nargs=-1, required=True, metavar="RUN…")
@split(("test", "validation"))
@option("--label", "labels", multiple=True, metavar="TEXT",
        help="Name of a group, once for each in their order.  [default: what differs]")  # fmt: skip
@option("--out", multiple=True, type=click.Path(), callback=suffix(TABLES), metavar="FILE", panel=OUTPUT,
        help="The table: .csv, .md or .tex; may be repeated.")  # fmt: skip
@option("--columns", metavar="NAME,…", callback=_columns, panel=OUTPUT,
        help="Columns of the table, also of .md and .tex.  [default: all; .tex: what fits a page]")  # fmt: skip
@option("--curves", type=click.Path(), metavar="FILE", callback=suffix((".csv",)), panel=OUTPUT,
        help="Mean and deviation of every epoch: .csv.")  # fmt: skip
@option("--stretch-accuracy", is_flag=True, needs=("plot",), panel=OUTPUT,
        help="Give the upper end of the accuracy in the picture more room.")  # fmt: skip
@option("--log-epochs/--linear-epochs", default=None, needs=("plot",), panel=OUTPUT,
        help="Epochs in the picture.  [default: logarithmic beyond 50]")  # fmt: skip
@output(plot=True, more=("out", "curves"))
@common
def command(runs: tuple[str, ...], as_json: bool, split: str, labels: tuple[str, ...], **options: Any) -> None:
    """Learning curves and a table of several runs.

    RUN is a run folder, or the folder of several seeds. Runs whose settings differ only in the seed are one group: mean
    ± standard deviation, and the difference in accuracy to the first group, paired over the seeds. A run that cannot be
    read is named and left out.

    \b
    brfkit compare runs/ecg-brf-* runs/ecg-rf-* --plot ecg.png --out ecg.md
    brfkit compare runs/ecg-brf runs/ecg-alif --out ecg.csv --out ecg.tex --curves curves.csv
    brfkit compare runs/ecg-brf runs/ecg-rf --columns accuracy,p,spikes --out ecg.tex --plot ecg.pdf --style paper
    """
    from brfkit.analysis.runs.compare import compare
    from brfkit.analysis.runs.tables import curves_csv, write_table
    from brfkit.io.atomic import atomic_path, atomic_write
    from brfkit.io.text import visible

    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise click.UsageError(f"label {twice!r} is given twice; each group has its own.")
    out, curves, plot, force = (options[name] for name in ("out", "curves", "plot", "force"))
    written = check_outputs(force, *out, curves, plot)
    comparison = compare(runs, split=split, labels=labels)
    for file in out:
        write_table(file, comparison, force, options["columns"])
    if curves is not None:
        with atomic_write(curves, "w", force) as stream:
            stream.write(curves_csv(comparison))
    if plot is not None:
        from brfkit.plotting.compare import compare_figure

        with atomic_path(plot, force) as path:
            compare_figure(
                comparison, log_epochs=options["log_epochs"], stretch_accuracy=options["stretch_accuracy"]
            ).savefig(path)
    for folder, reason in comparison.left_out:
        click.echo(visible(f"left out: {folder}: {reason}"), err=True)
    for remark in comparison.remarks:
        click.echo(visible(f"note: {remark}"), err=True)
    if as_json:
        print_json(_to_dict(comparison) | {"out": list(out), "curves": curves, "plot": plot})
    else:
        _report(comparison, written, options["columns"])


def _to_dict(comparison: Any) -> dict[str, Any]:
    from brfkit.analysis.runs.columns import rows_of

    rows = rows_of(comparison)
    return {
        "split": comparison.split,
        "groups": [{**row.values, "folders": [str(r.folder) for r in row.group.runs]} for row in rows],
        "left_out": [{"run": folder, "reason": reason} for folder, reason in comparison.left_out],
        "remarks": list(comparison.remarks),
        "definition": comparison.definition,
    }


def _report(comparison: Any, written: list[str], columns: list[str] | None) -> None:
    from rich.table import Table

    from brfkit.analysis.runs.columns import NAMES
    from brfkit.analysis.runs.tables import caption, cells
    from brfkit.io.text import visible

    chosen = NAMES if columns is None else columns
    rows = cells(comparison, chosen)
    for names in _blocks(rows):
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in names:
            table.add_column(name, justify="left" if name == names[0] else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in names))
        wanted = console(width=1000).measure(table).maximum
        # A file gets lines as long as the table needs; a terminal has its width.
        console(width=None if console().is_terminal else wanted).print(table)
        click.echo()
    click.echo(visible(caption(comparison, chosen)))
    for group in comparison.groups:
        if group.hides_settings:
            click.echo(visible(f"{group.label}: {group.settings}"))
    print_written(written)


def _blocks(rows: list[dict[str, str]], width: int = 100) -> list[list[str]]:
    """Headings of tables of at most so many characters; each begins with the first column."""
    first, *others = rows[0]
    size = {name: 2 + max(len(text) for text in (name, *(row[name] for row in rows))) for name in rows[0]}
    blocks: list[list[str]] = [[first]]
    for name in others:
        if len(blocks[-1]) > 1 and sum(size[n] for n in (*blocks[-1], name)) > width:
            blocks.append([first])
        blocks[-1].append(name)
    return blocks
