"""Inside a trained network: what its neurons have become, what they do, where it errs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.analysis.network.inspect.measures import Resonance, data_spectrum, effective, resonance, weight_figures
from brfkit.backends.base import Backend
from brfkit.errors import BrfkitError
from brfkit.network import Network
from brfkit.subject import Subject, open_subject

SATURATED = 0.5  # share of the steps at which a neuron spikes, from which on it counts as saturated
BATCH = 64  # samples whose spikes are held at a time
SPECTRUM_SAMPLES = 500


@dataclass(frozen=True)
class LayerFacts:
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
    """What :func:`inspect_network` returns.

    Attributes:
        name, dataset, split, backend: names.
        network: description.
        samples: how many were run.
        layers: the spiking layers.
        readout: parameters of the last layer, where it does not spike.
        weights: figures of every matrix, see :func:`brfkit.analysis.network.inspect.measures.weight_figures`.
        matrices: the weights themselves.
        class_names: one per output.
        confusion: (C, C) int64, rows the right class, columns the one that the network says.
        accuracy, loss, spikes_per_sample: of these samples, as ``brfkit evaluate`` has them.
        spectrum_omega, spectrum: (F,) and (F, I), mean power of the input.
        seconds: wall time.
    """

    name: str
    dataset: str
    split: str
    backend: str
    network: Network
    samples: int
    layers: tuple[LayerFacts, ...]
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


def _layer_summary(layer: LayerFacts) -> dict[str, Any]:
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


def inspect_network(
    checkpoint: str | Path,
    dataset: str | None = None,
    *,
    neuron: str | None = None,
    samples: int | None = 1000,
    split: str = "test",
    permutation: Any = None,
    dtype: DTypeLike = np.float32,
    backend: str | Backend = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Run a trained network over samples and collect what its neurons are and do.

    Args:
        checkpoint: run folder, checkpoint file, or published ``.pt``.
        dataset: None takes the one of the run.
        neuron: for a published file, which neuron it holds.
        samples: the first so many of `split`; None takes all.
        split: ``test`` or ``train``.
        permutation, dtype, backend, threads, data_dir, seed: as for :func:`brfkit.evaluate`.
        progress: called with samples done and samples in all.

    Raises:
        BrfkitError: checkpoint or data cannot be read or do not fit each other.
    """
    began = time.perf_counter()
    subject = open_subject(
        checkpoint, dataset, neuron=neuron, permutation=permutation, split=split, samples=samples, dtype=dtype,
        backend=backend, threads=threads, data_dir=data_dir, seed=seed,
    )  # fmt: skip
    if len(subject.split) == 0:
        raise BrfkitError(f"{subject.data.name} has no {split} samples to look at")
    network, weights = subject.network, subject.weights
    seen = _run(subject, progress)
    layers = tuple(
        LayerFacts(
            layer.name,
            layer.neuron,
            effective(layer, weights, network.dt),
            resonance(layer, weights, network.dt),
            *seen.rates(layer.name),
        )
        for layer in network.spiking_layers
    )
    last = network.layers[-1]
    omega, spectrum = data_spectrum(subject.split, network.dt, SPECTRUM_SAMPLES)
    return Inspection(
        name=subject.name,
        dataset=subject.data.name,
        split=split,
        backend=subject.backend.name,
        network=network,
        samples=len(subject.split),
        layers=layers,
        readout={} if last.spec.spiking else effective(last, weights, network.dt),
        weights=weight_figures(network, weights),
        matrices={name: value for name, value in weights.items() if value.ndim == 2},
        class_names=_names(subject.data.class_names, network.outputs),
        confusion=seen.confusion,
        accuracy=100.0 * float(np.trace(seen.confusion)) / max(int(seen.confusion.sum()), 1),
        loss=seen.loss / seen.terms,
        spikes_per_sample=seen.spikes / len(subject.split),
        spectrum_omega=omega,
        spectrum=spectrum,
        seconds=time.perf_counter() - began,
    )


def _names(names: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    return (*names, *(str(i) for i in range(len(names), outputs)))


class _Seen:
    """What has been counted over all samples."""

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


def _run(subject: Subject, progress: Callable[[int, int], None] | None) -> _Seen:
    network, task, total = subject.network, subject.task, len(subject.split)
    seen = _Seen(network)
    dtype = next(iter(subject.weights.values())).dtype
    record = [f"{layer.name}.z" for layer in network.spiking_layers]
    for first in range(0, total, BATCH):
        x, labels = subject.split.batch(np.arange(first, min(first + BATCH, total)), dtype)
        trace = subject.backend.scan(network, subject.weights, x, record=record)
        steps, batch = trace.outputs.shape[:2]
        task.check(steps, labels.ndim == 2)
        said = task.predictions(trace.outputs)
        right = labels if said.ndim == labels.ndim == 1 else np.broadcast_to(labels, (steps, batch))[task.skip_steps :]
        if said.ndim == 1 and labels.ndim == 2:
            right = labels[-1]
        np.add.at(seen.confusion, (right.ravel(), said.ravel()), 1)
        value, terms = task.loss_sum(trace.outputs, labels)
        seen.loss, seen.terms = seen.loss + value, seen.terms + terms
        seen.spikes += trace.spikes_per_sample() * batch
        one_hot = np.eye(network.outputs)[np.broadcast_to(labels, (steps, batch))]  # [T, B, C]
        seen.steps_of += one_hot.sum((0, 1))
        for layer in network.spiking_layers:
            z = trace.records[f"{layer.name}.z"]
            seen.spikes_of[layer.name] += _by_class(z, labels, one_hot)
        if progress is not None:
            progress(min(first + BATCH, total), total)
    return seen


def _by_class(z: NDArray, labels: NDArray[np.int64], one_hot: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spikes of every neuron for each class, (C, H), from z [T, B, H]."""
    if labels.ndim == 1:
        return one_hot[0].T @ z.sum(0, dtype=np.float64)
    flat = one_hot.reshape(-1, one_hot.shape[2]).astype(z.dtype)
    return (flat.T @ z.reshape(len(flat), -1)).astype(np.float64)


__all__ = ["Inspection", "LayerFacts", "inspect_network"]
