"""What is timed: the shapes of the papers, with real data and trained weights where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Input
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network, Weights, recurrent_network
from brfkit.task import Task

REFERENCE_VARIABLE = "BRFKIT_REFERENCE_DIR"
RATE_TOLERANCE = 0.05
_LARGEST_GAIN = 2.0**24
_BISECTIONS = 24


@dataclass(frozen=True)
class PaperShape:
    """One workload of the papers.

    Attributes:
        dataset: name of the data set and of its preset.
        batch, steps, inputs, hidden, outputs: B, T, I, H, O.
        firing_rate: share of neurons that spike at a step after training.
        density: share of the input that is not 0.
        labels_per_step: whether every step has a class.
        events: whether the input is spike trains.
        binning: of the spike trains.
    """

    dataset: str
    batch: int
    steps: int
    inputs: int
    hidden: int
    outputs: int
    firing_rate: float
    density: float
    labels_per_step: bool = False
    events: bool = False
    binning: str | None = None

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        return self.batch, self.steps, self.inputs, self.hidden, self.outputs


SHAPES = {
    "ecg": PaperShape("ecg", 16, 1300, 4, 36, 6, firing_rate=0.14, density=0.057, labels_per_step=True),
    "shd": PaperShape("shd", 32, 250, 700, 128, 20, firing_rate=0.10, density=0.03, events=True, binning="paper"),
    "smnist": PaperShape("smnist", 256, 784, 1, 256, 10, firing_rate=0.08, density=0.19),
}


@dataclass(frozen=True)
class Workload:
    """A network with weights and one batch.

    Attributes:
        name: of the shape.
        network, weights: what runs; float32.
        x: dense [T, B, I] or events.
        labels: int64 [B] or [T, B].
        task: where the loss is taken.
        data, weights_from: where they come from, for the report.
        firing_rate: share of neurons that spike at a step.
        spikes: of all samples and steps, by spiking layer.
    """

    name: str
    network: Network
    weights: Weights
    x: Input
    labels: NDArray[np.int64]
    task: Task
    data: str
    weights_from: str
    firing_rate: float = 0.0
    spikes: Mapping[str, int] | None = None

    @property
    def steps(self) -> int:
        return self.x.steps if isinstance(self.x, Events) else self.x.shape[0]

    @property
    def batch(self) -> int:
        return self.x.batch if isinstance(self.x, Events) else self.x.shape[1]

    @property
    def nonzeros(self) -> int:
        return int(self.x.indices.size if isinstance(self.x, Events) else np.count_nonzero(self.x))

    def dense(self) -> NDArray[np.float32]:
        """The input as an array [T, B, I]."""
        return self.x.dense(np.float32) if isinstance(self.x, Events) else self.x

    def first_steps(self, steps: int) -> Workload:
        """The same with the first `steps` time steps of the batch."""
        x = replace(self.x, indptr=self.x.indptr[:, : steps + 1]) if isinstance(self.x, Events) else self.x[:steps]
        return replace(self, x=x, labels=self.labels[:steps] if self.labels.ndim == 2 else self.labels)

    def facts(self) -> dict[str, Any]:
        """What a report says of it."""
        hidden = [layer.units for layer in self.network.layers[:-1]]
        return {
            "shape": self.name,
            "batch": self.batch,
            "steps": self.steps,
            "inputs": self.network.inputs,
            "hidden": hidden[0] if len(hidden) == 1 else hidden,
            "outputs": self.network.outputs,
            "data": self.data,
            "weights": self.weights_from,
            "input_density": self.nonzeros / (self.steps * self.batch * self.network.inputs),
            "firing_rate": self.firing_rate,
        }


def make_workload(
    name: str,
    backend: Backend,
    *,
    shape: PaperShape | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Workload:
    """The workload of a shape.

    Args:
        name: ``ecg``, ``shd`` or ``smnist``, or any name with a `shape`.
        backend: runs the network to find its firing rate.
        shape: None takes the papers' shape of that name.
        data_dir: folder of the data sets; where the data set is not there, input of the same density is generated.
        checkpoints: folder that may hold ``<dataset>_brf.pt``; None takes ``checkpoints`` in the folder that the
            environment variable ``BRFKIT_REFERENCE_DIR`` names.
        checkpoint: a trained network to take in place of one of `checkpoints`.
        seed: of generated input and generated weights.

    Raises:
        BrfkitError: unknown name, damaged data, or a checkpoint of another shape.
    """
    if shape is None and name not in SHAPES:
        raise BrfkitError(f"unknown shape {name!r}; there are {', '.join(SHAPES)}")
    shape = shape or SHAPES[name]
    x, labels, data = _batch(shape, data_dir, seed)
    path = _checkpoint_path(shape, checkpoints, checkpoint)
    task = _preset(shape.dataset).task
    if path is not None:
        network, weights = _trained(shape, path)
        return _with_rate(Workload(name, network, weights, x, labels, task, data, path.name), backend)
    network, weights = _untrained(shape, seed)
    gain, weights = calibrate(network, weights, x, backend, shape.firing_rate)
    source = f"initial weights (seed {seed}) times {gain:.4g}, to spike as trained ones do"
    return _with_rate(Workload(name, network, weights, x, labels, task, data, source), backend)


def calibrate(
    network: Network, weights: Weights, x: Input, backend: Backend, firing_rate: float
) -> tuple[float, Weights]:
    """The gain on the input and recurrent weights at which the network spikes as often as wanted, and those weights.

    Networks at their initial weights hardly spike, which flatters everything that is driven by spikes.

    Raises:
        BrfkitError: no gain brings the network to that rate.
    """

    def scaled(gain: float) -> Weights:
        spiking = {layer.name for layer in network.spiking_layers}
        factors = {f"{layer}.{matrix}": gain for layer in spiking for matrix in ("w_in", "w_rec")}
        return {n: w * w.dtype.type(factors[n]) if n in factors else w for n, w in weights.items()}

    def rate(gain: float) -> float:
        return measured_rate(network, scaled(gain), x, backend)[0]

    gain = _search_gain(rate, firing_rate)
    return gain, scaled(gain)


def _search_gain(rate: Callable[[float], float], wanted: float) -> float:
    """A gain with ``rate(gain)`` near `wanted`: doubled until it is passed, then bisected on a logarithmic scale."""
    low = high = 1.0
    while rate(high) < wanted:
        low, high = high, 2.0 * high
        if high > _LARGEST_GAIN:
            raise BrfkitError(f"no scale of the weights makes {100 * wanted:.3g} % of the neurons spike")
    if low == high:
        low = high / _LARGEST_GAIN
    for _ in range(_BISECTIONS):
        middle = float(np.sqrt(low * high))
        found = rate(middle)
        if abs(found - wanted) <= RATE_TOLERANCE * wanted:
            return middle
        low, high = (middle, high) if found < wanted else (low, middle)
    return high


def measured_rate(network: Network, weights: Weights, x: Input, backend: Backend) -> tuple[float, dict[str, int]]:
    """Share of the neurons that spike at a step, and the number of spikes by layer."""
    trace = backend.scan(network, weights, x)
    steps, batch = trace.outputs.shape[:2]
    spikes = {name: int(counts.sum()) for name, counts in trace.spike_counts.items()}
    units = sum(layer.units for layer in network.spiking_layers)
    return sum(spikes.values()) / (steps * batch * units), spikes


def _with_rate(workload: Workload, backend: Backend) -> Workload:
    rate, spikes = measured_rate(workload.network, workload.weights, workload.x, backend)
    return replace(workload, firing_rate=rate, spikes=spikes)


def _preset(dataset: str) -> Any:
    from brfkit.runs.resolve import resolve

    return resolve(dataset, "brf")


def _batch(
    shape: PaperShape, data_dir: str | os.PathLike[str] | None, seed: int
) -> tuple[Input, NDArray[np.int64], str]:
    """Input, labels and where they come from."""
    from brfkit.data import load
    from brfkit.data.files import data_folder, find
    from brfkit.data.registry import dataset_spec

    facts = dataset_spec(shape.dataset)
    folder = data_folder(data_dir) / str(facts.folder)
    if any(find(folder, file) is None for file in facts.files if file.split == "train"):
        return *_generated(shape, seed), f"generated (seed {seed}); {shape.dataset} is not in the data folder"
    data = load(
        shape.dataset, data_dir=data_dir, splits=("train",), limit_train=shape.batch, seed=seed, binning=shape.binning
    )
    x, labels = data.train.batch(np.arange(min(shape.batch, len(data.train))))
    steps, batch = (x.steps, x.batch) if isinstance(x, Events) else x.shape[:2]
    if (steps, batch, data.channels) != (shape.steps, shape.batch, shape.inputs):
        raise BrfkitError(
            f"{shape.dataset} gives batches of {batch} samples, {steps} steps and {data.channels} channels, "
            f"not of {shape.batch}, {shape.steps} and {shape.inputs}"
        )
    return x, labels, f"{shape.dataset}, first {batch} training samples"


def _generated(shape: PaperShape, seed: int) -> tuple[Input, NDArray[np.int64]]:
    """Random input of the shape's density, and random classes."""
    rng = np.random.default_rng(seed)
    size = (shape.steps, shape.batch, shape.inputs)
    active = rng.random(size) < shape.density
    labels = rng.integers(0, shape.outputs, size[:2] if shape.labels_per_step else shape.batch)
    if shape.events:
        return Events.from_dense(active), labels
    values = rng.uniform(0.36, 1.0, size) if shape.dataset == "smnist" else np.ones(size)
    return (active * values).astype(np.float32), labels


