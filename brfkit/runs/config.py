"""The configuration of a training run: sections of plain values that a file or the command line can set.

Every field says in its metadata what it is, what it may be and which option of ``brfkit train`` sets it
(:mod:`brfkit.runs.settings`); the end of ``docs/cli.md`` lists them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from brfkit.backends.capabilities import PRECISIONS
from brfkit.data.audio.settings import FRONT_ENDS
from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_folder, is_path
from brfkit.network import Layer, Network, recurrent_network
from brfkit.neurons import NEURONS, Init
from brfkit.runs.layers import LayerConfig
from brfkit.runs.settings import check_section, setting
from brfkit.runs.values import init_values, section_values, suggest
from brfkit.task import MEAN, OVER_TIME, Task

OPTIMIZERS = ("adam", "adamw", "radam", "nadam", "adamax", "rmsprop", "sgd", "adagrad")
LSTM = "lstm"
SPECTRUM, AUTO = "spectrum", "auto"
OMEGA_INITS = (SPECTRUM, AUTO)
FROM_DATA, XAVIER = "data", "xavier"
W_IN_INITS = (FROM_DATA, XAVIER)
VALIDATIONS = ("random", "blocks", "speakers")
SCHEDULES = ("linear", "constant", "cosine")
BINNINGS = ("full", "paper")
DTYPES = ("float32", "float64")

DATA, NETWORK, OPTIMISATION, STOPPING, REGULARISATION, AUGMENTATION, RUN = (
    "Data", "Network", "Optimisation", "Validation and stopping", "Regularisation", "Augmentation", "Run",
)  # fmt: skip
TOPICS = (DATA, NETWORK, OPTIMISATION, STOPPING, REGULARISATION, AUGMENTATION, RUN)

FRONT_END_SETTINGS = (
    "front_end", "sample_rate", "duration", "frame_step", "frame_width", "bands", "coefficients", "threshold",
    "speaker_pattern",
)  # fmt: skip


@dataclass(frozen=True)
class DataConfig:
    """What to train on."""

    dataset: str = setting(
        "tones", "ecg, smnist, psmnist, shd, …, tones (embedded), a file, or a folder of recordings.", DATA
    )
    validation: str = setting(
        "random", "What is kept for validation: samples, or blocks of neighbours, or speakers.", STOPPING,
        choices=VALIDATIONS,
    )  # fmt: skip
    validation_fraction: float = setting(
        0.1, "Share of the training set that is kept for validation.", STOPPING, low=0, high=1, high_open=True
    )
    validation_blocks: int = setting(40, "Blocks into which the training set is cut for validation = blocks.", low=2)
    limit_train: int | None = setting(None, "Take the first N training samples.", DATA, metavar="N", low=1)
    limit_test: int | None = setting(None, "Take the first N test samples.", DATA, metavar="N", low=1)
    permutation: str | None = setting(
        None,
        "psmnist: order of the pixels (.npy or .pt); otherwise drawn from the seed.",
        DATA,
        metavar="FILE",
        path=True,
    )
    binning: str | None = setting(None, "Event data: keep every spike, or as published.", DATA, choices=BINNINGS)
    bin_width: float | None = setting(None, "Event data: length of a step (s).", DATA, low=0, low_open=True)
    bins: int | None = setting(None, "Event data: number of steps.", DATA, low=1)
    bin_counts: bool | None = setting(None, "Event data: whether several spikes of a channel in a step add up.")
    bin_align: bool | None = setting(None, "Event data: whether a recording begins with its first spike.")
    time_unit: str | None = setting(
        None, "Event data: unit of the times in the file.  [default: s]", DATA, choices=("s", "ms", "us")
    )
    ignore_unlabelled: bool = setting(
        False, "ECG: leave steps without a label out of loss and accuracy, not counted as P as published.", DATA
    )
    test_fraction: float | None = setting(
        None, "Custom data set without a test part: share of its samples that becomes one.", DATA,
        low=0, high=1, low_open=True, high_open=True,
    )  # fmt: skip
    test_speakers: tuple[str, ...] = setting(
        (), "Recordings: speakers whose recordings are the test part.", DATA, metavar="NAME[,NAME…]"
    )
    test_seed: int = setting(0, "Recordings: seed of the draw of test_fraction.", low=0)
    speaker_pattern: str | None = setting(
        None, "Recordings: file names with their <speaker>.  [default: <speaker>_<n>]", DATA, metavar="PATTERN"
    )
    front_end: str | None = setting(
        None, "Recordings: what is made of them.  [default: mfcc]", DATA, choices=FRONT_ENDS
    )
    sample_rate: int | None = setting(None, "Recordings: resample to so many per second.", DATA, metavar="HZ", low=1)
    duration: float | None = setting(
        None, "Recordings: seconds that are kept.  [default: as long as 95 % of them are]", DATA, low=0, low_open=True
    )
    frame_step: float | None = setting(
        None, "Recordings: length of a step (s).  [default: 0.01]", DATA, low=0, low_open=True
    )
    frame_width: float | None = setting(
        None, "Recordings: window of a spectrum (s).  [default: 0.025]", DATA, low=0, low_open=True
    )
    bands: int | None = setting(
        None, "Recordings: frequency bands.  [default: 40]", DATA, metavar="N", low=1, high=4096
    )
    coefficients: int | None = setting(
        None, "Recordings: coefficients of mfcc.  [default: 13]", DATA, metavar="N", low=1, high=4096
    )
    threshold: float | None = setting(
        None, "Recordings: threshold of spikes of cochlea (0.005), levels of level-crossing (3 dB).", DATA,
        low=0, low_open=True,
    )  # fmt: skip

    def elsewhere(self, dataset: str) -> DataConfig:
        """Settings of another data set; recordings are read with the same front end."""
        if not (is_path(dataset) and is_folder(dataset)):
            return DataConfig(dataset=dataset)
        same = {name: getattr(self, name) for name in FRONT_END_SETTINGS}
        return DataConfig(dataset=dataset, **same)

    @property
    def title(self) -> str:
        """Name of the data set; of a file, its name without folders."""
        return PurePath(self.dataset).name if is_path(self.dataset) else self.dataset


@dataclass(frozen=True)
class NetworkConfig:
    """What to train."""

    neuron: str = setting("brf", "Hidden neurons (`brfkit neurons` lists them), or lstm: torch's LSTM.", NETWORK)
    hidden: tuple[int, ...] = setting((64,), "Units of every hidden layer.", NETWORK, metavar="N[,N…]", low=1)
    layers: tuple[LayerConfig, ...] = setting(
        (), "Hidden layers one by one, in place of hidden: a table `[[network.layers]]` for each."
    )
    readout: str = setting("li", "Neurons of the readout: li or li-sigmoid.")
    dt: float = setting(0.01, "Time step δ.", NETWORK, low=0, low_open=True)
    recurrent: bool = setting(True, "Hidden layers without recurrent weights.", NETWORK)
    bias: bool = setting(False, "Train a constant current per hidden neuron.", NETWORK)
    readout_bias: bool = setting(False, "Train a constant current per output.")
    surrogate: str | None = setting(None, "Surrogate gradient.  [default: the neuron's own]", NETWORK)
    discretisation: str | None = setting(
        None, "How RF and BRF go from step to step.  [default: euler, as published]", NETWORK,
        metavar="euler|symplectic|exact",
    )  # fmt: skip
    trainable: tuple[str, ...] = setting(
        (),
        "Constants of the hidden neurons that are trained: theta; gamma of BRF and BHRF.",
        NETWORK,
        metavar="NAME[,NAME…]",
    )
    options: Mapping[str, bool] = setting(None, "Parts of the neuron switched on or off.", default_factory=dict)
    constants: Mapping[str, float] = setting(
        None, "Constants of the hidden neurons, such as gamma = 0.8; a trained one starts there.", default_factory=dict
    )
    init: Mapping[str, Init] = setting(
        None, "Initial distributions by parameter of the hidden neurons, or readout.PARAMETER.", default_factory=dict
    )
    density: Mapping[str, float] = setting(
        None, "Share of the hidden layers' w_in and w_rec that connects, one number or { w_in, w_rec }; the rest is 0.",
        default_factory=dict,
    )  # fmt: skip
    mask_seed: int | None = setting(None, "Of which weights connect.  [default: training.seed]", low=0, high=2**63 - 1)
    omega_init: str | None = setting(
        None, "Draw ω of the hidden neurons from the spectrum of the training inputs; auto: where they have one.",
        NETWORK, choices=OMEGA_INITS,
    )  # fmt: skip
    w_in_init: str | None = setting(
        None, "Input weights: xavier as drawn, or data: scaled until half of the neurons spike on training samples.",
        NETWORK, choices=W_IN_INITS,
    )  # fmt: skip
    start_from: str | None = setting(
        None, "Start from the weights of a run folder or checkpoint.", NETWORK, metavar="CHECKPOINT", path=True
    )

    def __post_init__(self) -> None:
        if self.layers:
            units = tuple(one.units for one in self.layers)
            if self.hidden not in (units, NetworkConfig.hidden):
                raise BrfkitError(
                    f"network.hidden = {list(self.hidden)} contradicts network.layers, which have {list(units)} units; "
                    "give one of them"
                )
            object.__setattr__(self, "hidden", units)
        if not self.hidden:
            raise BrfkitError("network.hidden names no layer; give units such as [64]")
        if self.start_from is not None and self.neuron == LSTM:
            raise BrfkitError(f"network.start_from: neuron {LSTM} cannot go on from a checkpoint")
        if self.start_from is not None and self.omega_init is not None:
            raise BrfkitError("network.start_from does not go with network.omega_init: its weights have their ω")
        if self.w_in_init == FROM_DATA and self.neuron == LSTM:
            raise BrfkitError(f"network.w_in_init: neuron {LSTM} has no spikes to scale its input weights by")
        if self.omega_init is None or self.omega_init not in OMEGA_INITS:
            return
        have = [name for name, neuron in NEURONS.items() if any(p.name == "omega" for p in neuron.parameters)]
        if not set(self.neurons) & set(have):
            raise BrfkitError(f"network.omega_init: neuron {self.title} has no omega; {', '.join(have)} have one")

    @property
    def neurons(self) -> tuple[str, ...]:
        """Neurons of every hidden layer."""
        return tuple(one.neuron or self.neuron for one in self.layers) or (self.neuron,) * len(self.hidden)

    @property
    def title(self) -> str:
        """The hidden neurons in a word: ``brf``, or ``brf+alif`` where layers differ."""
        return "+".join(dict.fromkeys(self.neurons))

    @property
    def recurrent_layers(self) -> tuple[bool, ...]:
        """Whether the hidden layers have recurrent weights."""
        given = [one.recurrent for one in self.layers] or [None] * len(self.hidden)
        return tuple(self.recurrent if one is None else one for one in given)

    def resolved_layers(self) -> tuple[LayerConfig, ...]:
        """The hidden layers with everything that they take from these settings."""
        ours = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        layers = self.layers or tuple(LayerConfig(units) for units in self.hidden)
        return tuple(one.over(ours) for one in layers)

    def build(self, inputs: int, outputs: int, seed: int = 0) -> Network:
        """The network of spiking neurons; :data:`LSTM` is none (see :mod:`brfkit.training.lstm`).

        Args:
            inputs, outputs: channels and classes.
            seed: of which weights connect in sparse layers, where no ``mask_seed`` is set.
        """
        if self.layers or self.density:
            hidden = [
                one.described(f"hidden{i}", f"network.layers[{i}]" if self.layers else "network", seed)
                for i, one in enumerate(self.resolved_layers())
            ]
            readout = Layer("readout", self.readout, outputs, recurrent=False, bias=self.readout_bias)
            return Network(inputs, (*hidden, readout), self.dt)
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
            constants=self.constants,
            surrogate=self.surrogate,
            discretisation=self.discretisation,
            trainable=self.trainable,
        )

    def initial_distributions(self) -> dict[str, Init]:
        """``init`` by the names of the network's weights."""
        named: dict[str, Init] = {}
        for i, one in enumerate(self.resolved_layers() if self.layers else ()):
            named |= {f"hidden{i}.{name}": init for name, init in one.init.items() if not name.startswith("readout.")}
        for name, init in self.init.items():
            if name.startswith("readout."):
                named[name] = init
            elif not self.layers:
                named |= {f"hidden{i}.{name}": init for i in range(len(self.hidden))}
        return named


