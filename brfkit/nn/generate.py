"""Layer classes made from the specifications of neurons, with their options and constants as keywords.

:func:`stub_text` is the file ``classes.pyi``, the classes as type checkers and editors see them; it is written by::

    python -c "from brfkit.nn.generate import stub_text as t; print(t(), end='')" > brfkit/nn/classes.pyi
"""

from __future__ import annotations

import inspect
from typing import Any

from brfkit.neurons import NEURONS, Neuron
from brfkit.neurons.spec import DISCRETISATION
from brfkit.nn.layers import NeuronLayer

NAMES = {
    "brf": "BRF",
    "rf": "RF",
    "bhrf": "BHRF",
    "alif": "ALIF",
    "se-adlif": "SEAdLIF",
    "lif": "LIF",
    "rf-izhikevich": "RFIzhikevich",
    "li": "LI",
    "li-sigmoid": "LISigmoid",
}
MODULE = "brfkit.nn.classes"
SHARED = tuple(inspect.signature(NeuronLayer.__init__).parameters.values())[2:]  # behind self and neuron


def keywords(neuron: Neuron) -> list[inspect.Parameter]:
    """The constructor's parameters for a neuron: the shared ones, then its options and constants."""
    without = set() if neuron.spiking else {"recurrent", "threshold", "surrogate", "num_layers"}
    without |= set() if neuron.trainable else {"trainable"}
    shared = [p for p in SHARED if p.name not in without]
    own: dict[str, tuple[object, str]] = {option.name: (option.default, "bool") for option in neuron.options}
    if neuron.discretisations:
        names = list(neuron.discretisations)
        own[DISCRETISATION] = names[0], f"Literal[{', '.join(map(repr, names))}]"
    own |= {name: (float(value), "float") for name, value in neuron.constants.items()}
    kind = inspect.Parameter.KEYWORD_ONLY
    return shared + [inspect.Parameter(n, kind, default=d, annotation=a) for n, (d, a) in own.items()]


def documentation(neuron: Neuron) -> str:
    """The docstring of a neuron's class."""
    equations = "\n".join(f"        {line}" for line in neuron.equations)
    own = [f"    {option.name}: {option.doc}." for option in neuron.options]
    own += [f"    {DISCRETISATION}: {n}: {d.doc}." for n, d in neuron.discretisations.items()]
    own += [f"    {name}: {float(value):g}." for name, value in neuron.constants.items()]
    parameters = [f"    {p.name}: {p.doc} ({p.unit}), from {p.init}." for p in neuron.parameters]
    parts = [
        f"{neuron.title[0].upper()}{neuron.title[1:]}: {neuron.source}.\n\n{neuron.doc}\n\n::\n\n{equations}",
        "Arguments as :class:`NeuronLayer`" + (", and:\n\n" + "\n".join(own) if own else "."),
        "Trained, one per neuron:\n\n" + "\n".join(parameters),
    ]
    return "\n\n".join(parts) + "\n"


def layer_class(neuron: Neuron, name: str) -> type[NeuronLayer]:
    """The layer class of a neuron."""
    options = {option.name for option in neuron.options} | ({DISCRETISATION} if neuron.discretisations else set())
    constants = set(neuron.constants)

    def __init__(self: NeuronLayer, in_features: int, units: int, **given: Any) -> None:
        chosen = {key: given.pop(key) for key in options & given.keys()}
        fixed = {key: given.pop(key) for key in constants & given.keys()}
        if chosen:
            given["options"] = {**(given.get("options") or {}), **chosen}
        if fixed:
            given["constants"] = {**(given.get("constants") or {}), **fixed}
        NeuronLayer.__init__(self, neuron.name, in_features, units, **given)

    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *keywords(neuron)]
    __init__.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{name}.__init__"
    return type(name, (NeuronLayer,), {"__init__": __init__, "__doc__": documentation(neuron), "__module__": MODULE})


HEADER = '''# ruff: noqa: E501
"""Written by :func:`brfkit.nn.generate.stub_text` from the specifications of the neurons."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from brfkit.neurons import OptionValue
from brfkit.nn.initial import InitLike
from brfkit.nn.layers import NeuronLayer
'''


def stub_text() -> str:
    """The text of ``classes.pyi``."""
    return HEADER + "".join(_class(neuron, name) for neuron, name in NAMES.items())


def _class(neuron: str, name: str) -> str:
    doc = "\n".join(f"    {line}".rstrip() for line in documentation(NEURONS[neuron]).rstrip().split("\n"))
    positional = [p for p in keywords(NEURONS[neuron]) if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = [p for p in keywords(NEURONS[neuron]) if p.kind is inspect.Parameter.KEYWORD_ONLY]
    lines = ["self", *(f"{p.name}: {p.annotation}" for p in positional), "*"]
    lines += [f"{p.name}: {p.annotation} = {p.default!r}" for p in named]
    arguments = "".join(f"        {line},\n" for line in lines).replace("'", '"')
    head = f'\nclass {name}(NeuronLayer):\n    """{doc.strip()}\n    """\n\n'
    return f"{head}    def __init__(\n{arguments}    ) -> None: ...\n"
