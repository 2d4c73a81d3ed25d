"""The neuron models. Adding one is adding a file and a line here (docs/adding-a-neuron.md)."""

from __future__ import annotations

from brfkit.errors import BrfkitError
from brfkit.neurons import plugin
from brfkit.neurons.alif import ALIF
from brfkit.neurons.bhrf import BHRF
from brfkit.neurons.brf import BRF
from brfkit.neurons.li import LI, LI_SIGMOID
from brfkit.neurons.lif import LIF
from brfkit.neurons.rf import RF
from brfkit.neurons.rf_izhikevich import RF_IZHIKEVICH
from brfkit.neurons.se_adlif import SE_ADLIF
from brfkit.neurons.spec import (
    Constant,
    Discretisation,
    Init,
    Neuron,
    Normal,
    Option,
    OptionValue,
    Parameter,
    ThresholdTerm,
    Trainable,
    Uniform,
    nearest,
)
from brfkit.neurons.surrogates import SURROGATES, Surrogate, get_surrogate, register_surrogate

NEURONS: dict[str, Neuron] = {n.name: n for n in (BRF, RF, BHRF, ALIF, SE_ADLIF, LIF, RF_IZHIKEVICH, LI, LI_SIGMOID)}


def register(neuron: Neuron, *, overwrite: bool = False) -> Neuron:
    """Add a custom neuron under its name.

    A name that is taken is refused unless ``overwrite`` is true; networks and layers of that name then use the new one
    from their next call on.
    """
    if neuron.name in NEURONS and not overwrite:
        raise BrfkitError(f"there is a neuron {neuron.name!r} already; overwrite=True replaces it")
    NEURONS[neuron.name] = neuron
    return neuron


def neuron_name(text: str) -> str:
    """A name as it is registered: upper case and ``_`` make no difference. Other text is given back as it is.

    Nothing is executed: the name may come from a checkpoint or a configuration. See :func:`neuron_argument`.
    """
    if text in NEURONS:
        return text
    plain = text.lower().replace("_", "-")
    same = [name for name in (*NEURONS, "lstm") if name.lower().replace("_", "-") == plain]
    return same[0] if same else text


def neuron_argument(text: str) -> str:
    """The name of the neuron that the user asks for in an argument: a registered name, or a file, which is executed.

    Args:
        text: name, ``path/to/file.py``, or ``path/to/file.py:NAME`` where the file holds several neurons
            (:mod:`brfkit.neurons.plugin`).

    Raises:
        BrfkitError: the file cannot be read or executed, or holds no such neuron.
    """
    if text not in NEURONS and plugin.is_neuron_file(text):
        return plugin.load_neuron_file(text, NEURONS)
    return neuron_name(text)


def get_neuron(name: str) -> Neuron:
    """The neuron of that name, in any case; an unknown name is a :class:`BrfkitError` that suggests the nearest."""
    known = neuron_name(name)
    if known not in NEURONS and not plugin.from_entry_points(name, NEURONS):
        raise BrfkitError(
            f"unknown neuron {name!r}; {nearest(name, NEURONS)}; a file such as my.py is named with --neuron"
        )
    return NEURONS[known if known in NEURONS else name]


__all__ = [
    "NEURONS",
    "SURROGATES",
    "Constant",
    "Discretisation",
    "Init",
    "Neuron",
    "Normal",
    "Option",
    "OptionValue",
    "Parameter",
    "Surrogate",
    "ThresholdTerm",
    "Trainable",
    "Uniform",
    "get_neuron",
    "get_surrogate",
    "neuron_argument",
    "register",
    "register_surrogate",
]
