"""One run folder, read for comparison with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.checkpoints.native import load_checkpoint
from brfkit.cost import Cost, cost
from brfkit.errors import BrfkitError
from brfkit.runs.config import LSTM, Config
from brfkit.runs.folder import CONFIG, METRICS, RunFolder
from brfkit.runs.metrics import Row, best_epoch

CURVES = ("accuracy", "loss", "spikes_per_sample")


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds.

    Attributes:
        folder: where it is.
        config: its settings.
        epochs: int (E,), ascending, 0 is before training.
        curves: by name (accuracy in percent, loss, spikes_per_sample), float (E,), of the split that was asked for.
        best_epoch: the one that stands for the run (:func:`brfkit.runs.metrics.best_epoch`).
        parameters: trained numbers.
        seconds: of all epochs, training and measuring, whether in one session or in several.
        cost: per sample, at the best epoch; None where the folder does not tell.
        finished: whether the run came to its end.
        diverged: what stopped being finite, or None.
        notes: what training noted: about the data, sequences shorter than a period, layers that do not spike.
        frozen: single weights that did not change in the last epoch although they had a gradient.
        silent_layer: whether training found a layer without a spike at the best epoch.
        classes: of the data; None where the folder does not tell.
    """

    folder: Path
    config: Config
    epochs: NDArray[np.int64]
    curves: Mapping[str, NDArray[np.float64]]
    best_epoch: int
    parameters: int
    seconds: float
    cost: Cost | None
    finished: bool
    diverged: str | None
    classes: int | None = None
    notes: tuple[str, ...] = ()
    frozen: int = 0
    silent_layer: bool = False

    @property
    def seed(self) -> int:
        return self.config.training.seed

    @property
    def silent(self) -> bool:
        """Whether no neuron of a spiking network, or of one of its layers, spikes at the best epoch."""
        return self.config.network.neuron != LSTM and (self.silent_layer or self.at_best("spikes_per_sample") == 0.0)

    @property
    def learned(self) -> bool:
        """Whether the last accuracy is above that before training and at least a tenth above chance, that of equally
        frequent classes or, where the folder does not hold their number, of the untrained network."""
        accuracy = self.curves["accuracy"]
        if self.silent:
            return False
        before = float(accuracy[0]) if self.epochs[0] == 0 else 0.0
        chance = 100.0 / self.classes if self.classes else before
        return bool(accuracy[-1] > before and accuracy[-1] >= 1.1 * chance)

    @property
    def state(self) -> str:
        """A few words on how it ended: finished, unfinished, diverged, silent, with frozen weights."""
        if self.diverged:
            return "diverged"
        if self.silent:
            return "silent" if self.finished else "silent, unfinished"
        if self.finished:
            return "finished, frozen weights" if self.frozen else "finished"
        return f"epoch {self.epochs[-1]} of {self.config.training.epochs}"

    def at_best(self, curve: str) -> float:
        """A figure of the best epoch."""
        return float(self.curves[curve][self.epochs == self.best_epoch][0])


def expand(folders: Iterable[str | Path]) -> list[Path]:
    """Every folder once; in place of a folder of ``--seeds`` the runs in it, in the order of the seeds."""
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        inside = [path for path in folder.glob("seed-*") if path.is_dir()]
        inside.sort(key=lambda path: (len(path.name), path.name))
        for path in inside if inside and not RunFolder(folder).has(CONFIG) else [folder]:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def read_run(folder: Path, split: str = "test") -> RunRecord:
    """Read a run folder.

    Args:
        folder: of a run that may still be going on.
        split: which rows of the metrics count.

    Raises:
        BrfkitError: it is not a run folder, a file is damaged, or there are no figures of that split.
    """
    if not folder.is_dir():
        raise BrfkitError("there is no such folder")
    run = RunFolder(folder)
    for name in (CONFIG, METRICS):
        if not run.has(name):
            raise BrfkitError(f"it holds no {name}")
    config, rows = run.config, run.metrics()
    by_epoch = {row.epoch: row for row in rows if row.split == split}
    best = best_epoch(rows, config.training.stop_accuracy)
    if best not in by_epoch:
        raise BrfkitError(f"its {METRICS} has no {split} figures of epoch {best}")
    provenance, result = run.provenance(), run.result()
    parameters = provenance.get("parameters", result.get("parameters"))
    if parameters is None:
        parameters = load_checkpoint(run.checkpoint_file()).network.parameter_count()
    order = sorted(by_epoch)
    return RunRecord(
        folder=folder,
        config=config,
        epochs=np.array(order),
        curves={name: np.array([getattr(by_epoch[e], name) for e in order], np.float64) for name in CURVES},
        best_epoch=best,
        parameters=int(parameters),
        seconds=sum(row.seconds for row in rows),
        cost=_cost(config, provenance, result, by_epoch[best]),
        finished=bool(result) and not result.get("diverged"),
        diverged=result.get("diverged"),
        classes=_count(provenance.get("classes")),
        notes=tuple(result.get("notes", ())),
        frozen=result.get("frozen_weights", 0),
        silent_layer=bool(result.get("silent", False)),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _cost(config: Config, provenance: Mapping[str, Any], result: Mapping[str, Any], best: Row) -> Cost | None:
    """From the spikes of each layer: the total where there is one layer, otherwise those of the end of the run."""
    network = config.network
    by_layer = result.get("spikes_by_layer")
    if len(network.hidden) == 1:
        by_layer = [best.spikes_per_sample]
    sizes = ("steps", "channels", "classes")
    if by_layer is None or network.neuron == LSTM or not {*sizes, "active_inputs"} <= provenance.keys():
        return None
    if len(by_layer) != len(network.hidden):
        return None
    steps, channels, classes = (int(provenance[key]) for key in sizes)
    spikes = dict(enumerate(by_layer))
    active, density = float(provenance["active_inputs"]), [one.densities for one in network.resolved_layers()]
    return cost(network.hidden, classes, network.recurrent_layers, steps, channels, active, spikes, density)
