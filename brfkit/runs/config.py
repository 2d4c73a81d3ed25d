"""The configuration of a training run: sections of plain values that a file or the command line can set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.network import Network, recurrent_network
from brfkit.neurons import NEURONS, Init
from brfkit.runs.values import check_choice, init_values, section_values, suggest
from brfkit.task import Task

OPTIMIZERS = ("adam", "adamw", "radam", "nadam", "adamax", "rmsprop", "sgd", "adagrad")
LSTM = "lstm"
OMEGA_INITS = ("spectrum",)
VALIDATIONS = ("random", "blocks", "speakers")
SCHEDULES = ("linear", "constant", "cosine")


@dataclass(frozen=True)
class DataConfig:
    """What to train on.

    Attributes:
        dataset: name of a data set, or path of one's own file.
        validation: which part of the training set is kept for validation: ``random`` samples, whole ``blocks`` of
            neighbours, or whole ``speakers``.
        validation_fraction: its share.
        validation_blocks: into how many blocks the training set is cut.
        limit_train, limit_test: take only the first so many samples.
        permutation: for psmnist, path of a ``.npy`` with the order of the pixels; None draws it from the seed.
        binning: for event data, ``full`` or ``paper``; None is ``full``, or what one's own file says.
        bin_width, bins, bin_counts, bin_align: single settings of the binning that differ from ``binning``.
        test_fraction: for one's own file without a test part, the share of its samples that becomes one.
    """

    dataset: str = "tones"
    validation: str = "random"
    validation_fraction: float = 0.1
    validation_blocks: int = 40
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
        discretisation: how the hidden neurons go from step to step; None takes the neuron's own.
        trainable: constants of the hidden neurons that are trained.
        options: parts of the neuron switched on or off.
        init: initial distributions by ``<parameter>`` of the hidden neurons or ``readout.<parameter>``.
        omega_init: ``spectrum`` draws ω of the hidden neurons from the spectrum of the training inputs, in place of its
            initial distribution (:mod:`brfkit.training.spectrum`).
        start_from: checkpoint or run folder whose weights training goes on from, in place of initial ones.
    """

    neuron: str = "brf"
    hidden: tuple[int, ...] = (64,)
    readout: str = "li"
    dt: float = 0.01
    recurrent: bool = True
    bias: bool = False
    readout_bias: bool = False
    surrogate: str | None = None
    discretisation: str | None = None
    trainable: tuple[str, ...] = ()
    options: Mapping[str, bool] = field(default_factory=dict)
    init: Mapping[str, Init] = field(default_factory=dict)
    omega_init: str | None = None
    start_from: str | None = None

    def __post_init__(self) -> None:
        if self.start_from is not None and self.neuron == LSTM:
            raise BrfkitError(f"network.start_from: neuron {LSTM} cannot go on from a checkpoint")
        if self.start_from is not None and self.omega_init is not None:
            raise BrfkitError("network.start_from does not go with network.omega_init: its weights have their ω")
        if self.omega_init is None:
            return
        check_choice("network.omega_init", self.omega_init, OMEGA_INITS)
        have = [name for name, neuron in NEURONS.items() if any(p.name == "omega" for p in neuron.parameters)]
        if self.neuron not in have:
            raise BrfkitError(f"network.omega_init: neuron {self.neuron} has no omega; {', '.join(have)} have one")

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
            discretisation=self.discretisation,
            trainable=self.trainable,
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
        stop_accuracy: stop after the first epoch whose validation accuracy (percent) is at least this, and take the
            network of that epoch for the best; None never.
        seed: of initial weights, validation split, order of samples, permutation.
        dtype: float32 or float64.
        keep_weights: keep the weights after every epoch in the run folder.
        accumulate: batches whose gradients are averaged, sample by sample, into one step of the optimiser.
        warmup_epochs: epochs in which the learning rate rises, before the schedule begins.
        input_dropout: share of the input values, or events, that are left out in training; the others weigh more.
        spike_dropout: probability with which a hidden spike is lost in training before other neurons use it; the
            others weigh more.
        time_stretch, lead_dropout, lead_swap: how training samples are changed (:mod:`brfkit.training.augment`).
        average: decay of the running mean of the weights, which is then what is measured and kept
            (:mod:`brfkit.training.averaging`); 0 keeps the weights themselves.
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
    stop_accuracy: float | None = None
    seed: int = 0
    dtype: str = "float32"
    keep_weights: bool = False
    accumulate: int = 1
    warmup_epochs: int = 0
    input_dropout: float = 0.0
    spike_dropout: float = 0.0
    time_stretch: float = 0.0
    lead_dropout: float = 0.0
    lead_swap: float = 0.0
    average: float = 0.0
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
        check_choice("training.optimizer", training.optimizer, OPTIMIZERS)
        check_choice("training.schedule", training.schedule, SCHEDULES)
        check_choice("training.dtype", training.dtype, ("float32", "float64"))
        check_choice("data.validation", self.data.validation, VALIDATIONS)
        if self.data.validation_blocks < 2:
            raise BrfkitError(f"data.validation_blocks must be at least 2, not {self.data.validation_blocks}")
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
        if training.stop_accuracy is not None and not 0 < training.stop_accuracy <= 100:
            raise BrfkitError(
                f"training.stop_accuracy must be above 0 and at most 100 percent, not {training.stop_accuracy}"
            )
        if not 0 <= training.warmup_epochs < training.epochs:
            raise BrfkitError(
                f"training.warmup_epochs must be at least 0 and below training.epochs, not {training.warmup_epochs}"
            )
        for name in ("input_dropout", "spike_dropout", "average", "rate_target"):
            if not 0 <= getattr(training, name) < 1:
                raise BrfkitError(f"training.{name} must be at least 0 and below 1, not {getattr(training, name)}")
        for name in ("time_stretch", "lead_dropout", "lead_swap"):
            if not 0 <= getattr(training, name) <= 1:
                raise BrfkitError(f"training.{name} must be from 0 to 1, not {getattr(training, name)}")
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
        sections["network"]["trainable"] = list(self.network.trainable)
        sections["network"]["options"] = dict(self.network.options)
        sections["network"]["init"] = {name: init_values(init) for name, init in self.network.init.items()}
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
                raise BrfkitError(f"unknown section {section!r} in the configuration{suggest(section, known)}")
            if not isinstance(values, Mapping):
                raise BrfkitError(f"section {section!r} of the configuration must hold keys and values")
            parts[section] = section_values(section, type(getattr(Config(), section)), values)
        return Config(**parts)


def is_lstm(config: Config) -> bool:
    """Whether the configuration asks for the LSTM baseline, which is no network of spiking neurons."""
    return config.network.neuron == LSTM
