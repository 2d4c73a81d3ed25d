"""One trial: a run for every seed, reported to Optuna epoch by epoch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.backends.base import Backend
from brfkit.errors import BrfkitError
from brfkit.runs.folder import RunFolder
from brfkit.runs.metrics import VALIDATION, Row, best_epoch
from brfkit.runs.seeds import seed_folder
from brfkit.sweeps.space import suggest
from brfkit.sweeps.storage import HEARTBEAT, PROCESS, import_optuna, process_attributes
from brfkit.sweeps.study_file import StudySpec

if TYPE_CHECKING:
    import optuna

    from brfkit.training.trainer import Trainer

TRIALS = "trials"


@dataclass(frozen=True)
class Places:
    """Folders and compute backend of a trial."""

    folder: Path
    backend: Backend
    data_dir: str | Path | None = None
    picture: Any = None


class _Observer:
    """Tells Optuna about every epoch, and stops the run that it wants pruned."""

    def __init__(
        self, spec: StudySpec, trial: optuna.Trial, places: Places, finished: Sequence[float], seed: int
    ) -> None:
        self.spec, self.trial, self.places, self.finished, self.seed = spec, trial, places, list(finished), seed
        self.epochs = 0
        self._signed = time.monotonic()

    def started(self, trainer: Trainer, epoch: int, epochs: int) -> None:
        self.epochs = epochs

    def step(self, done: int, total: int) -> None:
        self._sign()

    def epoch(self, rows: list[Row], best: int) -> None:
        self._sign()
        objective = self.spec.objectives[0]
        now = max(row.epoch for row in rows)
        if len(self.spec.objectives) > 1 or objective not in ("validation_accuracy", "validation_loss"):
            return
        value = _at_best(rows, objective)
        if not math.isfinite(value):
            return
        mean = sum([*self.finished, value]) / (len(self.finished) + 1)
        step = len(self.finished) * (self.epochs + 1) + now
        self.trial.report(mean, step)
        if now and self.trial.should_prune():
            raise import_optuna().TrialPruned

    def _sign(self) -> None:
        """Sends heartbeats, for workers on other machines."""
        if time.monotonic() - self._signed > HEARTBEAT:
            self._signed = time.monotonic()
            self.trial.set_user_attr(PROCESS, process_attributes())


def run_trial(spec: StudySpec, trial: optuna.Trial, places: Places) -> tuple[float, ...]:
    """Train what a trial asks for with every seed; returns the objectives, means over the seeds.

    The runs lie in ``trials/<number>/seed-<seed>``; a trial that is run again goes on with the folder of the first.

    Raises:
        BrfkitError: the settings are refused, or training diverged before anything could be measured.
        optuna.TrialPruned: the pruner gave the trial up.
    """
    name = str(trial.user_attrs.get("folder", f"{trial.number:04d}"))
    values = suggest(spec.dimensions, trial, spec.fixed())
    folder = places.folder / TRIALS / name
    trial.set_user_attr("folder", name)
    results: list[dict[str, float]] = []
    for seed in spec.seeds:
        first = [result[spec.objectives[0]] for result in results]
        results.append(_run(spec, values, seed, seed_folder(folder, seed), _Observer(spec, trial, places, first, seed)))
        trial.set_user_attr("runs", json.dumps(results))
    means = tuple(sum(result[name] for result in results) / len(results) for name in spec.objectives)
    if not all(math.isfinite(mean) for mean in means):
        raise BrfkitError("training diverged before anything could be measured")
    return means


def _run(spec: StudySpec, values: Mapping[str, Any], seed: int, folder: Path, observer: _Observer) -> dict[str, float]:
    from brfkit.training.run import train  # needs torch

    places = observer.places
    config = spec.config(values, seed)
    if "validation_accuracy" in spec.objectives and config.data.validation_fraction == 0:
        raise BrfkitError("a study selects on validation samples; data.validation_fraction is 0")
    folder.parent.mkdir(parents=True, exist_ok=True)
    result = train(
        config, folder, places.backend, data_dir=places.data_dir, resume=True, observer=observer,
        picture=places.picture,
    )  # fmt: skip
    rows = RunFolder(folder).metrics()
    found = {name: _at_best(rows, name) for name in ("validation_accuracy", "validation_loss", "spikes_per_sample")}
    found |= {"parameters": float(result.parameters), "seconds": float(result.seconds), "seed": float(seed)}
    return found | {"test_accuracy": float(result.test_accuracy), "best_epoch": float(result.best_epoch)}


def _at_best(rows: Sequence[Row], objective: str) -> float:
    """A figure of the validation samples at the epoch of the lowest validation loss."""
    measured = [row for row in rows if row.split == VALIDATION]
    if not measured:
        return math.nan
    best = best_epoch(measured)
    row = next(row for row in measured if row.epoch == best)
    column = {"validation_accuracy": "accuracy", "validation_loss": "loss"}.get(objective, objective)
    return float(getattr(row, column))
