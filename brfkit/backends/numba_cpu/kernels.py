"""The text of the numba kernels of one neuron: the loops of ``templates`` around the generated step and adjoint."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import numpy as np

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.bfloat import BfloatText
from brfkit.backends.numba_cpu.currents import CurrentText
from brfkit.backends.numba_cpu.printer import VectorPrinter, local
from brfkit.backends.numba_cpu.shape import Shape, check_filled, fill
from brfkit.backends.spike_mask import spike_hash
from brfkit.codegen.model import Model

STATE_ROW = "(k * TILE + s * LANES) * STATES"


class KernelText:
    """Source of the module with the ``forward`` and ``backward`` kernels of one neuron in one shape."""

    def __init__(self, model: Model, shape: Shape) -> None:
        self.model = model
        self.shape = shape
        self._lanes = shape.layout.lanes
        self._spiking = model.neuron.spiking
        self._currents = CurrentText(shape)
        self._takes_gradient = shape.source != "events"
        # The units of a readout are few: loops over them are unrolled.
        self._units = "units" if self._spiking else str(shape.layout.units)

    def module(self) -> str:
        return check_filled("\n".join(self.sections().values()))

    def sections(self) -> dict[str, str]:
        """The parts of the module in their order."""
        layout, states, slopes = self.shape.layout, len(self.model.states), len(self.model.slopes)
        preamble = fill(
            templates.PREAMBLE,
            dtype=self.shape.dtype,
            item=np.dtype(self.shape.dtype).itemsize,
            tile=self.shape.tile,
            states=states,
            rows=states + slopes,
            lanes=self._lanes,
            width=layout.width,
            words=layout.words,
        )
        sections = {"sizes and helpers": preamble, "matrix product": self._matrix()}
        if self.shape.products != "float32":
            sections["matrix product in bfloat16"] = BfloatText(self.shape).product()
        if self.shape.masked:
            sections["spike mask"] = fill(templates.SPIKE_MASK, spike_hash=inspect.getsource(spike_hash).split("\n"))
        return sections | {"forward": self._forward(), "backward": self._backward()}

    def _printer(self) -> VectorPrinter:
        return VectorPrinter(self._lanes, exact=self.shape.dtype == "float64")

    def _load(self, names: Iterable[str], array: str) -> list[str]:
        """Loads of consecutive rows of ``WIDTH``."""
        return [f"{name} = simd.load({array}, {i} * WIDTH + k, {self._lanes})" for i, name in enumerate(names)]

    def _store(self, names: Iterable[str], array: str) -> list[str]:
        return [f"simd.store({array}, {i} * WIDTH + k, {name})" for i, name in enumerate(names)]

    def _load_each(self, names: Iterable[str], array: str, offset: str) -> list[str]:
        """Loads of consecutive vectors from ``offset`` on."""
        v = self._lanes
        return [f"{name} = simd.load({array}, {offset} + {i * v}, {v})" for i, name in enumerate(names)]

    def _store_each(self, names: Iterable[str], array: str, offset: str) -> list[str]:
        v = self._lanes
        return [f"simd.store({array}, {offset} + {i * v}, {name})" for i, name in enumerate(names)]

    def _header(self, printer: VectorPrinter) -> list[str]:
        constants = [
            f"{local(name)} = simd.broadcast(consts[{i}], {self._lanes})" for i, name in enumerate(self.model.constants)
        ]
        return constants + printer.header()

    def _shared(self) -> list[str]:
        """What all samples have in common: derived values, and weights of dense channels."""
        channels = [f"w_in{i} = simd.load(w_in, {i} * WIDTH + k, {self._lanes})" for i in range(self.shape.channels)]
        return self._load(map(local, self.model.derived), "params") + channels

    def _current(self) -> list[str]:
        """The input current of a sample."""
        channels, v = self.shape.channels, self._lanes
        lines = [f"n_x = simd.load(current, now + s * WIDTH + k, {v})"]
        if channels:
            lines.append(f"x_row = (t * batch + first + s) * {channels}")
        for i in range(channels):
            lines.append(f"n_x = simd.fma(simd.broadcast(simd.get(x, x_row + {i}), {v}), w_in{i}, n_x)")
        return lines

    def _matrix(self) -> str:
        v, tile, columns = self._lanes, self.shape.tile, self.shape.layout.columns
        cells = [(s, k) for s in range(tile) for k in range(columns)]
        body = [f"w{k} = simd.load(w, j * width + c + {k * v}, {v})" for k in range(columns)]
        for s in range(tile):
            body.append(f"factor = simd.broadcast(simd.get(x, offset + {s} * stride + j), {v})")
            body += [f"a{s}_{k} = simd.fma(factor, w{k}, a{s}_{k})" for k in range(columns)]
        return fill(
            templates.MATRIX,
            step=columns * v,
            zero=[f"a{s}_{k} = simd.broadcast(real(0.0), {v})" for s, k in cells],
            load=[f"a{s}_{k} = simd.load(z, {s} * width + c + {k * v}, {v})" for s, k in cells],
            body=body,
            store=[f"simd.store(z, {s} * width + c + {k * v}, a{s}_{k})" for s, k in cells],
        )

    def _forward(self) -> str:
        printer = self._printer()
        states = self.model.states
        names = {f"{s}_next": f"{s}_" for s in states}
        neuron = [
            *self._current(),
            *self._load_each(map(local, states), "state", STATE_ROW),
            *printer.lines(self.model.step, {"out": "out_", **names}),
            *self._store_each(names.values(), "state", STATE_ROW),
        ]
        return fill(
            templates.FORWARD,
            current=self._currents.lines("w_rec", dense=True),
            load_shared=self._shared(),
            mask=fill(templates.MASK.strip(), lanes=self._lanes).split("\n") if self._spiking else [],
            neuron=neuron,
            header=[*self._header(printer), f"half = simd.broadcast(real(0.5), {self._lanes})"],
            lanes=self._lanes,
            emit=self._emit(),
            masked=self._mask_arguments(),
            no_spikes=templates.NO_SPIKES.strip().split("\n") if self._spiking else [],
            count=templates.COUNT_SPIKES.strip().split("\n") if self._spiking else [],
            copy_out=self._copy_out(),
        )

    def _mask_arguments(self) -> str:
        """Further arguments of kernels with a spike mask."""
        return "\n    keys, layer, bound," if self.shape.masked else ""

    def _emit(self) -> list[str]:
        if not self._spiking:
            return [templates.EMIT_OUTPUTS]
        drop = [templates.DROP_SPIKES] if self.shape.masked else []
        return fill(templates.EMIT_SPIKES.strip(), drop=drop).split("\n")

    def _copy_out(self) -> list[str]:
        if not self._spiking:
            return fill(templates.COPY_OUT.strip(), units=self._units).split("\n")
        return templates.SPIKES_OUT.strip().split("\n") if self.shape.last else []

    def _recomputed(self, printer: VectorPrinter) -> list[str]:
        """The next states of a sample and the slopes of its spikes, into the segment."""
        states, slopes, v = self.model.states, self.model.slopes, self._lanes
        kept = {f"{s}_next": f"{s}_" for s in states} | {s: f"{s}_" for s in slopes}
        return [
            *self._current(),
            *self._load_each(map(local, states), "seg_states", "row"),
            *printer.lines(self.model.step_with_slopes, kept),
            *self._store_each([f"{s}_" for s in slopes], "seg_states", f"row + {len(states) * v}"),
            *self._store_each([f"{s}_" for s in states], "seg_states", "row + plane"),
        ]

    def _adjoint(self, printer: VectorPrinter) -> list[str]:
        """Gradients of a sample's current and states, and what it adds to the gradients of the derived values."""
        states, slopes, derived = self.model.states, self.model.slopes, self.model.derived
        vjp = self.model.step_vjp_of_slopes
        return [
            *(self._current() if "x" in vjp.reads() else ()),
            f"n_out_bar = simd.load(carry, s * WIDTH + k, {self._lanes})",
            *self._load_each(map(local, (*states, *slopes)), "seg_states", "row"),
            *self._load_each([local(f"{s}_next_bar") for s in states], "state_bar", STATE_ROW),
            *printer.lines(vjp, {name: f"{name}_" for name in vjp.output_names}),
            "simd.store(xbar, row0 + s * WIDTH + k, x_bar_)",
            *self._store_each([f"{s}_bar_" for s in states], "state_bar", STATE_ROW),
            *(f"total_{d} = total_{d} + {d}_bar_" for d in derived),
            "sum_bias = sum_bias + x_bar_",
        ]

    def _backward(self) -> str:
        printer = self._printer()
        recomputed, adjoint = self._recomputed(printer), self._adjoint(printer)
        states = [local(s) for s in self.model.states]
        totals = [f"total_{d}" for d in self.model.derived]
        carry = templates.CARRY_RECURRENT if self.shape.recurrent else templates.CARRY_NONE.strip()
        half = None if self.shape.products == "float32" else BfloatText(self.shape)
        if half is not None:
            carry = half.carry()
        arriving = templates.ARRIVING_CURRENTS
        if self.shape.last:
            arriving = fill(templates.ARRIVING_OUTPUTS.strip(), units=self._units)
        return fill(
            templates.BACKWARD,
            header=self._header(printer),
            lanes=self._lanes,
            w_back="w_rec" if half is None else "w_pairs",
            begin=[] if half is None else half.begin(),
            end=[] if half is None else half.end(),
            arriving=arriving.split("\n"),
            masked=self._mask_arguments(),
            unreached=templates.UNREACHED.strip().split("\n") if self.shape.masked else [],
            current=self._currents.lines("w_rec_forward", dense=False),
            load_shared=self._shared(),
            load_checkpoint=self._load_each(states, "checkpoint", f"number * (TILE * STATES * WIDTH) + {STATE_ROW}"),
            store_first=self._store_each(states, "seg_states", "row"),
            neuron=recomputed,
            load_sums=self._load(totals, "d_params"),
            adjoint=adjoint,
            store_sums=self._store(totals, "d_params"),
            input_row=[templates.INPUT_ROW] if self._takes_gradient else [],
            input_gradient=templates.INPUT_GRADIENT.strip().split("\n") if self._takes_gradient else [],
            carry=carry.split("\n"),
            listed=self._currents.listed(),
            channels=self._currents.channels,
            weight_gradients=self._currents.gradient_lines(),
        )
