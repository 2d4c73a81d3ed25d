"""The parts of a kernel's text that go from spikes and input to currents, and from their gradients to the weights'."""

from __future__ import annotations

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.shape import NARROW, SUMS, Shape, fill


class CurrentText:
    """Lines that gather the currents of a step, and lines that add a segment to the gradients of W_in and W_rec."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._lanes = shape.layout.lanes
        self._samples = range(shape.group)

    def _block(self, text: str) -> list[str]:
        """One line per vector of a block: ``{i}`` is its number, ``{o}`` its offset, ``{v}`` the lanes."""
        v = self._lanes
        return [text.format(i=i, o=i * v, v=v) for i in range(self.shape.layout.block)]

    def _sums(self, text: str) -> list[str]:
        """The same for every sample of a group, ``{g}``."""
        return [line for g in self._samples for line in self._block(text.replace("{g}", str(g)))]

    def lines(self, w_rec: str, dense: bool) -> list[str]:
        """The currents of all samples at step ``t``.

        ``w_rec`` is the array of the recurrent weights; with ``dense`` the gathering of spikes is left out at steps at
        which the matrix kernel takes over.
        """
        lists, gather = self._input()
        before = self._dense_input()
        after: list[str] = []
        start = "sum{g}_{i} = simd.load(bias, c + {o}, {v})"
        if before:
            start = "sum{g}_{i} = simd.load(current, now + (s + {g}) * WIDTH + c + {o}, {v})"
        if self.shape.recurrent:
            found, lines = self._spikes("bits", "WORDS", 0, w_rec, "units", "0 if dense else " if dense else "")
            lists, gather = lists + found, gather + lines
            if dense:
                before += [f"dense = n_fired > {templates.DENSE_SHARE} * count * units"]
                after = templates.DENSE_RECURRENCE.strip().split("\n")
        body = fill(
            templates.CURRENT.strip(),
            group=self.shape.group,
            step=self.shape.layout.block * self._lanes,
            lists=lists,
            start=self._sums(start),
            gather=gather,
            store=self._sums("simd.store(current, now + (s + {g}) * WIDTH + c + {o}, sum{g}_{i})"),
        )
        return before + body.split("\n") + after

    @property
    def _wide(self) -> bool:
        """Whether there is a dense input that is not added where the neuron is computed."""
        return self.shape.source == "dense" and not self.shape.channels

    def _dense_input(self) -> list[str]:
        if not self._wide:
            return []
        return fill(templates.DENSE_INPUT.strip(), lanes=self._lanes).split("\n")

    @property
    def channels(self) -> int:
        """Channels of a dense input whose gradients are summed together: as many as have their sums in registers."""
        if self.shape.source != "dense":
            return 1
        return min(max(SUMS // self.shape.layout.block, 1), self.shape.channels or SUMS)

    def _input(self) -> tuple[list[str], list[str]]:
        """Lines that find what is active in the input, and lines that gather it."""
        source = self.shape.source
        if source == "spikes":
            return self._spikes("below", str(self.shape.words_in), 1, "w_in", "inputs", "")
        if source == "events":
            lists = [f"e_row{g} = (first + min(s + {g}, count - 1)) * (steps + 1) + t" for g in self._samples]
            gather = []
            for g in self._samples:
                gather.append(f"for e in range(indptr[e_row{g}], indptr[e_row{g} + 1]):")
                gather.append("    base = simd.get(indices, e) * WIDTH + c")
                gather += self._block(f"    sum{g}_{{i}} = sum{g}_{{i}} + simd.load(w_in, base + {{o}}, {{v}})")
            return lists, gather
        if self.shape.channels:
            return [], []
        lists = [f"x_row{g} = (t * batch + first + min(s + {g}, count - 1)) * inputs" for g in self._samples]
        gather = ["for i in range(0 if whole else inputs):", "    base = i * WIDTH + c"]
        gather += self._block("    part{i} = simd.load(w_in, base + {o}, {v})")
        for g in self._samples:
            gather.append(f"    factor = simd.broadcast(simd.get(x, x_row{g} + i), {self._lanes})")
            gather += self._block(f"    sum{g}_{{i}} = simd.fma(factor, part{{i}}, sum{g}_{{i}})")
        return lists, gather

    def _spikes(
        self, bits: str, words: str, shift: int, array: str, rows: str, condition: str
    ) -> tuple[list[str], list[str]]:
        """Lines before the gathering and lines of the gathering of rows of ``array`` for the spikes of a step."""
        name = f"n_{bits}"
        if not self.shape.single:
            found = f"active({bits}, ((t + {shift}) * TILE + s) * {words}, {words}, {bits}_list)"
            lines = [f"for e in range({name}):", f"    base = {bits}_list[e] * WIDTH + c"]
            return [f"{name} = {condition}{found}"], lines + self._block(
                f"    sum0_{{i}} = sum0_{{i}} + simd.load({array}, base + {{o}}, {{v}})"
            )
        offset = f"((t + {shift}) * TILE + s + {{g}}) * {words} + w"
        index = "w * 64 + simd.count_trailing_zeros(word{g})"
        if self.shape.group > 1:
            index = f"({index} if word{{g}} != 0 else {rows})"
        text = fill(
            templates.GATHER_TOGETHER.strip(),
            words=name,
            any="(" + " | ".join(f"word{g}" for g in self._samples) + ")",
            word=[f"word{g} = simd.get({bits}, {offset.format(g=g)})" for g in self._samples],
            base=[f"base{g} = {index.format(g=g)} * WIDTH + c" for g in self._samples],
            next=[f"word{g} &= word{g} - np.uint64(1)" for g in self._samples],
            add=self._sums(f"sum{{g}}_{{i}} = sum{{g}}_{{i}} + simd.load({array}, base{{g}} + {{o}}, {{v}})"),
        )
        return [f"{name} = {condition}{words}"], text.split("\n")

    def listed(self) -> str:
        """How many presynaptic neurons have lists of their own in the gathering of weight gradients."""
        if self.shape.single and self.shape.layout.block <= NARROW:
            return "0"
        return "widest" if self.shape.source == "spikes" else "units" if self.shape.recurrent else "0"

    def gradient_lines(self) -> list[str]:
        """A segment's share of the gradients of W_in and W_rec."""
        source = self.shape.source
        if source == "dense":
            text = self._dense_gradient()
        elif source == "events":
            lines = ["for e in range(begins[j], begins[j + 1]):", "    base = event_rows[e] * WIDTH + c"]
            text = self._gathered_gradient(templates.EVENT_GRADIENT, lines, "d_in")
        else:
            text = self._spike_gradient("inputs", "below", str(self.shape.words_in), 1, "d_in")
        if self.shape.recurrent:
            text += "\n" + self._spike_gradient("units", "bits", "WORDS", 0, "d_rec")
        return [line for line in text.split("\n") if line.strip()]

    def _dense_gradient(self) -> str:
        """Several channels at once; those beyond the last one repeat it, and give the same sums."""
        together = range(self.channels)
        lines = ["for r in range(rows):", "    base = (r + base_row) * WIDTH + c"]
        lines += self._block("    part{i} = simd.load(xbar, base + {o}, {v})")
        for g in together:
            lines.append(f"    factor = simd.broadcast(factors[r * {self.channels} + {g}], {self._lanes})")
            lines += self._block(f"    sum{g}_{{i}} = simd.fma(factor, part{{i}}, sum{g}_{{i}})")

        def each(text: str) -> list[str]:
            return [
                line
                for g in together
                for line in self._block(text.replace("CHANNEL", f"min(i + {g}, inputs - 1)").replace("{g}", str(g)))
            ]

        return fill(
            templates.DENSE_GRADIENT,
            step=self.shape.layout.block * self._lanes,
            channels=self.channels,
            factors=[f"factors[r * {self.channels} + {g}] = x[x_row + min(i + {g}, inputs - 1)]" for g in together],
            start=each("sum{g}_{i} = simd.load(d_in, CHANNEL * WIDTH + c + {o}, {v})"),
            gather=lines,
            store=each("simd.store(d_in, CHANNEL * WIDTH + c + {o}, sum{g}_{i})"),
        )

    def _spike_gradient(self, presynaptic: str, bits: str, words: str, shift: int, target: str) -> str:
        if self.shape.single and self.shape.layout.block <= NARROW:
            add = "simd.store({t}, target + {{o}}, simd.load({t}, target + {{o}}, {{v}}) + part{{i}})"
            return fill(
                templates.NARROW_SPIKE_GRADIENT,
                bits=bits,
                words=words,
                shift=shift,
                load_row=self._block("part{i} = simd.load(xbar, row + {o}, {v})"),
                add_row=self._block(add.format(t=target)),
            )
        lines = ["for e in range(row_count[j]):", "    base = row_list[j * capacity + e] * WIDTH + c"]
        text = fill(templates.SPIKE_GRADIENT, presynaptic=presynaptic, bits=bits, words=words, shift=shift)
        return self._gathered_gradient(text, lines, target)

    def _gathered_gradient(self, template: str, loop: list[str], target: str) -> str:
        """A template in which the rows of ``xbar`` that a loop goes through are added to a row of ``target``."""
        return fill(
            template,
            step=self.shape.layout.block * self._lanes,
            start=self._block(f"sum{{i}} = simd.load({target}, j * WIDTH + c + {{o}}, {{v}})"),
            gather=loop + self._block("    sum{i} = sum{i} + simd.load(xbar, base + {o}, {v})"),
            store=self._block(f"simd.store({target}, j * WIDTH + c + {{o}}, sum{{i}})"),
        )
