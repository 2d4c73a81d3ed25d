"""The scans that a layer is made of: one for all layers, or one for each layer and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from brfkit.backends.base import Trace
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network
from brfkit.neurons import OptionValue, get_neuron
from brfkit.nn.function import run
from brfkit.nn.plan import Plan


class Scan:
    """One network that is scanned as a whole.

    Attributes:
        network: description.
        attributes: names of its weights in the module, in the order of ``network.shapes()``.
        rows: which row of a stacked state belongs to each of its layers.
        reverse: whether it reads the sequence backwards.
        fresh, resumed: plans without and with an initial state.
    """

    fresh: Plan
    resumed: Plan

    def __init__(self, network: Network, suffixes: Sequence[str], rows: Sequence[int], reverse: bool) -> None:
        self.network, self.rows, self.reverse = network, tuple(rows), reverse
        self.attributes = tuple(
            f"{name}{suffix}"
            for index, (layer, suffix) in enumerate(zip(network.layers, suffixes, strict=True))
            for name in layer.shapes(network.fan_in(index))
        )

    def make_plans(self, backend: str) -> None:
        final = Plan(self.network, backend).final
        self.symbols = tuple(name.rpartition(".")[2] for name in final)
        index = {layer.name: row for layer, row in zip(self.network.layers, self.rows, strict=True)}
        self.places = tuple(index[name.rpartition(".")[0]] for name in final)
        self.fresh = Plan(self.network, backend)
        self.resumed = Plan(self.network, backend, final)
        self.recorded = Plan(self.network, backend, (), final), Plan(self.network, backend, final, final)

    def run(
        self,
        x: Tensor | Events,
        weights: Sequence[Tensor],
        given: Mapping[str, Tensor] | None,
        rows: list[dict[str, Tensor]],
        kept: list[dict[str, Tensor]],
        record: bool,
    ) -> tuple[Tensor, Trace | None]:
        """Output [T, B, H] and the trace; final states and records go to their rows."""
        plan = self.fresh if given is None else self.resumed
        if record:
            plan = self.recorded[given is not None]
        tensors = list(weights)
        if given is not None:
            stacked = len(rows) > 1
            pairs = zip(self.symbols, self.places, strict=True)
            tensors += [given[s][row] if stacked else given[s] for s, row in pairs]
        if self.reverse and isinstance(x, Tensor):
            x = x.flip(0)
        (output, *rest), trace = run(plan, x, tensors)
        count = len(self.symbols)
        for symbol, row, value in zip(self.symbols, self.places, rest[:count], strict=True):
            rows[row][symbol] = value
        for symbol, row, value in zip(self.symbols, self.places, rest[count:], strict=False):
            kept[row][symbol] = value.flip(0) if self.reverse else value
        return (output.flip(0) if self.reverse else output), trace


def stack(
    owner: str, neuron: str, in_features: int, units: int, num_layers: int, bidirectional: bool, dt: float, *,
    recurrent: bool | None, bias: bool, options: Mapping[str, OptionValue], constants: Mapping[str, float],
    trainable: Sequence[str], surrogate: str | None,
) -> list[list[Scan]]:  # fmt: skip
    """The scans of a layer, level by level, each level with one or two directions.

    Raises:
        BrfkitError: a size that is no positive integer, or what :class:`brfkit.network.Layer` refuses.
    """
    for name, size in (("in_features", in_features), ("units", units), ("num_layers", num_layers)):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise BrfkitError(f"{owner}: {name} must be a positive integer, not {size!r}")
    spec = get_neuron(neuron)
    if num_layers > 1 and not spec.spiking:
        raise BrfkitError(f"{owner}: num_layers must be 1 for neuron {neuron}, which has no spikes to hand on")
    if recurrent and not spec.spiking:
        raise BrfkitError(f"{owner}: neuron {neuron} has no spikes, so it cannot be recurrent")
    chosen = {**options, **spec.trainable_options(["theta" if name == "threshold" else name for name in trainable])}

    def layer(name: str) -> Layer:
        back = spec.spiking if recurrent is None else recurrent
        return Layer(name, neuron, units, back, bias, chosen, dict(constants), surrogate)

    suffixes = ["", *(f"_l{i}" for i in range(1, num_layers))]
    if not bidirectional:
        names = ["layer"] if num_layers == 1 else [f"l{i}" for i in range(num_layers)]
        network = Network(in_features, tuple(layer(name) for name in names), dt)
        return [[Scan(network, suffixes, range(num_layers), False)]]
    levels: list[list[Scan]] = []
    for index, suffix in enumerate(suffixes):
        network = Network(in_features if index == 0 else 2 * units, (layer("layer"),), dt)
        both = ((suffix, 2 * index, False), (f"{suffix}_reverse", 2 * index + 1, True))
        levels.append([Scan(network, [s], [row], reverse) for s, row, reverse in both])
    return levels
