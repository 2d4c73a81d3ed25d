"""``brfkit data``: what data sets there are, fetch them, check them, look at them."""

from __future__ import annotations

from typing import Any

import click

from brfkit.cli.command import OUTPUT, cli_group, option
from brfkit.cli.display import console, say
from brfkit.cli.options import common, data_dir, print_json, print_table, style
from brfkit.cli.parameters import DatasetName
from brfkit.cli.progress import progress

_STATES = {"ok": "content verified", "different": "other content than published", "unchecked": "present"}


@cli_group()
def command() -> None:
    """List, download, check and show the data sets.

    \b
    brfkit data list
    brfkit data fetch shd
    brfkit data show ecg --out ecg.png
    """


@command.command("list")
@data_dir
@common
def list_(data_dir: str | None, as_json: bool) -> None:
    """All data sets, and what of them is on this machine.

    \b
    brfkit data list
    """
    from brfkit.data import dataset_names, describe

    found = [describe(name, data_dir, checksums=False) for name in dataset_names()]
    if as_json:
        print_json({"datasets": [d.as_dict() for d in found]})
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "data set", "channels", "steps", "classes", "state"):
        table.add_column(heading, justify="right" if heading in ("channels", "steps", "classes") else "left")
    for d in found:
        sizes = (str(d.channels), str(d.steps), str(len(d.class_names)))
        table.add_row(d.name, d.title, *sizes, _STATES.get(d.state, d.state))
    console().print(table)


@command.command()
@click.argument("name", type=DatasetName())
@data_dir
@common
def info(name: str, data_dir: str | None, as_json: bool) -> None:
    """Size, licence, citation, splits and checksums of one data set or file.

    \b
    brfkit data info ecg
    """
    from brfkit.data import describe

    found = describe(name, data_dir, read=True)
    if as_json:
        print_json(found.as_dict())
        return
    rows: dict[str, Any] = {
        "shape": f"{found.steps} steps of {found.channels} channels",
        "labels": f"{len(found.class_names)} classes, one label per {'step' if found.labels_per_step else 'sample'}",
        "classes": ", ".join(found.class_names),
    }
    for split, count in (found.samples or found.published_samples).items():
        spikes = (found.spikes_per_sample or {}).get(split)
        rows[split] = f"{count:,} samples" + (f", {spikes:,.0f} spikes each" if spikes else "")
    for file in found.files:
        size = f", {file.bytes / 1e6:.1f} MB" if file.bytes is not None else ""
        rows[file.name] = f"{_STATES.get(file.state, file.state)}{size}" + (
            f", from {file.url}" if file.state == "missing" else ""
        )
    rows |= {"folder": found.folder or "generated, no files", "licence": found.licence, "source": found.citation}
    print_table(found.title, rows | ({"notes": found.notes} if found.notes else {}))


@command.command()
@click.argument("name", type=DatasetName())
@option("--mirror", help="Address of a folder that holds the files, asked in place of the usual servers.")
@option("--force", is_flag=True, help="Replace files whose content is not the published one.")
@data_dir
@common
def fetch(name: str, mirror: str | None, force: bool, data_dir: str | None, as_json: bool) -> None:
    """Download what is missing of a data set; a broken download goes on where it ended.

    \b
    brfkit data fetch ecg
    brfkit data fetch shd --data-dir ~/datasets
    """
    from brfkit.data import fetch

    with progress(f"fetching {name}", "bytes") as advance:
        files = fetch(
            name,
            data_dir,
            mirror=mirror,
            force=force,
            progress=lambda file, done, total: advance(done, total or max(done, 1)),
        )
    if as_json:
        listed = [{"name": f.name, "path": str(f.path), "bytes": f.bytes, "state": f.state} for f in files]
        print_json({"dataset": name, "files": listed})
    else:
        print_table(name, {f.name: f"{f.state}, {f.path}" for f in files} or {name: "generated, nothing to fetch"})


