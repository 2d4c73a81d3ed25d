"""Sections of a report that stand in files: the run itself, its learning curves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.reports.context import Context
from brfkit.reports.parts import Block, Note, Picture, Section, Table, Watch, number
from brfkit.runs.config import Config
from brfkit.runs.folder import CONFIG, METRICS, RunFolder
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row, best_epoch
from brfkit.runs.remarks import frozen_note, silence_remedy

EPOCHS = 25  # rows at most of the table of epochs


def _rows(context: Context) -> list[Row]:
    return context.folder.metrics() if context.folder is not None else []


def run_section(context: Context, watch: Watch) -> Section:
    """Settings and results of the run; for a file without history, its evaluation."""
    config, rows = context.config, _rows(context)
    blocks: list[Block] = []
    headline: dict[str, str] = {}
    if rows:
        table, headline = _results(rows, _stop_accuracy(config))
        blocks.append(table)
    elif not context.is_lstm:
        table, headline = _evaluated(context, watch)
        blocks.append(table)
    provenance, result = _recorded(context.folder)
    if result.get("diverged"):
        blocks.append(Note(f"The run diverged: {result['diverged']}."))
    elif result.get("stopped"):
        blocks.append(Note(f"Training was stopped: {result['stopped']}."))
    elif rows and not result:
        blocks.append(Note("The run is not finished; these are its figures so far."))
    elif rows:
        blocks.append(Note("The run is finished."))
    best = best_epoch(rows, _stop_accuracy(config)) if rows else None
    spikes = any(r.spikes_per_sample for r in rows if r.epoch == best) or context.is_lstm or not rows
    marks, notes = _remarks(result, None if spikes else best, config)
    blocks += notes
    headline |= marks
    parameters = provenance.get("parameters", result.get("parameters"))
    if not context.is_lstm:
        network = context.trained.network
        parameters = network.parameter_count()
        blocks.append(_network(network))
    if parameters is not None:
        headline["parameters"] = number(int(parameters))
    origin = _origin(provenance, result, rows)
    if origin.rows:
        blocks.append(origin)
    if config is None:
        blocks.append(Note("The settings of the training are not known: this is a checkpoint without a run folder."))
    else:
        blocks.append(_settings(config))
    intro = "Settings and results of the run." if rows else "Content of the checkpoint and its evaluation."
    return Section("run", "Run", intro, tuple(blocks), headline)


def _remarks(
    result: Mapping[str, Any], silent_epoch: int | None, config: Config | None
) -> tuple[dict[str, str], list[Note]]:
    """What the figures have to be read with: marks for the top of the page, and notes with the option that helps.

    Args:
        result: of the run; empty where it is not finished.
        silent_epoch: the best epoch, where no neuron spikes in it.
        config: of the run.
    """
    texts, marks = list(result.get("notes", ())), {}
    silent, frozen = bool(result.get("silent")) or silent_epoch is not None, int(result.get("frozen_weights", 0))
    notes = []
    if result.get("silent") and texts:
        notes.append(f"The network is silent: {texts.pop()}")  # training puts it last
    elif silent:
        remedy = "" if config is None else f"; {silence_remedy(config.network)}"
        notes.append(f"The network is silent: no neuron spikes at the best epoch, {silent_epoch}{remedy}")
    if frozen:
        notes.append(frozen_note(frozen))
        marks["frozen weights"] = number(frozen)
    if silent:
        marks["silent"] = "yes"
    return marks, [Note(f"{text[:1].upper()}{text[1:]}.") for text in (*notes, *texts)]


def _recorded(folder: RunFolder | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Provenance and result of a run; empty where there is none."""
    return ({}, {}) if folder is None else (folder.provenance(), folder.result())


def _stop_accuracy(config: Config | None) -> float | None:
    return None if config is None else config.training.stop_accuracy


def _results(rows: Sequence[Row], stop_accuracy: float | None) -> tuple[Table, dict[str, str]]:
    best, last = best_epoch(rows, stop_accuracy), max(row.epoch for row in rows)
    shown = [row for row in rows if row.epoch in (best, last)]
    names = {best: f"{best} (best)", last: f"{last} (last)"}
    if best == last:
        names = {best: f"{best} (best, last)"}
    cells = tuple(
        (names[row.epoch], row.split, number(row.loss), f"{row.accuracy:.2f}", number(row.spikes_per_sample))
        for row in shown
    )
    table = Table("Results", ("epoch", "split", "loss (nats)", "accuracy (%)", "spikes per sample"), cells)
    at_best = {row.split: row for row in rows if row.epoch == best}
    row = at_best.get(TEST) or next(iter(at_best.values()))
    return table, {
        f"{row.split} accuracy": f"{row.accuracy:.2f} %",
        f"{row.split} loss": number(row.loss),
        "spikes per sample": number(row.spikes_per_sample),
        "best epoch": f"{best} of {last}",
    }


def _evaluated(context: Context, watch: Watch) -> tuple[Table, dict[str, str]]:
    from brfkit.analysis.network.evaluate import evaluate

    with watch("evaluating", "samples") as advance:
        found = evaluate(context.network, context.data, progress=advance, **context.computing())
    headline = {
        "test accuracy": f"{found.accuracy:.2f} %",
        "test loss": number(found.loss),
        "spikes per sample": number(found.spikes_per_sample),
    }
    caption = f"Results on {found.samples:,} test samples of {found.dataset}"
    return Table(caption, ("figure", "value"), tuple(headline.items())), headline


