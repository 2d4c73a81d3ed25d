"""Scans of a whole network on a CUDA device, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Gradients, Input, ScanCall, State, Trace, VjpCall, check_input
from brfkit.backends.capabilities import CAPABILITIES
from brfkit.backends.cupy_gpu.device import Array, Device
from brfkit.backends.cupy_gpu.layout import points_at_once
from brfkit.backends.cupy_gpu.passes import BackwardPass, ForwardPass, LayerAdjoint, LayerScan
from brfkit.backends.cupy_gpu.prepare import Prepared, Preparer, Source, dtype_of, given_states, make_source
from brfkit.errors import BrfkitError
from brfkit.network import Network


@dataclass
class _Saved:
    network: Network
    dtype: np.dtype
    layers: list[Prepared]
    scans: list[LayerScan]
    source: Source
    steps: int
    samples: int
    sets: int
    on_device: bool

    @property
    def batch(self) -> int:
        return self.sets * self.samples

    @property
    def from_events(self) -> bool:
        return self.source.is_events


class DeviceBackend(Backend):
    """Fused scans on a device in float32 or float64 (the dtype of the weights).

    NumPy arrays come back as NumPy arrays. Where the weights are arrays of the device, everything comes back as such,
    nothing is copied and nothing waits for the device; they must then not change between ``scan`` and ``scan_vjp``.
    """

    name = "cupy"
    capabilities = CAPABILITIES["cupy"]

    def __init__(self, device: Device) -> None:
        self.device = device
        self._prepare = Preparer(device)

    def put(self, array: NDArray) -> Array:
        """A copy of an array on the device, for callers that scan it more than once."""
        with self.device.active():
            return self.device.to_device(np.ascontiguousarray(array))

    def get(self, array: Array) -> NDArray:
        """A copy of an array of the device, or of a part of it, as an array of NumPy."""
        with self.device.active():
            return self.device.to_host(array)

    def _dtype(self, network: Network, weights: Mapping[str, NDArray]) -> np.dtype:
        return dtype_of(network, weights, self.device)

    def _masked(self, gradient: Array, mask: NDArray[np.bool_]) -> Array:
        if not self.device.owns(gradient):
            return super()._masked(gradient, mask)
        with self.device.active():
            on_device = self.device.to_device(np.ascontiguousarray(mask, gradient.dtype))
            return self._prepare.helpers(gradient.dtype).keep_masked(gradient, on_device)

    def _check_spikes(self, given: Mapping[str, NDArray]) -> None:
        # Arrays on the device are not checked, which would synchronise.
        super()._check_spikes({name: value for name, value in given.items() if not self.device.owns(value)})

    def _scan(self, call: ScanCall) -> Trace:
        device, network, dtype = self.device, call.network, call.dtype
        with device.active():
            state = given_states(device, network, call.batch, dtype, call.initial_state, "initial state")
            source = make_source(device, call.x, dtype)
            saved = self._run(
                network, [call.weights], source, (call.steps, call.batch), state, call.record, call.differentiate
            )
            return self._trace(saved, call.record, call.differentiate)

    def scan_points(self, network: Network, points: Sequence[Mapping[str, NDArray]], x: Input) -> Iterator[Trace]:
        """As the base class has it; a launch runs as many points as fit into ``POINTS_BYTES`` of ``layout.py``."""
        shape = steps, samples = check_input(network, x)
        dtypes = {dtype_of(network, weights, self.device) for weights in points}
        if len(dtypes) > 1:
            raise BrfkitError("all points must have the same dtype")
        for dtype in dtypes:
            with self.device.active():
                source = make_source(self.device, x, dtype)
            together = points_at_once(network, dtype.itemsize, steps, samples, not source.is_events)
            for first in range(0, len(points), together):
                sets = points[first : first + together]
                with self.device.active():
                    saved = self._run(network, sets, source, shape, {}, (), False)
                    whole = self._trace(saved, (), False)
                for i in range(len(sets)):
                    yield _part(whole, i * samples, (i + 1) * samples)

    def _run(
        self,
        network: Network,
        sets: Sequence[Mapping[str, NDArray]],
        source: Source,
        shape: tuple[int, int],
        state: Mapping[str, Array],
        record: Sequence[str],
        differentiate: bool,
    ) -> _Saved:
        """All layers forward, with each set of weights; ``shape`` is (T, B) of the input."""
        device, first = self.device, sets[0]
        dtype = np.dtype(next(iter(first.values())).dtype)
        layers = self._prepare.layers(network, sets, dtype, not source.is_events)
        run = ForwardPass(device, self._prepare.helpers(dtype), *shape, len(sets), differentiate)
        scans: list[LayerScan] = []
        for p in layers:
            wanted = any(f"{p.name}.{s}" in record for s in p.model.states)
            scans.append(run.run(p, source, scans[-1].bits if scans else None, state, wanted))
        on_device = any(device.owns(w) for w in first.values())
        return _Saved(network, dtype, layers, scans, source, *shape, len(sets), on_device)

    def _trace(self, saved: _Saved, record: Sequence[str], differentiate: bool) -> Trace:
        last, scan = saved.layers[-1], saved.scans[-1]
        helpers = self._prepare.helpers(saved.dtype)
        spikes: dict[str, Array] = {}
        counts: dict[str, Array] = {}
        final: dict[str, Array] = {}
        records: dict[str, Array] = {}
        for p, s in zip(saved.layers, saved.scans, strict=True):
            states = self._give(s.states, saved)
            final |= {f"{p.name}.{name}": states[i] for i, name in enumerate(p.model.states)}
            if s.records is not None:
                kept = {f"{p.name}.{name}": s.records[i] for i, name in enumerate(p.model.states)}
                records |= {name: self._give(kept[name], saved) for name in record if name in kept}
            if not p.spiking:
                continue
            z = f"{p.name}.z"
            counts[p.name] = self._give(helpers.count_spikes(s.counts), saved)
            if z in record or p is last:
                spikes[z] = helpers.unpack_spikes(s.bits[1:], p.units)  # type: ignore[index]
            if z in record and z not in records:
                records[z] = self._give(spikes[z], saved)
            if z not in final:
                final[z] = self._give(helpers.unpack_spikes(s.bits[saved.steps], p.units), saved)  # type: ignore[index]
        output = self._give(scan.output if scan.output is not None else spikes[f"{last.name}.z"], saved)
        records = {name: records[name] for name in record}
        return Trace(output, counts, final, records, saved if differentiate else None)

    def _give(self, array: Array, saved: _Saved) -> Array:
        return array if saved.on_device else self.device.to_host(array)

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        saved: _Saved = call.trace.saved
        device, output_grad = self.device, call.output_grad
        with device.active():
            final = given_states(
                device, saved.network, saved.batch, saved.dtype, call.final_state_grad, "gradient of final state"
            )
            grad = None if output_grad is None else device.put(output_grad, saved.dtype)
            run = BackwardPass(device, self._prepare.helpers(saved.dtype), saved.steps, saved.batch)
            adjoints: list[LayerAdjoint] = []
            for p, scan in zip(reversed(saved.layers), reversed(saved.scans), strict=True):
                adjoints.insert(0, run.run(p, scan, saved.source, grad, bool(adjoints), final))
                if p is not saved.layers[0]:
                    grad = run.through_weights(p, adjoints[0].x_bar)
            weights = self._weight_gradients(run, saved, adjoints)
            state = self._initial_gradients(saved, adjoints) if call.initial_state_grad else None
            x_bar = run.through_weights(saved.layers[0], adjoints[0].x_bar) if call.input_grad else None
            return Gradients(
                {name: self._give(weights[name], saved) for name in saved.network.shapes()},
                None if x_bar is None else self._give(x_bar, saved),
                state,
            )

    def _weight_gradients(self, run: BackwardPass, saved: _Saved, adjoints: list[LayerAdjoint]) -> dict[str, Array]:
        gradients: dict[str, Array] = {}
        for depth, (p, scan, adjoint) in enumerate(zip(saved.layers, saved.scans, adjoints, strict=True)):
            derived = len(p.model.derived)
            gradients |= self._prepare.derive_gradients(p, adjoint.sums)
            if p.layer.bias:
                gradients[f"{p.name}.bias"] = adjoint.sums[derived]
            if p.shape.inline:
                rows = adjoint.sums[derived + 1 :]
                gradients[f"{p.name}.w_in"] = run.helpers.arrange(rows, (p.units, p.inputs), transpose=True)
            elif depth == 0:
                gradients[f"{p.name}.w_in"] = run.input_weights(p, saved.source, adjoint.x_bar)
            names, targets = [], []
            if p.layer.recurrent:
                names, targets = [f"{p.name}.w_rec"], [(adjoint.x_bar, 0)]
            if depth + 1 < len(saved.layers):
                names.append(f"{saved.layers[depth + 1].name}.w_in")
                targets.append((adjoints[depth + 1].x_bar, 1))
            if targets:
                gradients |= zip(names, run.spike_weights(scan.bits, p.units, targets), strict=True)
        return gradients

    def _initial_gradients(self, saved: _Saved, adjoints: list[LayerAdjoint]) -> State:
        helpers = self._prepare.helpers(saved.dtype)
        state: State = {}
        for p, adjoint in zip(saved.layers, adjoints, strict=True):
            bars = {f"{p.name}.{name}": adjoint.state_bars[i] for i, name in enumerate(p.model.states)}
            z = f"{p.name}.z"
            if p.spiking:
                bars[z] = helpers.add(bars[z], adjoint.z_bars) if z in bars else adjoint.z_bars
            state |= {name: self._give(value, saved) for name, value in bars.items()}
        return state


def _part(whole: Trace, first: int, last: int) -> Trace:
    """The samples ``first`` … ``last`` - 1 of a trace without records."""
    return Trace(
        np.ascontiguousarray(whole.outputs[:, first:last]),
        {name: counts[first:last] for name, counts in whole.spike_counts.items()},
        {name: state[first:last] for name, state in whole.final_state.items()},
    )


class CupyBackend(DeviceBackend):
    """Fused scans on a CUDA device.

    Args:
        device: ``cuda``, or ``cuda:1`` and so on for one of several.

    Raises:
        BrfkitError: not a CUDA device, or there is no such device.
    """

    def __init__(self, device: str = "cuda") -> None:
        from brfkit.backends.cupy_gpu.cupy_device import CupyDevice

        super().__init__(CupyDevice(device))