@dataclass(frozen=True)
class TrainingConfig:
    """How to train."""

    epochs: int = setting(10, "Passes over the training set.", OPTIMISATION, metavar="N", low=1)
    batch_size: int = setting(50, "Samples per step of the optimiser.", OPTIMISATION, metavar="N", low=1)
    learning_rate: float = setting(
        0.05, "Learning rate at the start.", OPTIMISATION, option="--lr", low=0, low_open=True
    )
    optimizer: str = setting("adam", "With torch's defaults otherwise.", OPTIMISATION, choices=OPTIMIZERS)
    weight_decay: float = setting(0.0, "As torch's optimiser defines it.", REGULARISATION, low=0)
    schedule: str = setting(
        "linear", "Learning rate after the warm-up; linear: × (1 - epoch / epochs).", OPTIMISATION, choices=SCHEDULES
    )
    clip_norm: float | None = setting(
        None, "Bound on the norm of the whole gradient.", OPTIMISATION, low=0, low_open=True
    )
    tbptt: int | None = setting(None, "Truncate BPTT to windows of N steps.", OPTIMISATION, metavar="N", low=1)
    patience: int | None = setting(
        None, "Stop after N epochs without a better validation loss.", STOPPING, metavar="N", low=1
    )
    stop_accuracy: float | None = setting(
        None, "Stop after the first epoch with this validation accuracy (%), and take its network.", STOPPING,
        low=0, high=100, low_open=True,
    )  # fmt: skip
    seed: int = setting(
        0, "Of initial weights, validation split, order of samples, permutation (--seed).", low=0, high=2**63 - 1
    )
    dtype: str = setting("float32", "Precision of weights and computation.", OPTIMISATION, choices=DTYPES)
    gradient_precision: str = setting(
        "float32", "Operands of the backward scan's product with W_rec.", OPTIMISATION, choices=PRECISIONS
    )
    keep_weights: bool = setting(False, "Keep the weights of every epoch.", RUN)
    accumulate: int = setting(
        1, "Batches whose gradients are averaged into one step of the optimiser.", OPTIMISATION, metavar="N", low=1
    )
    warmup_epochs: int = setting(
        0, "Epochs in which the learning rate rises, before the schedule begins.", OPTIMISATION, metavar="N", low=0
    )
    input_dropout: float = setting(
        0.0, "Share of the input left out in training.", REGULARISATION, low=0, high=1, high_open=True
    )
    spike_dropout: float = setting(
        0.0, "Share of the hidden spikes that are dropped in training.", REGULARISATION, low=0, high=1, high_open=True
    )
    time_stretch: float = setting(0.0, "Stretch time by up to a factor exp(±X).", AUGMENTATION, low=0, high=1)
    lead_dropout: float = setting(0.0, "ECG: share of the samples that lose one lead.", AUGMENTATION, low=0, high=1)
    lead_swap: float = setting(0.0, "ECG: share of the samples whose leads change places.", AUGMENTATION, low=0, high=1)
    average: float = setting(
        0.0, "Evaluate and keep the running mean of the weights, with this decay per step.", REGULARISATION,
        low=0, high=1, high_open=True,
    )  # fmt: skip
    class_weights: str | None = setting(
        None, "Weight of each class in the training loss: such that all classes weigh alike.", OPTIMISATION,
        choices=("balanced",),
    )  # fmt: skip
    label_smoothing: float = setting(
        0.0, "Share of each label that is spread over all classes, in the training loss.", REGULARISATION,
        low=0, high=1, high_open=True,
    )  # fmt: skip
    rate_penalty: float = setting(0.0, "Weight of the firing-rate penalty in the loss.", REGULARISATION, low=0)
    rate_target: float = setting(
        0.0, "Firing rate below which the penalty is 0.", REGULARISATION, low=0, high=1, high_open=True
    )


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    task: Task = field(default_factory=Task)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        for number, layer in enumerate(self.network.layers):
            check_section(f"network.layers[{number}]", layer)
        for section in dataclasses.fields(self):
            check_section(section.name, getattr(self, section.name))
        training = self.training
        if not training.warmup_epochs < training.epochs:
            raise BrfkitError(
                f"training.warmup_epochs must be below training.epochs, which is {training.epochs}, "
                f"not {training.warmup_epochs}"
            )
        if training.gradient_precision != "float32" and training.dtype != "float32":
            raise BrfkitError(f"training.gradient_precision {training.gradient_precision} needs training.dtype float32")
        if training.gradient_precision != "float32" and self.network.neuron == LSTM:
            raise BrfkitError(f"training.gradient_precision {training.gradient_precision} is not for the LSTM")
        if training.tbptt is not None and training.accumulate > 1:
            raise BrfkitError("training.accumulate does not go with tbptt, which takes a step after every window")
        if training.tbptt is not None and self.task.loss_on in OVER_TIME:
            what = "mean" if self.task.loss_on == MEAN else "largest"
            raise BrfkitError(f"a loss on the {what} output needs the whole sequence; leave tbptt out")

    def to_dict(self) -> dict[str, Any]:
        """Sections of plain JSON values; :meth:`from_dict` takes them back."""
        sections = {f.name: dataclasses.asdict(getattr(self, f.name)) for f in dataclasses.fields(self)}
        sections["data"]["test_speakers"] = list(self.data.test_speakers)
        sections["network"]["hidden"] = list(self.network.hidden)
        sections["network"]["layers"] = [one.to_dict(init_values) for one in self.network.layers]
        sections["network"]["trainable"] = list(self.network.trainable)
        sections["network"]["options"] = dict(self.network.options)
        sections["network"]["constants"] = dict(self.network.constants)
        sections["network"]["density"] = dict(self.network.density)
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
                raise BrfkitError(f"unknown section {section[:80]!r} in the configuration{suggest(section, known)}")
            if not isinstance(values, Mapping):
                raise BrfkitError(f"section {section[:80]!r} of the configuration must hold keys and values")
            parts[section] = section_values(section, type(getattr(Config(), section)), values)
        return Config(**parts)


def is_lstm(config: Config) -> bool:
    """Whether the configuration asks for the LSTM baseline, which is no network of spiking neurons."""
    return config.network.neuron == LSTM
