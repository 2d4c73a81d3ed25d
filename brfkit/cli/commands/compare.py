"""``brfkit compare``."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.checks import PICTURES, suffix
from brfkit.cli.options import common, print_json, style

TABLES = (".csv", ".md", ".tex")


@click.command()
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN…")
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--label", "labels", multiple=True, metavar="TEXT",
              help="Name of a group, once for each in their order.  [default: what differs]")  # fmt: skip
@click.option("--out", multiple=True, type=click.Path(dir_okay=False), callback=suffix(TABLES), metavar="FILE",
              help="The table: .csv, .md or .tex; may be repeated.")  # fmt: skip
@click.option("--curves", type=click.Path(dir_okay=False), callback=suffix((".csv",)),
              help="Mean and deviation of every epoch: .csv.")  # fmt: skip
@click.option("--plot", type=click.Path(dir_okay=False), callback=suffix(PICTURES),
              help="Learning curves: .png, .svg or .pdf.")  # fmt: skip
@click.option("--log-epochs/--linear-epochs", default=None,
              help="Epochs in the picture.  [default: logarithmic beyond 50]")  # fmt: skip
@style()
@click.option("--force", is_flag=True, help="Overwrite --out, --curves and --plot.")
@common
def command(runs: tuple[str, ...], as_json: bool, split: str, labels: tuple[str, ...], **options: Any) -> None:
    """Learning curves and a table of several runs.

    RUN is a run folder, or the folder of several seeds. Runs whose settings differ only in the seed are one group: mean
    ± standard deviation. A run that cannot be read is named and left out.

    \b
    brfkit compare runs/ecg-brf-* runs/ecg-rf-* --plot ecg.png --out ecg.md
    brfkit compare runs/ecg-brf runs/ecg-alif --out ecg.csv --out ecg.tex --curves curves.csv
    """
    from brfkit.analysis.runs.compare import compare
    from brfkit.analysis.runs.tables import curves_csv, write_table
    from brfkit.io.atomic import atomic_path, atomic_write, check_writable

    out, curves, plot, force = (options[name] for name in ("out", "curves", "plot", "force"))
    written = [file for file in (*out, curves, plot) if file is not None]
    for file in written:
        check_writable(file, force)
    comparison = compare(runs, split=split, labels=labels)
    for file in out:
        write_table(file, comparison, force)
    if curves is not None:
        with atomic_write(curves, "w", force) as stream:
            stream.write(curves_csv(comparison))
    if plot is not None:
        from brfkit.plotting.compare import compare_figure

        with atomic_path(plot, force) as path:
            compare_figure(comparison, log_epochs=options["log_epochs"]).savefig(path)
    for folder, reason in comparison.left_out:
        click.echo(f"left out: {folder}: {reason}", err=True)
    for remark in comparison.remarks:
        click.echo(f"note: {remark}", err=True)
    if as_json:
        print_json(_to_dict(comparison) | {"out": list(out), "curves": curves, "plot": plot})
    else:
        _report(comparison, written)


def _to_dict(comparison: Any) -> dict[str, Any]:
    from brfkit.analysis.runs.compare import figures

    return {
        "split": comparison.split,
        "groups": [{**figures(group), "folders": [str(r.folder) for r in group.runs]} for group in comparison.groups],
        "left_out": [{"run": folder, "reason": reason} for folder, reason in comparison.left_out],
        "remarks": list(comparison.remarks),
        "definition": comparison.definition,
    }


def _report(comparison: Any, written: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from brfkit.analysis.runs.tables import cells

    rows = [cells(group, comparison.split) for group in comparison.groups]
    first, *others = rows[0]
    for names in (others[:4] + others[-2:], others[4:8], others[8:-2]):
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in (first, *names):
            table.add_column(name, justify="left" if name == first else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in (first, *names)))
        wanted = Console(width=1000).measure(table).maximum
        # A file gets lines as long as the table needs; a terminal has its width.
        Console(width=None if Console().is_terminal else wanted).print(table)
        click.echo()
    click.echo(comparison.definition)
    for group in comparison.groups:
        if group.hides_settings:
            click.echo(f"{group.label}: {group.settings}")
    if written:
        click.echo(f"written: {', '.join(written)}")
