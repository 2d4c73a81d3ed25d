"""Time of the scans against bounds measured on the machine.

Every part of a scan is counted from the shapes and the spikes: floating-point operations, bytes between cache and
registers, bytes to and from main memory. A scan cannot be quicker than

    max( (fused + 2 single) / sgemm,  cache bytes / cache rate,  memory bytes / memory rate )

with the rates that the machine was measured at (:mod:`brfkit.bench.rates`). A fused multiply-add counts two flops,
and the sgemm rate is made of these. An operation that stands alone (`single`) takes the same slot of the processor and
counts one: hence the factor 2. Padding of units, vectors and tiles is no useful work and is not counted, so it lowers
the share that is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from brfkit.backends.numba_cpu.layout import Layout, segment_length, tile_size
from brfkit.bench.rates import Rates
from brfkit.bench.workloads import Workload
from brfkit.codegen.model import Model, build_model
from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Program
from brfkit.events import Events
from brfkit.network import Layer

SCANS = ("inference", "forward", "backward")
FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Work:
    """One part of a scan.

    Attributes:
        name: layer and part.
        fused: flops in fused multiply-adds, two each.
        single: other floating-point operations.
        cache: bytes between the second-level cache and the registers.
        memory: bytes to and from main memory.
    """

    name: str
    fused: float = 0.0
    single: float = 0.0
    cache: float = 0.0
    memory: float = 0.0

    def seconds(self, rates: Rates) -> float:
        """No quicker than this."""
        return max(
            (self.fused + 2.0 * self.single) / rates.sgemm,
            self.cache / rates.cache_read,
            self.memory / rates.memory_copy,
        )


@dataclass(frozen=True)
class LayerSize:
    """What the work of a layer depends on.

    Attributes:
        steps, samples, inputs, units: T, B, I, H.
        source: ``dense``, ``events`` or ``spikes`` of the layer below.
        active: ones of the input over all samples and steps (for ``events`` and ``spikes``).
        spikes: of this layer over all samples and steps; 0 for a readout.
        above: units of the layer above, 0 at the top.
        tile, segment: samples per tile, steps per segment of the backward scan.
    """

    steps: int
    samples: int
    inputs: int
    units: int
    source: str
    active: int
    spikes: int
    above: int
    tile: int
    segment: int

    @property
    def cells(self) -> int:
        """T B H."""
        return self.steps * self.samples * self.units


def operations(program: Program) -> int:
    """Instructions of a generated program, as its text is compiled: one per statement, exp and expm1 counted out."""
    return sum(OPERATIONS[statement.op].cost for statement in program.statements)


def sizes(workload: Workload) -> list[LayerSize]:
    """The layers of a workload, from below."""
    network, batch, steps = workload.network, workload.batch, workload.steps
    spikes = workload.spikes or {}
    tile = tile_size(batch)
    models = [build_model(layer.neuron, layer.options, layer.surrogate) for layer in network.layers]
    widths = [Layout.of(layer.units, workload.weights[f"{layer.name}.w_in"].dtype).width for layer in network.layers]
    segment = min(
        segment_length(steps, tile, width, len(model.states), "float32")
        for width, model in zip(widths, models, strict=True)
    )
    found: list[LayerSize] = []
    source = "events" if isinstance(workload.x, Events) else "dense"
    active = workload.nonzeros
    for index, layer in enumerate(network.layers):
        above = network.layers[index + 1].units if index + 1 < len(network.layers) else 0
        own = spikes.get(layer.name, 0)
        inputs = network.fan_in(index)
        found.append(LayerSize(steps, batch, inputs, layer.units, source, active, own, above, tile, segment))
        source, active = "spikes", own
    return found


def count_forward(layer: Layer, size: LayerSize, keep: bool) -> list[Work]:
    """Work of a forward scan through one layer.

    * input: 2 T B I H fused flops for dense input; for events and spikes one addition and one weight read per active
      input and unit.
    * recurrent: the same per spike and unit of the layer.
    * neurons: the statements of the generated step, T B H times. States stay in registers and the first-level cache.
    * out: a bit per spiking neuron and step, or a float32 per readout unit and step, written to memory.
    * kept (training): once a segment, the states, written to memory.
    """
    model = _model(layer)
    work = [
        *_currents(layer, size),
        Work("neurons", single=operations(model.step) * size.cells),
        Work("out", memory=size.cells / 8 if layer.spec.spiking else FLOAT * size.cells),
    ]
    if keep:
        checkpoints = len(model.states) * size.samples * size.units * ceil(size.steps / size.segment)
        work.append(Work("kept", memory=FLOAT * checkpoints))
    return work


def count_backward(layer: Layer, size: LayerSize) -> list[Work]:
    """Work of a backward scan through one layer, S its states and D its derived values.

    * input, recurrent: currents are gathered again, as going forward.
    * recompute: the statements of the step with the surrogate's slopes, T B H times; S states and the slopes of a
      segment are written to the cache, the states of its first step read from memory.
    * adjoint: the statements of the generated adjoint and D + 1 sums of gradients, T B H times; S states, slopes and
      current read from the cache, the current's gradient written to it.
    * recurrent product: 2 B T H² fused flops; W_rec is read from the cache once per step and tile.
    * from above: the gradient that comes down, 2 B T H H' fused flops for H' units above.
    * recurrent gradient: one addition per spike and unit, reading gradients of currents from the cache.
    * input gradient: the same per active input, or 2 T B I H fused flops for dense input.
    """
    model = _model(layer)
    kept = len(model.states) + len(model.slopes)
    cells, sums = size.cells, len(model.derived) + 1
    tiles = ceil(size.samples / size.tile)
    checkpoints = len(model.states) * size.samples * size.units * ceil(size.steps / size.segment)
    work = [
        *_currents(layer, size),
        Work(
            "recompute",
            single=operations(model.step_with_slopes) * cells,
            cache=FLOAT * kept * cells,
            memory=FLOAT * checkpoints,
        ),
        Work(
            "adjoint",
            single=(operations(model.step_vjp_of_slopes) + sums) * cells,
            cache=FLOAT * (kept + 2) * cells,
        ),
    ]
    if layer.recurrent:
        weights = tiles * size.steps * size.units**2
        work.append(Work("recurrent product", fused=2.0 * size.units * cells, cache=FLOAT * weights))
        moved = size.spikes * size.units
        work.append(Work("recurrent gradient", single=moved, cache=FLOAT * moved))
    if size.above:
        weights = tiles * size.steps * size.units * size.above
        work.append(Work("from above", fused=2.0 * size.above * cells, cache=FLOAT * weights))
    work.append(_input("input gradient", size))
    return work


def _model(layer: Layer) -> Model:
    return build_model(layer.neuron, layer.options, layer.surrogate)


def _currents(layer: Layer, size: LayerSize) -> list[Work]:
    """What makes the input currents of all steps."""
    moved = size.spikes * size.units
    recurrent = [Work("recurrent", single=moved, cache=FLOAT * moved)] if layer.recurrent else []
    return [_input("input", size), *recurrent]


def _input(name: str, size: LayerSize) -> Work:
    """W_in x, or the gradient of W_in, which takes as many operations."""
    if size.source == "dense":
        return Work(name, fused=2.0 * size.inputs * size.cells)
    moved = size.active * size.units
    return Work(name, single=moved, cache=FLOAT * moved)


def count(workload: Workload) -> dict[str, list[Work]]:
    """The parts of every scan, by the names of ``SCANS``."""
    parts: dict[str, list[Work]] = {scan: [] for scan in SCANS}
    counts: dict[str, Callable[[Layer, LayerSize], list[Work]]] = {
        "inference": lambda layer, size: count_forward(layer, size, keep=False),
        "forward": lambda layer, size: count_forward(layer, size, keep=True),
        "backward": count_backward,
    }
    for layer, size in zip(workload.network.layers, sizes(workload), strict=True):
        for scan, function in counts.items():
            parts[scan] += [Work(f"{layer.name}: {w.name}", *_numbers(w)) for w in function(layer, size)]
    return parts


def _numbers(work: Work) -> tuple[float, float, float, float]:
    return work.fused, work.single, work.cache, work.memory


def roofline(workload: Workload, rates: Rates, single: Rates, measured_ms: dict[str, float]) -> dict[str, Any]:
    """Bound of every scan, the share of it that is reached, and the parts.

    Args:
        workload: what was run.
        rates, single: of all threads and of one; a batch of fewer tiles than threads keeps only as many busy.
        measured_ms: by the names of ``SCANS``.
    """
    tiles = ceil(workload.batch / tile_size(workload.batch))
    usable = rates.at_most(single, min(rates.threads, tiles))
    result: dict[str, Any] = {}
    for scan, parts in count(workload).items():
        total = Work(scan, *(sum(column) for column in zip(*map(_numbers, parts), strict=True)))
        bound = 1e3 * total.seconds(usable)
        result[scan] = {
            "gflop": 1e-9 * (total.fused + total.single),
            "cache_mb": 1e-6 * total.cache,
            "memory_mb": 1e-6 * total.memory,
            "bound_ms": bound,
            "measured_ms": measured_ms[scan],
            "share": bound / measured_ms[scan],
            "parts": [asdict(work) | {"bound_ms": 1e3 * work.seconds(usable)} for work in parts],
        }
    return result
