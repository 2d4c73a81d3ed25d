"""Inside a trained network: what its neurons have become, what they do, where it errs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.inspect.measures import Resonance, data_spectrum, effective, resonance, weight_figures
from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.setups import DataLike, Setup, SetupOptions, set_up
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

SATURATED = 0.5  # share of the steps at which a neuron spikes, from which on it counts as saturated
BATCH = 64  # samples whose spikes are held at a time
SPECTRUM_SAMPLES = 500


@dataclass(frozen=True)
class LayerInspection:
    """One spiking layer; H neurons, C classes.

    Attributes:
        name, neuron: of the layer.
        parameters: by name, (H,), as |·| where their sign makes no difference.
        resonance: frequency and memory of every neuron.
        rate: (H,) share of the steps at which a neuron spikes.
        rate_by_class: (C, H) the same over the samples of a class, or over the steps that carry its label.
    """

    name: str
    neuron: str
    parameters: dict[str, NDArray[np.float64]]
    resonance: Resonance
    rate: NDArray[np.float64]
    rate_by_class: NDArray[np.float64]

    @property
    def dead(self) -> NDArray[np.intp]:
        """Neurons that never spike."""
        return np.flatnonzero(self.rate == 0.0)

    @property
    def saturated(self) -> NDArray[np.intp]:
        """Neurons that spike at more than half of the steps."""
        return np.flatnonzero(self.rate > SATURATED)


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` returns.

    Attributes:
        name, dataset, split, backend: names.
        network: description.
        samples: how many were run.
        layers: the spiking layers.
        readout: parameters of the last layer, where it does not spike.
        weights: figures of every matrix, see :func:`brfkit.analysis.network.inspect.measures.weight_figures`.
        matrices: the weights themselves.
        class_names: one per output.
        confusion: (C, C) int64, rows the true class, columns the predicted one.
        accuracy, loss, spikes_per_sample: of these samples, as ``brfkit evaluate`` has them.
        spectrum_omega, spectrum: (F,) and (F, I), mean power of the input.
        seconds: wall time.
        step_seconds: length of a step of the data in seconds, where they say it.
    """

    name: str
    dataset: str
    split: str
    backend: str
    network: Network
    samples: int
    layers: tuple[LayerInspection, ...]
    readout: dict[str, NDArray[np.float64]]
    weights: dict[str, dict[str, float]]
    matrices: Mapping[str, NDArray]
    class_names: tuple[str, ...]
    confusion: NDArray[np.int64]
    accuracy: float
    loss: float
    spikes_per_sample: float
    spectrum_omega: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    seconds: float
    step_seconds: float | None = None

    @property
    def neuron(self) -> str:
        """Model of the first layer."""
        return self.network.layers[0].neuron

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the command."""
        return {
            "checkpoint": self.name,
            "dataset": self.dataset,
            "split": self.split,
            "neuron": self.neuron,
            "backend": self.backend,
            "samples": self.samples,
            "parameters": self.network.parameter_count(),
            "accuracy": self.accuracy,
            "loss": self.loss,
            "spikes_per_sample": self.spikes_per_sample,
            "layers": {layer.name: _layer_summary(layer) for layer in self.layers},
            "readout": {name: _summary(values) for name, values in self.readout.items()},
            "weights": self.weights,
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            "seconds": self.seconds,
        }


def _summary(values: NDArray[np.float64]) -> dict[str, float]:
    low, median, high = np.percentile(values, (0, 50, 100))
    return {"min": float(low), "median": float(median), "mean": float(values.mean()), "max": float(high)}


def _layer_summary(layer: LayerInspection) -> dict[str, Any]:
    return {
        "neuron": layer.neuron,
        "units": len(layer.rate),
        **{name: _summary(values) for name, values in layer.parameters.items()},
        "resonance_omega": _summary(layer.resonance.omega),
        "memory_steps": _summary(layer.resonance.memory),
        "firing_rate": _summary(layer.rate),
        "dead": layer.dead.tolist(),
        "saturated": layer.saturated.tolist(),
    }


def inspect(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    samples: int | None = 1000,
    split: str = "test",
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SetupOptions],
) -> Inspection:
    """Run a trained network over samples and collect what its neurons are and do.

    Args:
        network: a trained network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        samples: the first so many of `split`; None takes all.
        split: ``test`` or ``train``.
        progress: called with samples done and samples in all.
        options: see :class:`brfkit.setups.SetupOptions`.

    Raises:
        BrfkitError: checkpoint or data cannot be read or do not fit each other.
    """
    began = time.perf_counter()
    setup = set_up(network, dataset, split=split, samples=samples, **options)
    if len(setup.split) == 0:
        raise BrfkitError(f"{setup.data.name} has no {split} samples to inspect")
    description, weights = setup.network, setup.weights
    counts = _count(setup, progress)
    layers = tuple(
        LayerInspection(
            layer.name,
            layer.neuron,
            effective(layer, weights, description.dt),
            resonance(layer, weights, description.dt),
            *counts.rates(layer.name),
        )
        for layer in description.spiking_layers
    )
    last = description.layers[-1]
    omega, spectrum = data_spectrum(setup.split, description.dt, SPECTRUM_SAMPLES)
    return Inspection(
        name=setup.name,
        dataset=setup.data.name,
        split=split,
        backend=setup.backend.name,
        network=description,
        samples=len(setup.split),
        layers=layers,
        readout={} if last.spec.spiking else effective(last, weights, description.dt),
        weights=weight_figures(description, weights),
        matrices={name: value for name, value in weights.items() if value.ndim == 2},
        class_names=_names(setup.data.class_names, description.outputs),
        confusion=counts.confusion,
        accuracy=100.0 * float(np.trace(counts.confusion)) / max(int(counts.confusion.sum()), 1),
        loss=counts.loss / counts.terms,
        spikes_per_sample=counts.spikes / len(setup.split),
        spectrum_omega=omega,
        spectrum=spectrum,
        seconds=time.perf_counter() - began,
        step_seconds=setup.data.step_seconds,
    )


def _names(names: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    return (*names, *(str(i) for i in range(len(names), outputs)))


class _Counts:
    """Spikes, decisions and losses over all samples."""

    def __init__(self, network: Network) -> None:
        classes = network.outputs
        self.confusion = np.zeros((classes, classes), np.int64)
        self.spikes_of = {y.name: np.zeros((classes, y.units)) for y in network.spiking_layers}
        self.steps_of = np.zeros(classes)
        self.loss, self.terms, self.spikes = 0.0, 0, 0.0

    def rates(self, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Spikes per step: of every neuron, and of every neuron for each class."""
        counts = self.spikes_of[layer]
        steps = np.maximum(self.steps_of, 1.0)[:, None]
        return counts.sum(0) / self.steps_of.sum(), counts / steps


