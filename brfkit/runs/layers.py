"""One hidden layer of a configuration, an entry of ``[[network.layers]]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.network import Layer
from brfkit.neurons import Init, OptionValue, get_neuron
from brfkit.neurons.spec import DISCRETISATION, TRAIN
from brfkit.runs.settings import setting

OF_THE_NEURON = ("surrogate", "discretisation", "trainable", "options", "constants", "init")
"""Settings that mean something for one kind of neuron only."""


@dataclass(frozen=True)
class LayerConfig:
    """A hidden layer. What it leaves out is as ``[network]`` says; ``options``, ``constants`` and ``init`` are put over
    those of ``[network]`` name by name. Where its neuron is not ``network.neuron``, what belongs to the neuron
    (:data:`OF_THE_NEURON`) begins at that neuron's own defaults instead.
    """

    units: int = setting(dataclasses.MISSING, "Units of the layer.", low=1)
    neuron: str | None = setting(None, "Its neurons.  [default: network.neuron]")
    recurrent: bool | None = setting(None, "Whether it has recurrent weights.")
    bias: bool | None = setting(None, "Whether a constant current per neuron is trained.")
    surrogate: str | None = setting(None, "Surrogate gradient.")
    discretisation: str | None = setting(None, "How RF and BRF go from step to step.")
    trainable: tuple[str, ...] | None = setting(None, "Constants that are trained.")
    options: Mapping[str, bool] = setting(None, "Parts of the neuron switched on or off.", default_factory=dict)
    constants: Mapping[str, float] = setting(None, "Constants of the neuron.", default_factory=dict)
    init: Mapping[str, Init] = setting(None, "Initial distributions by parameter.", default_factory=dict)
    density: Mapping[str, float] = setting(
        None, "Share of w_in and w_rec that connects, one number or { w_in, w_rec }.", default_factory=dict
    )
    mask_seed: int | None = setting(None, "Of which weights connect.", low=0, high=2**63 - 1)

    @staticmethod
    def of(layer: Layer) -> LayerConfig:
        """The settings of a described layer, whose name does not count."""
        options = dict(layer.options)
        way = options.pop(DISCRETISATION, None)
        trained = tuple(name.removeprefix(TRAIN) for name, on in options.items() if name.startswith(TRAIN) and on)
        return LayerConfig(
            units=layer.units,
            neuron=layer.neuron,
            recurrent=layer.recurrent,
            bias=layer.bias,
            surrogate=layer.surrogate,
            discretisation=None if way is None else str(way),
            trainable=trained,
            options={name: bool(on) for name, on in options.items() if not name.startswith(TRAIN)},
            constants=dict(layer.constants),
            density=layer.densities,
            mask_seed=layer.mask_seed if layer.densities else None,
        )

    @property
    def densities(self) -> dict[str, float]:
        """:attr:`density` by name. One number for both says nothing of the recurrent weights that a layer lacks."""
        found = dict(self.density)
        if self.recurrent is False and found.get("w_in") == found.get("w_rec"):
            found.pop("w_rec", None)
        return found

    def described(self, name: str, where: str, seed: int = 0) -> Layer:
        """The layer; every setting that is None takes what a network takes by default.

        Args:
            name: of the layer in the network.
            where: what to call it in an error.
            seed: of which weights connect, where the layer has no ``mask_seed``.

        Raises:
            BrfkitError: the neuron is unknown, or does not have what is set.
        """
        try:
            options: dict[str, OptionValue] = dict(self.options)
            options |= get_neuron(self.neuron or "brf").trainable_options(self.trainable or ())
            if self.discretisation is not None:
                options[DISCRETISATION] = self.discretisation
            return Layer(
                name,
                self.neuron or "brf",
                self.units,
                self.recurrent is not False,
                bool(self.bias),
                options,
                dict(self.constants),
                self.surrogate,
                self.densities,
                seed if self.mask_seed is None else self.mask_seed,
            )
        except BrfkitError as error:
            raise BrfkitError(f"{where}: {error}") from None

    def over(self, network: Mapping[str, Any]) -> LayerConfig:
        """This layer with what it leaves out taken from the settings of the network, by name."""
        same = self.neuron in (None, network["neuron"])
        found: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            own = getattr(self, one.name)
            if one.name == "units" or (one.name in OF_THE_NEURON and not same):
                continue
            if isinstance(own, Mapping):
                found[one.name] = {**network[one.name], **own}
            elif own is None:
                found[one.name] = network[one.name]
        return dataclasses.replace(self, **found)

    def to_dict(self, init_values: Any) -> dict[str, Any]:
        """What is set, as plain JSON values; ``init_values`` makes such of a distribution."""
        found: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if value is None or value == {}:
                continue
            if isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = {k: init_values(v) if one.name == "init" else v for k, v in value.items()}
            found[one.name] = value
        return found
