"""The text of the numba kernels of one neuron: the loops of ``templates`` around the generated step and adjoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.printer import VectorPrinter, local
from brfkit.codegen.model import Model

# Vectors per row up to which adding a row at once beats collecting the rows of every neuron first.
NARROW = 4


@dataclass(frozen=True)
class Shape:
    """What the text of a kernel depends on besides the neuron.

    Attributes:
        dtype: ``float32`` or ``float64``.
        lanes: numbers per vector.
        block: vectors whose sums are gathered together; divides width / lanes.
        columns: vectors per row of the matrix kernel; divides width / lanes.
        tile: samples per tile.
        source: input as ``dense`` array, ``events`` or ``spikes`` of the layer below.
        recurrent: whether there is a W_rec.
        single: whether a block is the whole width, so that spikes need no list to be gone through again.
    """

    dtype: str
    lanes: int
    block: int
    columns: int
    tile: int
    source: str
    recurrent: bool
    single: bool = False


def fill(template: str, **parts: str | int | Iterable[str]) -> str:
    """Put ``parts`` in for ``@NAME``: numbers and words anywhere, lists of lines where ``@NAME`` stands alone."""
    words = {f"@{k.upper()}": str(v) for k, v in parts.items() if isinstance(v, str | int)}
    lines = {f"@{k.upper()}": v for k, v in parts.items() if not isinstance(v, str | int)}
    out: list[str] = []
    for line in template.split("\n"):
        key = line.strip()
        if key in lines:
            indent = line[: len(line) - len(line.lstrip())]
            out += [indent + inner if inner else inner for inner in lines[key]]
            continue
        for word in sorted(words, key=len, reverse=True):
            line = line.replace(word, words[word])
        out.append(line)
    return "\n".join(out)


class KernelText:
    """Source of the module with the ``forward`` and ``backward`` kernels of one neuron in one shape."""

    def __init__(self, model: Model, shape: Shape) -> None:
        self.model = model
        self.shape = shape
        self._lanes = shape.lanes
        self._spiking = model.neuron.spiking

    def module(self) -> str:
        states, slopes = len(self.model.states), len(self.model.slopes)
        preamble = fill(
            templates.PREAMBLE,
            dtype=self.shape.dtype,
            tile=self.shape.tile,
            states=states,
            rows=states + slopes,
            lanes=self._lanes,
        )
        return "\n".join([preamble, self._matrix(), self._forward(), self._backward()])

    def _printer(self) -> VectorPrinter:
        return VectorPrinter(self._lanes, "vexp" if self.shape.dtype == "float32" else "vexp_libm")

    def _load(self, names: Iterable[str], array: str, offset: str) -> list[str]:
        """Loads of consecutive rows of ``width`` from ``offset`` on."""
        rows = enumerate(names)
        return [f"{name} = simd.load({array}, {offset} + {i} * width + k, {self._lanes})" for i, name in rows]

    def _store(self, names: Iterable[str], array: str, offset: str) -> list[str]:
        return [f"simd.store({array}, {offset} + {i} * width + k, {name})" for i, name in enumerate(names)]

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

    def _sums(self, text: str) -> list[str]:
        """One line per gathered sum: ``{i}`` is its number, ``{o}`` its offset, ``{v}`` the lanes."""
        return [text.format(i=i, o=i * self._lanes, v=self._lanes) for i in range(self.shape.block)]

    def _gather(self, loop: str, row: str, array: str, scale: str | None = None) -> list[str]:
        """Loop that adds rows of ``array`` to the sums, times ``scale`` if there is one."""
        lines = [loop, f"    base = {row} * width + c"]
        if scale is None:
            return lines + self._sums(f"    sum{{i}} = sum{{i}} + simd.load({array}, base + {{o}}, {{v}})")
        lines.append(f"    factor = simd.broadcast({scale}, {self._lanes})")
        return lines + self._sums(f"    sum{{i}} = simd.fma(factor, simd.load({array}, base + {{o}}, {{v}}), sum{{i}})")

    def _gather_spikes(
        self, bits: str, words: str, shift: int, array: str, condition: str = ""
    ) -> tuple[list[str], list[str]]:
        """Lines before the gathering and lines of the gathering of rows of ``array`` for the spikes of a step."""
        name = f"n_{bits}"
        offset = f"((t + {shift}) * TILE + s) * {words}" if shift else f"(t * TILE + s) * {words}"
        if not self.shape.single:
            found = f"active({bits}, {offset}, {words}, {bits}_list)"
            return [f"{name} = {condition}{found}"], self._gather(f"for e in range({name}):", f"{bits}_list[e]", array)
        lines = [
            f"for w in range({name}):",
            f"    word = {bits}[{offset} + w]",
            "    while word != 0:",
            "        base = (w * 64 + simd.count_trailing_zeros(word)) * width + c",
            "        word &= word - np.uint64(1)",
            *self._sums(f"        sum{{i}} = sum{{i}} + simd.load({array}, base + {{o}}, {{v}})"),
        ]
        return [f"{name} = {condition}{words}"], lines

    def _matrix(self) -> str:
        v, tile, columns = self._lanes, self.shape.tile, self.shape.columns
        cells = [(s, k) for s in range(tile) for k in range(columns)]
        body = [f"w{k} = simd.load(w, j * width + c + {k * v}, {v})" for k in range(columns)]
        for s in range(tile):
            body.append(f"factor = simd.broadcast(x[offset + {s} * stride + j], {v})")
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
        row = "(k * TILE + s * LANES) * STATES"
        neuron = printer.lines(self.model.step, {"out": "out_", **{f"{s}_next": f"{s}_" for s in states}})
        lists, gather = self._inputs("w_rec", dense=True)
        spikes = fill(templates.EMIT_SPIKES.strip(), lanes=self._lanes)
        emit = spikes if self._spiking else "simd.store(row, s * width + k, out_)"
        return fill(
            templates.FORWARD,
            header=[*self._header(printer), f"half = simd.broadcast(real(0.5), {self._lanes})"],
            lanes=self._lanes,
            step=self.shape.block * self._lanes,
            lists=lists,
            start=self._sums("sum{i} = simd.load(bias, c + {o}, {v})"),
            gather=gather,
            store=self._sums("simd.store(current, now + s * width + c + {o}, sum{i})"),
            dense_recurrence=templates.DENSE_RECURRENCE.strip().split("\n") if self.shape.recurrent else [],
            load_derived=self._load(map(local, self.model.derived), "params", "0"),
            load_states=self._load_each(map(local, states), "state", row),
            neuron=neuron,
            store_states=self._store_each([f"{s}_" for s in states], "state", row),
            emit=emit.split("\n"),
            copy_out=[] if self._spiking else templates.COPY_OUT.strip().split("\n"),
        )

    def _inputs(self, w_rec: str, dense: bool) -> tuple[list[str], list[str]]:
        """Lines that find what is active at a step, and lines that gather the input current.

        ``w_rec`` is the array of the recurrent weights; with ``dense`` the gathering of spikes is left out at steps at
        which the matrix kernel takes over.
        """
        lists: list[str] = []
        if self.shape.source == "dense":
            lists.append("x_row = (t * batch + first + s) * inputs")
            gather = self._gather("for i in range(inputs):", "i", "w_in", "x[x_row + i]")
        elif self.shape.source == "events":
            lists.append("e_row = (first + s) * (steps + 1) + t")
            gather = self._gather("for e in range(indptr[e_row], indptr[e_row + 1]):", "indices[e]", "w_in")
        else:
            before, gather = self._gather_spikes("below", "words_in", 1, "w_in")
            lists += before
        if self.shape.recurrent:
            if dense:
                lists.append(f"dense = n_fired > {templates.DENSE_SHARE} * count * units")
            before, lines = self._gather_spikes("bits", "words", 0, w_rec, "0 if dense else " if dense else "")
            lists, gather = lists + before, gather + lines
        return lists, gather

    def _weight_gradients(self) -> list[str]:
        """Lines that add a segment to the gradients of W_in and W_rec."""
        source = self.shape.source
        if source == "dense":
            text = fill(
                templates.DENSE_GRADIENT,
                step=self.shape.block * self._lanes,
                start=self._sums("sum{i} = simd.load(d_in, i * width + c + {o}, {v})"),
                gather=self._gather("for r in range(rows):", "r", "xbar", "factors[r]"),
                store=self._sums("simd.store(d_in, i * width + c + {o}, sum{i})"),
            )
        elif source == "events":
            text = fill(templates.EVENT_GRADIENT, lanes=self._lanes)
        else:
            text = self._spike_gradient("inputs", "below", "words_in", 1, "d_in")
        if self.shape.recurrent:
            text += "\n" + self._spike_gradient("units", "bits", "words", 0, "d_rec")
        return [line for line in text.split("\n") if line.strip()]

    def _spike_gradient(self, presynaptic: str, bits: str, words: str, shift: int, target: str) -> str:
        if self.shape.single and self.shape.block <= NARROW:
            add = "simd.store({t}, target + {{o}}, simd.load({t}, target + {{o}}, {{v}}) + row{{i}})"
            return fill(
                templates.NARROW_SPIKE_GRADIENT,
                bits=bits,
                words=words,
                shift=shift,
                load_row=self._sums("row{i} = simd.load(xbar, row + {o}, {v})"),
                add_row=self._sums(add.format(t=target)),
            )
        return fill(
            templates.SPIKE_GRADIENT,
            presynaptic=presynaptic,
            bits=bits,
            words=words,
            shift=shift,
            step=self.shape.block * self._lanes,
            start=self._sums(f"sum{{i}} = simd.load({target}, j * width + c + {{o}}, {{v}})"),
            gather=self._gather("for e in range(row_count[j]):", "row_list[j * capacity + e]", "xbar"),
            store=self._sums(f"simd.store({target}, j * width + c + {{o}}, sum{{i}})"),
        )

    def _backward(self) -> str:
        printer = self._printer()
        states, derived = self.model.states, self.model.derived
        slopes = self.model.slopes
        kept = {f"{s}_next": f"{s}_" for s in states} | {s: f"{s}_" for s in slopes}
        neuron = printer.lines(self.model.step_with_slopes, kept)
        vjp = self.model.step_vjp_of_slopes
        adjoint = printer.lines(vjp, {name: f"{name}_" for name in vjp.output_names})
        v, next_states = self._lanes, [f"{s}_" for s in states]
        state_row = "(k * TILE + s * LANES) * STATES"
        lists, gather = self._inputs("w_rec_forward", dense=False)
        carry = templates.CARRY_RECURRENT if self.shape.recurrent else templates.CARRY_NONE.strip()
        return fill(
            templates.BACKWARD,
            header=self._header(printer),
            lanes=self._lanes,
            step=self.shape.block * self._lanes,
            lists=lists,
            start=self._sums("sum{i} = simd.load(bias, c + {o}, {v})"),
            gather=gather,
            store=self._sums("simd.store(current, now + s * width + c + {o}, sum{i})"),
            load_derived=self._load(map(local, derived), "params", "0"),
            load_checkpoint=self._load_each(map(local, states), "checkpoint", f"number * len(state_bar) + {state_row}"),
            store_first=self._store_each(map(local, states), "seg_states", "row"),
            load_states=self._load_each(map(local, states), "seg_states", "row"),
            neuron=neuron,
            store_slopes=self._store_each([f"{s}_" for s in slopes], "seg_states", f"row + {len(states) * v}"),
            store_states=self._store_each(next_states, "seg_states", "row + plane"),
            load_sums=self._load([f"total_{d}" for d in derived], "d_params", "0"),
            load_segment=self._load_each(map(local, (*states, *slopes)), "seg_states", "row"),
            load_bars=self._load_each([local(f"{s}_next_bar") for s in states], "state_bar", state_row),
            adjoint=adjoint,
            store_bars=self._store_each([f"{s}_bar_" for s in states], "state_bar", state_row),
            add_sums=[f"total_{d} = total_{d} + {d}_bar_" for d in derived],
            store_sums=self._store([f"total_{d}" for d in derived], "d_params", "0"),
            carry=carry.split("\n"),
            weight_gradients=self._weight_gradients(),
        )