def _count(setup: Setup, progress: Callable[[int, int], None] | None) -> _Counts:
    network, task, total = setup.network, setup.task, len(setup.split)
    counts = _Counts(network)
    dtype = next(iter(setup.weights.values())).dtype
    record = [f"{layer.name}.z" for layer in network.spiking_layers]
    for first in range(0, total, BATCH):
        x, labels = setup.split.batch(np.arange(first, min(first + BATCH, total)), dtype)
        trace = setup.backend.scan(network, setup.weights, x, record=record)
        steps, batch = trace.outputs.shape[:2]
        task.check_labels(steps, labels)
        np.add.at(counts.confusion, task.answers(trace.outputs, labels)[:2], 1)
        value, terms = task.loss_sum(trace.outputs, labels)
        counts.loss, counts.terms = counts.loss + value, counts.terms + terms
        counts.spikes += trace.spikes_per_sample() * batch
        shown = np.broadcast_to(labels, (steps, batch))
        one_hot = np.eye(network.outputs)[shown] * (shown >= 0)[..., None]  # [T, B, C]
        counts.steps_of += one_hot.sum((0, 1))
        for layer in network.spiking_layers:
            z = trace.records[f"{layer.name}.z"]
            counts.spikes_of[layer.name] += _by_class(z, labels, one_hot)
        if progress is not None:
            progress(min(first + BATCH, total), total)
    return counts


def _by_class(z: NDArray, labels: NDArray[np.int64], one_hot: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spikes of every neuron for each class, (C, H), from z [T, B, H]."""
    if labels.ndim == 1:
        return one_hot[0].T @ z.sum(0, dtype=np.float64)
    flat = one_hot.reshape(-1, one_hot.shape[2]).astype(z.dtype)
    return (flat.T @ z.reshape(len(flat), -1)).astype(np.float64)


inspect_network = inspect  # the former name, for one release

__all__ = ["Inspection", "LayerInspection", "inspect", "inspect_network"]
