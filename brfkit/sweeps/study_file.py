"""``STUDY.toml``: what a study is, read and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.runs.config import Config
from brfkit.runs.config_files import merge, read_config_file
from brfkit.runs.resolve import resolve
from brfkit.runs.seeds import parse_seeds
from brfkit.sweeps.space import Dimension, parse_space, settings_of

SAMPLERS = ("tpe", "random", "grid", "cmaes")
PRUNERS = ("none", "median", "halving")
# Objective → whether more is better.
OBJECTIVES = {
    "validation_accuracy": True,
    "validation_loss": False,
    "spikes_per_sample": False,
    "parameters": False,
    "seconds": False,
}
_STUDY = ("name", "trials", "sampler", "pruner", "objectives", "seeds", "seed", "storage")
_BASE = ("dataset", "neuron", "preset", "config")


@dataclass(frozen=True)
class StudySpec:
    """A study as its file describes it.

    Attributes:
        name: of the study in its storage.
        dimensions: what varies.
        base: settings that do not vary: ``dataset``, ``neuron``, ``preset``, ``config``, and sections.
        trials: how many trials there are to be; for a grid without a number, all points.
        sampler, pruner: of Optuna.
        objectives: names of :data:`OBJECTIVES`; several give a Pareto front. All are means over the seeds, taken at
            the epoch of the lowest validation loss.
        seeds: of training; a trial has one run for each.
        seed: of the sampler.
        storage: a URL of Optuna's RDB storage, or None for the journal file in the study's folder.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    base: Mapping[str, Any] = field(default_factory=dict)
    trials: int | None = 20
    sampler: str = "tpe"
    pruner: str = "none"
    objectives: tuple[str, ...] = ("validation_accuracy",)
    seeds: tuple[int, ...] = (0,)
    seed: int = 0
    storage: str | None = None

    def __post_init__(self) -> None:
        _choice("study.sampler", self.sampler, SAMPLERS)
        _choice("study.pruner", self.pruner, PRUNERS)
        for objective in self.objectives:
            _choice("study.objectives", objective, tuple(OBJECTIVES))
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise BrfkitError("study.objectives names at least one objective, and none twice")
        if len(self.objectives) > 1 and self.pruner != "none":
            raise BrfkitError('study.pruner: with several objectives no trial can be pruned; use pruner = "none"')
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise BrfkitError("study.sampler: cmaes takes one objective; use tpe or random")
        if self.trials is not None and self.trials < 1:
            raise BrfkitError(f"study.trials must be at least 1, not {self.trials}")
        if self.sampler == "grid":
            for dimension in self.dimensions:
                dimension.grid()
                if dimension.when:
                    raise BrfkitError(f"space.{dimension.key}: a grid has no conditions")
        elif self.trials is None:
            raise BrfkitError("study.trials is missing")
        self.check()

    def config(self, values: Mapping[str, Any], seed: int | None = None) -> Config:
        """The configuration of a run: the base with the values of a trial, and the seed of training."""
        return self._resolve(settings_of(values, self.base_config()), seed)

    def base_config(self) -> Config:
        """The configuration without the values of any trial."""
        return self._resolve({}, None)

    def _resolve(self, settings: Mapping[str, Any], seed: int | None) -> Config:
        sections = {key: value for key, value in self.base.items() if key not in _BASE}
        overrides = merge(sections, settings)
        if seed is not None:
            overrides = merge(overrides, {"training": {"seed": seed}})
        neuron = (overrides.get("network") or {}).get("neuron") or self.base.get("neuron")
        return resolve(
            self.base.get("dataset"), neuron, preset=self.base.get("preset"), file=self.base.get("config"),
            overrides=overrides,
        )  # fmt: skip

    def fixed(self) -> dict[str, Any]:
        """All settings of the base by full name, for the conditions of dimensions."""
        return {
            f"{section}.{key}": value
            for section, values in self.base_config().to_dict().items()
            for key, value in values.items()
        }

    def check(self) -> None:
        """Build the configuration at every bound and choice of every dimension.

        Raises:
            BrfkitError: one of them is refused; the message names the dimension.
        """
        base = self.base_config()
        for dimension in self.dimensions:
            for value in dimension.probes():
                values = {dimension.key: value, **{k: v for k, v in dimension.when.items() if k != dimension.key}}
                for other in self.dimensions:  # the numbers of one distribution only make sense together
                    if other.key.rpartition(".")[0] == dimension.key.rpartition(".")[0]:
                        values.setdefault(other.key, other.probes()[0])
                try:
                    self._resolve(settings_of(values, base), None)
                except BrfkitError as error:
                    raise BrfkitError(f"space.{dimension.key} = {value!r}: {error}") from None