@command.command()
@click.argument("name", type=DatasetName())
@option("--sample", "samples", multiple=True, type=click.IntRange(0), help="Number of a sample; repeatable.")
@option("--split", default="test", show_default=True)
@option(
    "--binning",
    type=click.Choice(["full", "paper"]),
    help="Event data: how spikes become steps.  [default: as train does]",
)
@option("--time-unit", type=click.Choice(["s", "ms", "us"]), help="Event data: unit of the times in the file.")
@option(
    "--out", type=click.Path(), metavar="FILE", panel=OUTPUT, help="Picture (.png, .svg or .pdf).  [default: NAME.png]"
)
@style(None)
@option("--force", is_flag=True, panel=OUTPUT, help="Overwrite the picture.")
@data_dir
@common
def show(
    name: str,
    samples: tuple[int, ...],
    split: str,
    binning: str | None,
    time_unit: str | None,
    out: str | None,
    force: bool,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Draw samples: rasters of spikes, images and their sequences, channels and labels.

    \b
    brfkit data show shd --sample 3 --sample 17 --out shd.png
    """
    from pathlib import Path

    from brfkit.data import load
    from brfkit.io.atomic import atomic_path, check_writable
    from brfkit.plotting.samples import figure

    target = Path(out or f"{Path(name).stem}.png")
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise click.BadParameter(f"{target} must end in .png, .svg or .pdf", param_hint="--out")
    check_writable(target, force)
    data = load(name, data_dir=data_dir, splits=(split,), binning=_binning(name, binning, time_unit))
    drawn = figure(data, split=split, samples=samples or (0, 1, 2))
    with atomic_path(target, force) as path:
        drawn.savefig(path)
    if as_json:
        print_json({"dataset": name, "split": split, "samples": list(samples or (0, 1, 2)), "out": str(target)})
    else:
        say(str(target))


def _binning(name: str, given: str | None, time_unit: str | None = None) -> Any:
    """As asked for, else the binning with which ``train`` reads the data set."""
    from brfkit.data import dataset_names, dataset_spec
    from brfkit.runs.config import DataConfig
    from brfkit.runs.datasets import get_binning
    from brfkit.runs.resolve import resolve

    if given is None and name.lower() in dataset_names() and dataset_spec(name.lower()).events:
        given = resolve(name).data.binning
    return get_binning(DataConfig(dataset=name, binning=given, time_unit=time_unit))


@command.command()
@click.argument("records", nargs=-1, required=True, type=click.Path())
@option("--out", type=click.Path(), metavar="FILE", panel=OUTPUT, required=True, help="Data set to write (.npz).")
@option("--delta", type=click.FloatRange(0, min_open=True), default=0.1, show_default=True, help="Level distance.")
@option("--steps", type=click.IntRange(1), help="Length of a sample.  [default: 1300; per beat: 256]")
@option("--annotations", "--annotator", default="q1c", show_default=True, metavar="EXT",
        help="Suffix of the annotation files: q1c has waves, atr has beats.")  # fmt: skip
@option("--labels", type=click.Choice(["wave", "step", "beat"]),
        help="A wave for each step; the class of the beat for each step; a window and a class for each beat.  "
             "[default: wave for q1c, else beat]")  # fmt: skip
@option("--force", is_flag=True, panel=OUTPUT, help="Overwrite the file.")
@common
def encode(
    records: tuple[str, ...],
    out: str,
    delta: float,
    steps: int | None,
    annotations: str,
    labels: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Encode raw ECG recordings (WFDB) by level crossing as a custom data set.

    RECORDS are paths without suffix; header, signal and annotations lie beside each other. Needs the package wfdb.

    \b
    brfkit data encode qtdb/sel100 qtdb/sel102 --out qtdb.npz
    brfkit data encode mitdb/100 --annotations atr --labels beat --out beats.npz
    brfkit train --dataset beats.npz --test-fraction 0.2
    """
    import numpy as np

    from brfkit.data.ecg import CLASS_NAMES
    from brfkit.data.formats.beats import encode_beats
    from brfkit.data.formats.levelcross import encode_records
    from brfkit.io.atomic import atomic_write, check_writable

    check_writable(out, force)
    labels = labels or ("wave" if annotations == "q1c" else "beat")
    steps = steps or (256 if labels == "beat" else 1300)
    if labels == "wave":
        split = encode_records(records, delta=delta, steps=steps, annotator=annotations)
        names: tuple[str, ...] = CLASS_NAMES
    else:
        split, names = encode_beats(records, delta=delta, steps=steps, annotations=annotations, labels=labels)
    arrays = {"x_train": split.x, "y_train": split.y, "class_names": np.array(names)}
    if split.groups is not None:
        arrays["groups_train"] = split.groups
    with atomic_write(out, force=force) as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    counts = {"samples": len(split), "steps": steps, "classes": len(names), "records": len(records), "out": out}
    if as_json:
        print_json(counts)
    else:
        print_table("Encoded", counts)
