"""A trained network on one sample, with every state of every layer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend, state_names
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network
from brfkit.setups import DataLike, DataOptions, set_up
from brfkit.simulation.divergence import first_divergence
from brfkit.simulation.population import resolve_dtype
from brfkit.simulation.stimulus import times
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class NetworkSimulation:
    """What :func:`simulate_network` returns.

    Attributes:
        network: description.
        backend: name of the compute backend.
        t: (steps,) float64, 0, δ, 2δ, …
        input: (steps, channels), the sample as the network sees it.
        states: ``<layer>.<symbol>``, (steps, units), all states of all layers; ``z`` of spiking layers is uint8.
        dataset, split, sample: where the input comes from.
        label: the true class, an int, or (steps,) where every step has its own.
        class_names: one per output.
        diverged_at: first step at which a state is not finite, or None.
        seconds: wall time.
        step_seconds: length of a step of the data in seconds, where they say it.
    """

    network: Network
    backend: str
    t: NDArray[np.float64]
    input: NDArray[Any]
    states: Mapping[str, NDArray[Any]]
    dataset: str
    split: str
    sample: int
    label: int | NDArray[np.int64]
    class_names: tuple[str, ...]
    diverged_at: int | None
    seconds: float
    step_seconds: float | None = None

    @property
    def neuron(self) -> str:
        """Model of the first layer."""
        return self.network.layers[0].neuron

    @property
    def neurons(self) -> int:
        """Spiking neurons of all layers."""
        return sum(layer.units for layer in self.network.spiking_layers)

    @property
    def steps(self) -> int:
        return len(self.t)

    @property
    def spikes(self) -> int:
        return sum(int(self.states[f"{layer.name}.z"].sum()) for layer in self.network.spiking_layers)

    @property
    def firing_rate(self) -> float:
        """Share of spiking neurons that spike at a step."""
        return self.spikes / (self.steps * max(self.neurons, 1))

    @property
    def diverged(self) -> bool:
        return self.diverged_at is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``brfkit simulate --checkpoint``."""
        return {
            "neuron": self.neuron,
            "backend": self.backend,
            "steps": self.steps,
            "neurons": self.neurons,
            "spikes": self.spikes,
            "firing_rate": self.firing_rate,
            "diverged": self.diverged,
            "seconds": self.seconds,
            "dataset": self.dataset,
            "split": self.split,
            "sample": self.sample,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``--out`` holds: ``t`` (steps,), ``input`` (steps, channels), ``<layer>.<symbol>`` (steps, units) and
        ``label``, one class per step."""
        label = np.broadcast_to(np.asarray(self.label, np.int64), self.t.shape)
        return {"t": self.t, "input": self.input, **self.states, "label": label}


def simulate_network(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    sample: int = 0,
    split: str = "test",
    dtype: str | None = None,
    backend: str | Backend = "auto",
    threads: int | None = None,
    **options: Unpack[DataOptions],
) -> NetworkSimulation:
    """Run a trained network over one sample and record every state of every layer.

    Args:
        network: a trained network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        sample: number of the sample, from 0.
        split: ``test`` or ``train``.
        dtype: ``float32`` or ``float64``; None takes float64 for the reference backend and float32 for the others.
        backend, threads: see :class:`brfkit.setups.SetupOptions`.
        options: see :class:`brfkit.setups.DataOptions`.

    Raises:
        BrfkitError: the checkpoint or the data cannot be read or do not fit each other, or there is no such sample.
    """
    began = time.perf_counter()
    engine = get_backend(backend, threads=threads) if isinstance(backend, str) else backend
    kind = resolve_dtype(engine, dtype)
    setup = set_up(network, dataset, split=split, dtype=kind, backend=engine, **options)
    description, samples, name = setup.network, setup.split, setup.data.name
    if not 0 <= sample < len(samples):
        raise BrfkitError(f"{name} has {len(samples)} {split} samples, numbered from 0; there is no sample {sample}")
    x, labels = samples.batch([sample], kind)
    with np.errstate(all="ignore"):  # overflow is reported as divergence
        trace = engine.scan(description, setup.weights, x, record=list(state_names(description)))
    dense = x.dense(kind) if isinstance(x, Events) else x
    states = {key: v[:, 0].astype(np.uint8) if key.endswith(".z") else v[:, 0] for key, v in trace.records.items()}
    label = labels[:, 0] if labels.ndim == 2 else int(labels[0])
    return NetworkSimulation(
        network=description,
        backend=engine.name,
        t=times(len(dense), description.dt),
        input=dense[:, 0],
        states=states,
        dataset=name,
        split=split,
        sample=sample,
        label=label,
        class_names=setup.data.class_names,
        diverged_at=_first_not_finite(states),
        seconds=time.perf_counter() - began,
        step_seconds=setup.data.step_seconds,
    )


def _first_not_finite(states: Mapping[str, NDArray]) -> int | None:
    found = [first_divergence(v, np.zeros(v.shape[1], bool), np.inf) for v in states.values()]
    steps = [step for step in found if step is not None]
    return min(steps) if steps else None