def read_study(path: str | Path) -> StudySpec:
    """The study that a TOML file describes.

    Raises:
        BrfkitError: the file cannot be read, or holds unknown keys or values that make no study.
    """
    path = Path(path)
    if path.suffix not in (".toml", ".json"):
        raise BrfkitError(f"{path} is not a study file; it ends in .toml")
    tables = read_config_file(path)
    try:
        return parse_study(tables, path.stem, path.parent)
    except BrfkitError as error:
        raise BrfkitError(f"{path}: {error}") from None


def parse_study(tables: Mapping[str, Any], name: str, folder: Path | None = None) -> StudySpec:
    """A study from its tables; paths in ``[base]`` are relative to ``folder``."""
    for key in tables.keys() - {"study", "base", "space"}:
        raise BrfkitError(f"unknown table [{key}]; there are [study], [base] and [space]")
    for key in ("study", "base", "space"):
        if not isinstance(tables.get(key, {}), Mapping):
            raise BrfkitError(f"{key} must be a table")
    study, base = dict(tables.get("study", {})), dict(tables.get("base", {}))
    for key in study.keys() - set(_STUDY):
        raise BrfkitError(f"unknown key study.{key}; there are {', '.join(_STUDY)}")
    sections = Config().to_dict()
    for key in base.keys() - {*_BASE, *sections}:
        raise BrfkitError(f"unknown key base.{key}; there are {', '.join((*_BASE, *sections))}")
    for key in _BASE:
        if key in base and not isinstance(base[key], str):
            raise BrfkitError(f"base.{key} must be text, not {base[key]!r}")
    if "config" in base and folder is not None:
        base["config"] = str(folder / base["config"])
    if "space" not in tables:
        raise BrfkitError("there is no table [space]; it names the settings that vary")
    spec = StudySpec(
        name=_typed(study, "name", str, name),
        dimensions=parse_space(tables["space"]),
        base=base,
        trials=_typed(study, "trials", int, None if study.get("sampler") == "grid" else 20),
        sampler=_typed(study, "sampler", str, "tpe"),
        pruner=_typed(study, "pruner", str, "none"),
        objectives=_names(study.get("objectives", ["validation_accuracy"])),
        seeds=_seeds(study.get("seeds", [0])),
        seed=_typed(study, "seed", int, 0),
        storage=_typed(study, "storage", str, None),
    )
    return spec


def with_options(spec: StudySpec, *, trials: int | None = None, storage: str | None = None) -> StudySpec:
    """The study with what the command line says in place of its own."""
    changed: dict[str, Any] = {}
    if trials is not None:
        changed["trials"] = trials
    if storage is not None:
        changed["storage"] = storage
    return replace(spec, **changed)


def _typed(study: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = study.get(key, default)
    if value is default:
        return value
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BrfkitError(f"study.{key} must be {'text' if kind is str else 'a whole number'}, not {value!r}")
    if isinstance(value, int) and value < 0:
        raise BrfkitError(f"study.{key} must not be negative, but is {value}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BrfkitError(f"study.objectives must be a list of names, not {value!r}")
    return tuple(names)


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(parse_seeds(value))
    seeds = value if isinstance(value, list) else [value]
    if not seeds or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds):
        raise BrfkitError(f'study.seeds must be a list of whole numbers or text such as "0-2", not {value!r}')
    if len(set(seeds)) != len(seeds):
        raise BrfkitError("study.seeds names a seed twice")
    return tuple(seeds)


def _choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BrfkitError(f"{key} must be one of {', '.join(choices)}, not {value!r}")
