"""Spike deletion, for any backend and any neuron."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Gradients, Input, ScanCall, Trace, VjpCall, get_initial_state
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network

CHUNK = 32  # steps that go through a layer before the next one gets them


class DeletingBackend(Backend):
    """Another backend, in whose hidden layers spikes are dropped before anything uses them.

    A dropped spike reaches neither the layer above nor, through W_rec, its own layer, nor the count of spikes.
    What the neuron keeps for itself inside a step (the q of BRF, the reset) is computed before. A state that is the
    spike itself (z of ALIF) is the one after dropping.

    A backend with a spike mask drops them in its own time loop. Otherwise layers without W_rec run as a whole, and the
    others one step at a time, with the remaining spikes as the state of the next step: the same result, slowly.

    Args:
        backend: compute backend.
        probability: of a spike to be dropped.
        key: chooses the spikes; the samples of all scans are counted on from 0.
        stepwise: one step at a time in any case.
    """

    def __init__(self, backend: Backend, probability: float, key: int, stepwise: bool = False) -> None:
        self.name, self.capabilities, self.threads = backend.name, backend.capabilities, backend.threads
        self._backend, self._probability, self._key = backend, probability, key
        self._inside = backend.capabilities.spike_mask and not stepwise
        self._samples = 0

    def _scan(self, call: ScanCall) -> Trace:
        if call.record or call.differentiate:
            raise BrfkitError("a scan with dropped spikes gives outputs only, neither records nor gradients")
        network, weights, x, initial_state = call.network, call.weights, call.x, call.initial_state
        steps, batch = call.steps, call.batch
        mask = SpikeMask.of_samples(self._probability, self._key, self._samples, batch)
        self._samples += batch
        if self._inside and not any("z" in layer.spec.states for layer in network.layers):
            return self._backend.scan(network, weights, x, initial_state=initial_state, spike_mask=mask)
        dtype = call.dtype
        state = get_initial_state(network, batch, dtype, initial_state)
        counts = {layer.name: np.zeros(batch, np.int64) for layer in network.spiking_layers}
        outputs = np.empty((steps, batch, network.outputs), dtype)
        for first in range(0, steps, CHUNK):
            signal: Input = _steps(x, first, min(first + CHUNK, steps))
            for index, layer in enumerate(network.layers):
                single = Network(network.fan_in(index), (layer,), network.dt)
                own = {name: value for name, value in weights.items() if name.startswith(f"{layer.name}.")}
                deletion = _Deletion(mask, index, first)
                signal = self._layer(single, own, signal, state, deletion)
                if layer.spec.spiking:
                    counts[layer.name] += np.count_nonzero(signal, axis=(0, 2))
            outputs[first : first + CHUNK] = signal
        return Trace(outputs, counts, state)

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        raise BrfkitError("a scan with dropped spikes has no gradient")

    def _layer(
        self,
        network: Network,
        weights: Mapping[str, NDArray],
        signal: Input,
        state: dict[str, NDArray],
        deletion: _Deletion,
    ) -> NDArray:
        """A few steps of one layer; ``state`` is brought to the state after them."""
        layer: Layer = network.layers[0]
        before = {name: value for name, value in state.items() if name.startswith(f"{layer.name}.")}
        if not layer.spec.spiking or (not layer.recurrent and "z" not in layer.spec.states):
            trace = self._backend.scan(network, weights, signal, initial_state=before)
            state |= trace.final_state
            if layer.spec.spiking:
                for t, z in enumerate(trace.outputs):
                    deletion.take(z, t)
                state[f"{layer.name}.z"] = trace.outputs[-1]
            return trace.outputs
        steps = signal.steps if isinstance(signal, Events) else len(signal)
        kept: list[NDArray] = []
        for t in range(steps):
            trace = self._backend.scan(network, weights, _steps(signal, t, t + 1), initial_state=before)
            z = trace.outputs[0]
            deletion.take(z, t)
            before = {**trace.final_state, f"{layer.name}.z": z}
            kept.append(z)
        state |= before
        return np.stack(kept)


class _Deletion:
    """Deletes spikes, in the steps from ``first`` on."""

    def __init__(self, mask: SpikeMask, layer: int, first: int) -> None:
        self._mask, self._layer, self._first = mask, layer, first

    def take(self, z: NDArray, t: int) -> None:
        """Spikes [B, H] of step ``first + t``, changed in place."""
        sample, neuron = np.nonzero(z)
        dropped = self._mask.dropped(sample, self._layer, self._first + t, neuron)
        z[sample[dropped], neuron[dropped]] = 0


def _steps(x: Input, start: int, stop: int) -> Input:
    if isinstance(x, Events):
        return Events(np.ascontiguousarray(x.indptr[:, start : stop + 1]), x.indices, x.channels)
    return x[start:stop]