def _network(network: Network) -> Table:
    rows = []
    for index, layer in enumerate(network.layers):
        off = [option.name for option in layer.spec.options if not layer.options.get(option.name, option.default)]
        rows.append((
            layer.name, layer.spec.variant_label(layer.options), number(layer.units), number(network.fan_in(index)),
            "yes" if layer.recurrent else "no", layer.surrogate_name or "–", ", ".join(off) or "–",
        ))  # fmt: skip
    columns = ("layer", "neuron", "units", "inputs", "recurrent", "surrogate", "switched off")
    return Table(f"Network, δ = {network.dt:g}", columns, tuple(rows))


def _origin(provenance: Mapping[str, Any], result: Mapping[str, Any], rows: Sequence[Row]) -> Table:
    """Backend, versions, commit and hashes of the data, as far as the folder has them."""
    values: dict[str, str] = {}
    backend = provenance.get("backend", result.get("backend"))
    if backend:
        values["backend"] = str(backend)
    if rows:
        values["seconds of training and measuring"] = number(sum(row.seconds for row in rows))
    peak = result.get("peak_memory_mib")
    if isinstance(peak, int | float):
        values["peak memory (MiB)"] = number(float(peak))
    versions = provenance.get("versions")
    if isinstance(versions, dict):
        values["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    if provenance.get("git_commit"):
        values["commit"] = str(provenance["git_commit"])
    for split, digest in (provenance.get("data_sha256") or {}).items():
        values[f"SHA-256 of the {split} data"] = str(digest)
    return Table("Provenance", ("what", "value"), tuple(values.items()), folded=True)


def _settings(config: Config) -> Table:
    rows = [
        (f"{section}.{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for section, values in config.to_dict().items()
        for key, value in values.items()
    ]
    return Table("All settings", ("setting", "value"), tuple(rows), folded=True)


def train_command(folder: RunFolder) -> str:
    """The recorded command line of the run; else one that trains with its configuration."""
    words = folder.provenance().get("command")
    if isinstance(words, list) and "train" in words:
        kept = [str(word) for word in words[words.index("train") :] if word != "--force"]  # which would undo this run
        return shlex.join(["brfkit", *kept])
    return shlex.join(["brfkit", "train", "--config", str(folder / CONFIG), "--run-dir", f"{folder.path}-again"])


def curves_section(context: Context, watch: Watch) -> Section:
    """Loss, accuracy and spikes over the epochs."""
    from brfkit.plotting.curves import learning_curve

    folder, rows = context.folder, _rows(context)
    if folder is None or not rows:
        raise BrfkitError(f"there is no history of the training ({METRICS} of a run folder)")
    config = context.config
    title = context.name
    if config is not None:
        title = f"{config.data.title}, {config.network.title}, seed {config.training.seed}"
    stop_accuracy = _stop_accuracy(config)
    best = best_epoch(rows, stop_accuracy)
    picture = Picture(
        "learning-curve",
        partial(learning_curve, rows, title, stop_accuracy),
        "Loss, accuracy and spikes per sample over the epochs. Epoch 0 is before training; training figures are those "
        "seen while training. The grey line is the best epoch.",
        f"Three line charts over epochs 0 to {max(row.epoch for row in rows)}: loss, accuracy, spikes per sample. "
        + _course(rows, best),
        (f"{train_command(folder)}  # learning_curve.png",),
    )
    return Section(
        "curves", "Learning curves", "How training went, epoch by epoch.", (picture, _epochs(rows, best))
    )  # fmt: skip


def _course(rows: Sequence[Row], best: int) -> str:
    parts = []
    for split in (VALIDATION, TEST):
        of = {row.epoch: row.accuracy for row in rows if row.split == split}
        if of and best in of:
            first = min(of)
            parts.append(
                f"{split} accuracy is {of[first]:.1f} % at epoch {first} and {of[best]:.1f} % at the best epoch, {best}"
            )
    return "; ".join(parts).capitalize() + "." if parts else ""


def _epochs(rows: Sequence[Row], best: int) -> Table:
    """Every epoch, or where they are many some of them, evenly spread, with the first, the best and the last."""
    epochs = sorted({row.epoch for row in rows})
    step = -(-len(epochs) // EPOCHS)
    shown = sorted({*epochs[::step], best, epochs[-1]})
    splits = [split for split in (TRAIN, VALIDATION, TEST) if any(row.split == split for row in rows)]
    by = {(row.epoch, row.split): row for row in rows}
    cells = []
    for epoch in shown:
        line = [f"{epoch} (best)" if epoch == best else str(epoch)]
        for split in splits:
            row = by.get((epoch, split))
            line += ["–"] * 3 if row is None else [
                number(row.loss), f"{row.accuracy:.2f}", number(row.spikes_per_sample)
            ]  # fmt: skip
        cells.append(tuple(line))
    columns = [f"{split} {what}" for split in splits for what in ("loss", "accuracy (%)", "spikes per sample")]
    caption = "Epochs" if step == 1 else f"One epoch in {step}, the best and the last"
    return Table(caption, ("epoch", *columns), tuple(cells), folded=True)
