"""What a study found: its trials as rows, the best one or the Pareto front, what mattered, and files of these."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write
from brfkit.sweeps.space import Dimension
from brfkit.sweeps.storage import RETRIED, import_optuna, open_study
from brfkit.sweeps.study_file import OBJECTIVES, StudySpec

if TYPE_CHECKING:
    import optuna

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: of the trial.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        params: value of every dimension that existed, by full name; a list or table as text.
        values: objectives, means over the seeds; empty unless complete.
        runs: figures of the run of every seed.
        folder: name below ``trials`` of the study's folder.
        error: why it failed.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    values: Mapping[str, float]
    runs: Sequence[Mapping[str, float]] = ()
    folder: str = ""
    error: str = ""

    def spread(self, name: str) -> float | None:
        """Standard deviation of a figure over the seeds (n - 1); None for a single one."""
        values = [run[name] for run in self.runs if name in run]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def mean(self, name: str) -> float | None:
        """Mean of a figure over the seeds."""
        values = [run[name] for run in self.runs if name in run]
        return float(np.mean(values)) if values else None

    def to_dict(self) -> dict[str, Any]:
        found = {"number": self.number, "state": self.state, "params": dict(self.params), **self.values}
        for name in ("validation_accuracy", "test_accuracy"):
            found[name] = self.mean(name)
            found[f"{name}_std"] = self.spread(name)
        return found | {"seeds": [int(run["seed"]) for run in self.runs], "folder": self.folder}


@dataclass(frozen=True)
class StudyResult:
    """A study with all its trials.

    Attributes:
        spec: the study.
        folder: where its trials lie.
        trials: by number; trials whose process died and that were repeated are excluded.
        best: the best complete trial; with several objectives the Pareto front.
        seconds: wall time of this call.
    """

    spec: StudySpec
    folder: Path
    trials: tuple[TrialRow, ...]
    best: tuple[TrialRow, ...]
    seconds: float = 0.0
    importances: Mapping[str, float] = field(default_factory=dict)

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        best: Any = {}
        if self.best:
            several = len(self.spec.objectives) > 1
            best = {"pareto": [t.to_dict() for t in self.best]} if several else self.best[0].to_dict()
        return {
            "study": self.spec.name,
            "trials": len(self.trials),
            "complete": self.count(COMPLETE),
            "pruned": self.count(PRUNED),
            "failed": self.count(FAILED),
            "best": best,
            "seconds": self.seconds,
        }

    def complete(self) -> list[TrialRow]:
        return [trial for trial in self.trials if trial.state == COMPLETE]


def study_result(spec: StudySpec, folder: Path, seconds: float = 0.0, importances: bool = False) -> StudyResult:
    """What is in a study's storage.

    Args:
        spec: the study.
        folder: of the study.
        seconds: that its run took.
        importances: whether to estimate how much each setting matters (takes seconds for many trials).

    Raises:
        BrfkitError: the storage cannot be read.
    """
    study = open_study(spec, folder)
    rows = tuple(_row(spec, t) for t in study.get_trials(deepcopy=False) if not t.user_attrs.get(RETRIED, False))
    complete = [row for row in rows if row.state == COMPLETE]
    best: tuple[TrialRow, ...] = ()
    if complete and len(spec.objectives) > 1:
        numbers = {trial.number for trial in study.best_trials}
        best = tuple(row for row in complete if row.number in numbers)
    elif complete:
        name = spec.objectives[0]
        sign = -1.0 if OBJECTIVES[name] else 1.0
        best = (min(complete, key=lambda row: (sign * row.values[name], row.number)),)
    return StudyResult(spec, folder, rows, best, seconds, _importances(spec, study) if importances else {})


def _row(spec: StudySpec, trial: optuna.trial.FrozenTrial) -> TrialRow:
    state = {"COMPLETE": COMPLETE, "PRUNED": PRUNED, "FAIL": FAILED}.get(trial.state.name, RUNNING)
    values = dict(zip(spec.objectives, trial.values, strict=False)) if state == COMPLETE and trial.values else {}
    try:
        runs = json.loads(trial.user_attrs.get("runs", "[]"))
    except (TypeError, ValueError):
        runs = []
    attributes = trial.user_attrs
    return TrialRow(
        trial.number, state, dict(trial.params), values, runs, str(attributes.get("folder", "")),
        str(attributes.get("error", "")),
    )  # fmt: skip


def _importances(spec: StudySpec, study: optuna.Study) -> dict[str, float]:
    """Share of the variance of the first objective that each setting explains (fANOVA, Hutter et al. 2014)."""
    optuna = import_optuna()
    finished = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(finished) < 4 or len(spec.dimensions) < 2:
        return {}
    target = None if len(spec.objectives) == 1 else (lambda trial: trial.values[0])
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
    except (ValueError, RuntimeError):  # all values are equal, or conditions leave no setting that all trials have
        return {}
    return {name: float(value) for name, value in found.items()}


def pareto_values(result: StudyResult) -> np.ndarray:
    """Objectives of the complete trials, [trials, objectives]."""
    names = result.spec.objectives
    return np.array([[trial.values[name] for name in names] for trial in result.complete()], np.float64)


def write_trials(path: PathLike, result: StudyResult, force: bool = False) -> None:
    """A line per trial: number, state, settings, objectives, means and deviations over the seeds.

    Raises:
        BrfkitError: the file exists and ``force`` is not set, or it cannot be written.
    """
    settings = [d.key for d in result.spec.dimensions]
    figures = ["validation_accuracy", "validation_loss", "spikes_per_sample", "parameters", "seconds", "test_accuracy"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    spread = [f"{name}_std" for name in figures]
    writer.writerow(["number", "state", *settings, *figures, *spread, "seeds", "folder", "error"])
    for trial in result.trials:
        numbers = [trial.mean(name) for name in figures] + [trial.spread(name) for name in figures]
        writer.writerow([
            trial.number, trial.state, *(trial.params.get(key, "") for key in settings),
            *("" if v is None or not math.isfinite(v) else v for v in numbers),
            len(trial.runs), trial.folder, trial.error,
        ])  # fmt: skip
    with atomic_write(path, "w", force) as stream:
        stream.write(buffer.getvalue())


def best_config(result: StudyResult) -> dict[str, Any]:
    """The configuration of the best trial, for ``train --config``; of a Pareto front the best of its first objective.

    Raises:
        BrfkitError: no trial is complete.
    """
    if not result.best:
        raise BrfkitError(f"the study {result.spec.name!r} has no complete trial yet")
    name = result.spec.objectives[0]
    sign = -1.0 if OBJECTIVES[name] else 1.0
    best = min(result.best, key=lambda row: sign * row.values[name])
    values = {d.key: _value(d, best.params[d.key]) for d in result.spec.dimensions if d.key in best.params}
    sections = result.spec.config(values, result.spec.seeds[0]).to_dict()
    return {section: {k: v for k, v in keys.items() if v is not None} for section, keys in sections.items()}


def _value(dimension: Dimension, stored: Any) -> Any:
    """The setting behind what Optuna stored: choices that are lists are stored as text."""
    for choice in dimension.choices:
        if repr(choice) == stored or choice == stored:
            return choice
    return stored


def write_best(path: PathLike, result: StudyResult, force: bool = False) -> None:
    """Write :func:`best_config` as TOML.

    Raises:
        BrfkitError: no trial is complete, the file exists and ``force`` is not set, or it cannot be written.
    """
    import tomli_w

    text = tomli_w.dumps(best_config(result))
    with atomic_write(path, "w", force) as stream:
        stream.write(text)


def ranked(result: StudyResult) -> list[TrialRow]:
    """The complete trials, the best in the first objective first."""
    name = result.spec.objectives[0]
    sign = -1.0 if OBJECTIVES[name] else 1.0
    return sorted(result.complete(), key=lambda row: (sign * row.values[name], row.number))
