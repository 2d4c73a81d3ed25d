"""The configuration of a training run: sections of plain values that a file or the command line can set."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.network import Network, recurrent_network
from brfkit.neurons import Init, Normal, Uniform
from brfkit.task import Task

OPTIMIZERS = ("adam", "adamw", "radam", "nadam", "adamax", "rmsprop", "sgd", "adagrad")
LSTM = "lstm"
SCHEDULES = ("linear", "constant", "cosine")


@dataclass(frozen=True)
class DataConfig:
    """What to train on.

    Attributes:
        dataset: name of a data set, or path of one's own file.
        validation: which part of the training set is kept for validation: ``random`` samples, or whole ``speakers``.
        validation_fraction: its share.
        limit_train, limit_test: take only the first so many samples.
        permutation: for psmnist, path of a ``.npy`` with the order of the pixels; None draws it from the seed.
        binning: for event data, ``full`` or ``paper``; None is ``full``, or what one's own file says.
        bin_width, bins, bin_counts, bin_align: single settings of the binning that differ from ``binning``.
        test_fraction: for one's own file without a test part, the share of its samples that becomes one.
    """

    dataset: str = "tones"
    validation: str = "random"
    validation_fraction: float = 0.1
    limit_train: int | None = None
    limit_test: int | None = None
    permutation: str | None = None
    binning: str | None = None
    bin_width: float | None = None
    bins: int | None = None
    bin_counts: bool | None = None
    bin_align: bool | None = None
    test_fraction: float | None = None


@dataclass(frozen=True)
class NetworkConfig:
    """What to train.

    Attributes:
        neuron: hidden neurons.
        hidden: units of every hidden layer.
        readout: leaky-integrator readout.
        dt: time step δ.
        recurrent, bias: whether hidden layers have recurrent weights, a trained constant current.
        readout_bias: whether the readout has a trained constant current.
        surrogate: surrogate gradient; None takes the neuron's own.
        options: parts of the neuron switched on or off.
        init: initial distributions by ``<parameter>`` of the hidden neurons or ``readout.<parameter>``.
    """

    neuron: str = "brf"
    hidden: tuple[int, ...] = (64,)
    readout: str = "li"
    dt: float = 0.01
    recurrent: bool = True
    bias: bool = False
    readout_bias: bool = False
    surrogate: str | None = None
    options: Mapping[str, bool] = field(default_factory=dict)
    init: Mapping[str, Init] = field(default_factory=dict)

    def build(self, inputs: int, outputs: int) -> Network:
        """The network of spiking neurons; :data:`LSTM` is none (see :mod:`brfkit.training.lstm`)."""
        return recurrent_network(
            inputs,
            self.hidden,
            outputs,
            self.neuron,
            readout=self.readout,
            dt=self.dt,
            recurrent=self.recurrent,
            bias=self.bias,
            readout_bias=self.readout_bias,
            options=self.options,
            surrogate=self.surrogate,
        )

    def initial_distributions(self) -> dict[str, Init]:
        """``init`` by the names of the network's weights."""
        named: dict[str, Init] = {}
        for name, init in self.init.items():
            if name.startswith("readout."):
                named[name] = init
            else:
                named |= {f"hidden{i}.{name}": init for i in range(len(self.hidden))}
        return named


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs, batch_size: passes over the training set, samples per step.
        learning_rate: at the start.
        optimizer: one of ``OPTIMIZERS``, with torch's defaults otherwise.
        weight_decay: as torch's optimiser defines it.
        schedule: after the warm-up, ``linear`` (learning rate × (1 - epoch / epochs), as in the papers), ``cosine`` or
            ``constant``.
        clip_norm: bound on the norm of the whole gradient; None is none.
        tbptt: length of the windows of truncated backpropagation through time; None goes through the whole sequence.
        patience: stop after so many epochs without a better validation loss; None never.
        seed: of initial weights, validation split, order of samples, permutation.
        dtype: float32 or float64.
        keep_weights: keep the weights after every epoch in the run folder.
        accumulate: batches whose gradients are averaged, sample by sample, into one step of the optimiser.
        warmup_epochs: epochs in which the learning rate rises, before the schedule begins.
        input_dropout: share of the input values, or events, that are left out in training; the others weigh more.
        rate_penalty, rate_target: the first, times what the firing rate (spikes per neuron and step) of a sample is
            above the second, is added to the loss.
    """

    epochs: int = 10
    batch_size: int = 50
    learning_rate: float = 0.05
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "linear"
    clip_norm: float | None = None
    tbptt: int | None = None
    patience: int | None = None
    seed: int = 0
    dtype: str = "float32"
    keep_weights: bool = False
    accumulate: int = 1
    warmup_epochs: int = 0
    input_dropout: float = 0.0
    rate_penalty: float = 0.0
    rate_target: float = 0.0


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    task: Task = field(default_factory=Task)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        training = self.training
        _choice("training.optimizer", training.optimizer, OPTIMIZERS)
        _choice("training.schedule", training.schedule, SCHEDULES)
        _choice("training.dtype", training.dtype, ("float32", "float64"))
        _choice("data.validation", self.data.validation, ("random", "speakers"))
        if not 0 <= self.data.validation_fraction < 1:
            raise BrfkitError("data.validation_fraction must be at least 0 and below 1")
        for name in ("epochs", "batch_size", "tbptt", "patience", "accumulate"):
            value = getattr(training, name)
            if value is not None and value < 1:
                raise BrfkitError(f"training.{name} must be at least 1, not {value}")
        if not training.learning_rate > 0:
            raise BrfkitError(f"training.learning_rate must be positive, not {training.learning_rate}")
        if training.clip_norm is not None and not training.clip_norm > 0:
            raise BrfkitError(f"training.clip_norm must be positive, not {training.clip_norm}")
        if not 0 <= training.warmup_epochs < training.epochs:
            raise BrfkitError(
                f"training.warmup_epochs must be at least 0 and below training.epochs, not {training.warmup_epochs}"
            )
        for name in ("input_dropout", "rate_target"):
            if not 0 <= getattr(training, name) < 1:
                raise BrfkitError(f"training.{name} must be at least 0 and below 1, not {getattr(training, name)}")
        if not 0 <= training.rate_penalty < float("inf"):
            raise BrfkitError(f"training.rate_penalty must not be negative, but is {training.rate_penalty}")
        if training.tbptt is not None and training.accumulate > 1:
            raise BrfkitError("training.accumulate does not go with tbptt, which takes a step after every window")
        if training.tbptt is not None and self.task.loss_on == "mean":
            raise BrfkitError("a loss on the mean output needs the whole sequence; leave tbptt out")

    def to_dict(self) -> dict[str, Any]:
        """Sections of plain JSON values; :meth:`from_dict` takes them back."""
        sections = {f.name: dataclasses.asdict(getattr(self, f.name)) for f in dataclasses.fields(self)}
        sections["network"]["hidden"] = list(self.network.hidden)
        sections["network"]["options"] = dict(self.network.options)
        sections["network"]["init"] = {name: _init_values(init) for name, init in self.network.init.items()}
        return sections

    @staticmethod
    def from_dict(sections: Mapping[str, Any]) -> Config:
        """A configuration from plain values; what is missing keeps its default.

        Raises:
            BrfkitError: an unknown section or key (with the nearest known one), or a value of the wrong kind.
        """
        parts: dict[str, Any] = {}
        known = {f.name: f for f in dataclasses.fields(Config)}
        for section, values in sections.items():
            if section not in known:
                raise BrfkitError(f"unknown section {section!r} in the configuration{_suggest(section, known)}")
            if not isinstance(values, Mapping):
                raise BrfkitError(f"section {section!r} of the configuration must hold keys and values")
            parts[section] = _section(section, type(getattr(Config(), section)), values)
        return Config(**parts)


def _choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BrfkitError(f"{key} must be one of {', '.join(choices)}, not {value!r}")


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def _section(section: str, kind: type, values: Mapping[str, Any]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    out: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise BrfkitError(f"unknown key {section}.{key} in the configuration{_suggest(key, fields)}")
        out[key] = _value(f"{section}.{key}", str(fields[key].type), value)
    return kind(**out)


def _value(key: str, kind: str, value: Any) -> Any:
    """A value of the kind that the field declares; TOML and JSON give fewer kinds than Python has."""
    if value is None and "None" in kind:
        return None
    if key == "network.init":
        return {name: _init(f"{key}.{name}", v) for name, v in _mapping(key, value).items()}
    if key == "network.options":
        return {name: _checked(f"{key}.{name}", "bool", v) for name, v in _mapping(key, value).items()}
    if key == "network.hidden":
        sizes = value if isinstance(value, list | tuple) else [value]
        return tuple(_checked(key, "int", v) for v in sizes)
    return _checked(key, kind.split(" | ")[0], value)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BrfkitError(f"{key} must hold names and values")
    return value


def _checked(key: str, kind: str, value: Any) -> Any:
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    types = {"int": int, "float": float, "str": str, "bool": bool}
    if not isinstance(value, types[kind]) or (kind != "bool" and isinstance(value, bool)):
        raise BrfkitError(f"{key} must be of kind {kind}, not {value!r}")
    return value


def _init(key: str, value: Any) -> Init:
    if isinstance(value, Uniform | Normal):
        return value
    if isinstance(value, list | tuple) and len(value) == 3 and value[0] in ("uniform", "normal"):
        first, second = (_checked(key, "float", v) for v in value[1:])
        return Uniform(first, second) if value[0] == "uniform" else Normal(first, second)
    raise BrfkitError(f'{key} must look like ["uniform", low, high] or ["normal", mean, std], not {value!r}')


def _init_values(init: Init) -> list[Any]:
    if isinstance(init, Uniform):
        return ["uniform", init.low, init.high]
    return ["normal", init.mean, init.std]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of ``base`` with the keys of ``over`` put in their place, ``options`` and ``init`` key by key."""
    out: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def read_config_file(path: str | Path) -> dict[str, Any]:
    """Sections from a ``.toml`` or ``.json`` file (the ``config.json`` of a run folder is one)."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        sections = json.loads(text) if path.suffix == ".json" else parse_toml(text)
    except (OSError, ValueError) as error:  # both decoders raise kinds of ValueError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BrfkitError(f"{path} cannot be read: {reason}") from None
    if not isinstance(sections, dict):
        raise BrfkitError(f"{path} does not hold sections of keys and values")
    return sections


def parse_toml(text: str) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found,no-redef]
    return tomllib.loads(text)
