"""What the texts and arrays of a checkpoint may hold. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.io.schema import COUNT, FINITE, MEASURED, NUMBER, TEXT, Value, check_values

_NAME = Value((str,), length=256)
_FLAG = Value((bool,))
_SIZE = Value((int,), 1, 1 << 31)
_LAYERS = 1000

DOCUMENT = {
    "network": Value((dict,)),
    "meta": Value((dict,)),
    "extra": Value((list,), items=TEXT),
}
"""The text beside the arrays of a checkpoint."""

NETWORK = {
    "inputs": _SIZE,
    "dt": Value(NUMBER, 1e-300, 1e300),
    "layers": Value((list,), items=Value((dict,)), length=_LAYERS),
}

LAYER = {
    "name": _NAME,
    "neuron": _NAME,
    "units": _SIZE,
    "recurrent": _FLAG,
    "bias": _FLAG,
    "options": Value((dict,)),
    "constants": Value((dict,)),
    "surrogate": Value((str,), none=True, length=256),
}

SPARSE = {"density": Value((dict,)), "mask_seed": Value((int,), 0, (1 << 63) - 1)}
"""Of a layer that is not dense."""

META = {
    "epoch": COUNT,
    "config": Value((dict,)),
    "rows": Value((list,), items=Value((dict,)), length=1 << 22),
    "trainer": Value((dict,)),
}
"""What brfkit itself writes; further names are the user's own."""

ROW = {
    "epoch": COUNT,
    "split": Value((str,), choices=("train", "validation", "test")),
    "loss": MEASURED,
    "accuracy": MEASURED,
    "spikes_per_sample": MEASURED,
    "seconds": MEASURED,
}
"""One row of metrics."""

RESUMED = {"epoch": COUNT, "rows": Value((list,), items=Value((dict,)), length=1 << 22), "trainer": Value((dict,))}
"""What the plain values of a checkpoint must have for a run to go on from it."""

TRAINER = {"optimizer": Value((dict,)), "epoch": COUNT, "averaged_steps": COUNT}
"""State of the training beside weights and optimiser."""

LSTM = {
    "inputs": _SIZE,
    "hidden": Value((list,), items=_SIZE, length=_LAYERS),
    "outputs": _SIZE,
}


SOURCE = {"source": Value((str,), length=1 << 20), "sha256": Value((str,), length=64)}
"""What a checkpoint keeps of a neuron that came from a user's file."""


def check_sources(values: Any) -> None:
    """Refuse sources of neurons that are no texts by name."""
    if not isinstance(values, Mapping) or len(values) > _LAYERS:
        raise BrfkitError("the sources of neurons are not values by name")
    for name, source in values.items():
        if not isinstance(source, Mapping):
            raise BrfkitError(f"the source of neuron {name[:80]!r} is not a text with its hash")
        check_values(source, SOURCE, f"the source of neuron {name[:80]!r}")


def check_description(values: Mapping[str, Any]) -> None:
    """Refuse what is not the description of a network, before anything is made of it."""
    check_values(values, NETWORK, "the description of the network")
    for number, layer in enumerate(values["layers"]):
        where = f"layer {number} of the network"
        check_values(layer, LAYER, where)
        check_values(layer, SPARSE, where, required=())
        if not layer["name"].isprintable():
            raise BrfkitError(f"{where} has a name that cannot be printed")
        for name, constant in layer["constants"].items():
            FINITE.check(constant, f"{where}: {name[:80]}")
        for name, share in layer.get("density", {}).items():
            Value(NUMBER, 0, 1).check(share, f"{where}: density of {name[:80]}")
        for name, option in layer["options"].items():
            Value((bool, str), length=256).check(option, f"{where}: {name[:80]}")


def check_meta(values: Mapping[str, Any]) -> None:
    """Refuse what brfkit does not write into the plain values of a checkpoint."""
    check_values(values, META, "its values", required=())
    for number, row in enumerate(values.get("rows", ())):
        check_values(row, ROW, f"row {number} of its metrics")