def _checkpoint_path(
    shape: PaperShape, checkpoints: str | os.PathLike[str] | None, checkpoint: str | os.PathLike[str] | None
) -> Path | None:
    if checkpoint is not None:
        return Path(checkpoint)
    if checkpoints is None:
        reference = os.environ.get(REFERENCE_VARIABLE)
        if not reference:
            return None
        checkpoints = Path(reference) / "checkpoints"
    elif not Path(checkpoints).is_dir():
        raise BrfkitError(f"{checkpoints} is not a folder with checkpoints")
    path = Path(checkpoints) / f"{shape.dataset}_brf.pt"
    return path if path.is_file() else None


def _trained(shape: PaperShape, path: Path) -> tuple[Network, Weights]:
    from brfkit.checkpoints.native import open_checkpoint
    from brfkit.checkpoints.published import is_published

    opened = open_checkpoint(path, "brf" if path.is_file() and is_published(path) else None)
    network = opened.network
    found = (network.inputs, [layer.units for layer in network.layers])
    if found != (shape.inputs, [shape.hidden, shape.outputs]):
        raise BrfkitError(
            f"{path} holds a network of {found[0]} inputs and layers of {found[1]}, "
            f"not of {shape.inputs} inputs and layers of {[shape.hidden, shape.outputs]}"
        )
    return network, {name: value.astype(np.float32) for name, value in opened.weights.items()}


def _untrained(shape: PaperShape, seed: int) -> tuple[Network, Weights]:
    preset = _preset(shape.dataset)
    network = recurrent_network(shape.inputs, [shape.hidden], shape.outputs, "brf")
    return network, network.initialise(seed, np.float32, preset.network.initial_distributions())
