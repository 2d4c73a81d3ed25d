"""Reading the trained networks of the published implementation (torch files), without executing anything in them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike
from brfkit.io.torch_file import check_tensor, is_torch_file, read_torch_file
from brfkit.network import Layer, Network, Weights

if TYPE_CHECKING:
    from torch import Tensor

PARAMETERS = {"omega": ("omega", "b_offset"), "tau": ("tau_mem", "tau_adp")}
NEURONS = {"omega": ("brf", "rf", "bhrf"), "tau": ("alif",)}
REQUIRED = ("hidden.linear.weight", "out.linear.weight", "out.tau_mem")
OPTIONAL = ("hidden.linear.mask", "hidden.linear.bias", "out.linear.bias")


def is_published(path: PathLike) -> bool:
    """Whether the file is a torch file, by its first bytes and member names; one that cannot be read is not."""
    return is_torch_file(path)


def read_published(
    path: PathLike, neuron: str | None = None, dt: float = 0.01
) -> tuple[Network, Weights, dict[str, Any]]:
    """Network, weights and training state of a checkpoint of the published implementation.

    The file holds ``model_state_dict`` with ``hidden.linear.weight`` [H, I + H] (``hidden.linear.mask`` of the same
    shape is multiplied in), ``hidden.omega`` and ``hidden.b_offset``, or ``hidden.tau_mem`` and ``hidden.tau_adp`` [H],
    ``out.linear.weight`` [O, H] and ``out.tau_mem`` [O]; the layers may have ``linear.bias``.

    Args:
        path: a file written by ``torch.save``.
        neuron: ``brf``, ``rf`` or ``bhrf``, which the file does not tell apart; ``alif`` or None for a file of ALIF.
            The readout of ``bhrf`` is ``li-sigmoid``, as in the published code.
        dt: time step δ that the network was trained with.

    Returns:
        the network with layers ``hidden0`` and ``readout``; its weights in float32; and ``epoch`` and ``loss`` where
        the file has them.

    Raises:
        BrfkitError: the file is missing, damaged or of another kind, or `neuron` is missing or wrong.
    """
    content = _load(path)
    state = content.get("model_state_dict")
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise BrfkitError(f"{path} has no model_state_dict; it is not a checkpoint of the published code")
    family = _family(path, state)
    neuron = _neuron(path, family, neuron)
    tensors = {key: _tensor(path, key, value) for key, value in state.items()}
    network = _network(path, tensors, neuron, dt)
    weights = _weights(path, tensors, network, PARAMETERS[family])
    return network, weights, _training_state(path, content)


def _load(path: PathLike) -> dict[Any, Any]:
    content = read_torch_file(path)
    if not isinstance(content, dict):
        raise BrfkitError(f"{path} holds a {type(content).__name__}; it is not a checkpoint of the published code")
    return content


def _family(path: PathLike, state: Mapping[str, Any]) -> str:
    keys = {key for key in state if key not in OPTIONAL}
    families = [f for f, names in PARAMETERS.items() if any(f"hidden.{name}" in keys for name in names)]
    if not families:
        raise BrfkitError(f"{path} has neither hidden.omega nor hidden.tau_mem; it is not of the published code")
    family = families[0]
    wanted = {*REQUIRED, *(f"hidden.{name}" for name in PARAMETERS[family])}
    for key in sorted(wanted - keys):
        raise BrfkitError(f"{path}: {key} is missing")
    for key in sorted(keys - wanted):
        raise BrfkitError(f"{path}: {key[:80]!r} does not belong to a network of the published code")
    return family


def _neuron(path: PathLike, family: str, neuron: str | None) -> str:
    allowed = NEURONS[family]
    if neuron is None and len(allowed) == 1:
        return allowed[0]
    if neuron in allowed:
        return str(neuron)
    if family == "tau":
        raise BrfkitError(f"{path} holds tau_mem and tau_adp of ALIF neurons, not of {neuron}; use --neuron alif")
    said = (
        "does not say which neuron it holds" if neuron is None else f"holds omega and b_offset, which {neuron} has not"
    )
    raise BrfkitError(f"{path} {said}; use --neuron {'|'.join(allowed)}")


def _tensor(path: PathLike, key: str, value: Any) -> Tensor:
    """A finite float32 tensor in ordinary memory, or an error that names the key."""
    import torch

    if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point:
        raise BrfkitError(f"{path}: {key} is not a dense tensor of real floating-point numbers ({value.dtype})")
    converted = check_tensor(value, f"{path}: {key}").to(torch.float32)
    if not bool(torch.isfinite(converted).all()):
        raise BrfkitError(f"{path}: {key} holds values that are not finite")
    return converted


def _network(path: PathLike, tensors: Mapping[str, Tensor], neuron: str, dt: float) -> Network:
    for key in ("hidden.linear.weight", "out.linear.weight"):
        if tensors[key].ndim != 2 or 0 in tensors[key].shape:
            raise BrfkitError(f"{path}: {key} has shape {tuple(tensors[key].shape)}; a matrix is needed")
    units, columns = tensors["hidden.linear.weight"].shape
    if columns <= units:
        raise BrfkitError(f"{path}: hidden.linear.weight has shape ({units}, {columns}), which leaves no input channel")
    hidden = Layer("hidden0", neuron, units, bias="hidden.linear.bias" in tensors)
    readout = Layer(
        "readout",
        "li-sigmoid" if neuron == "bhrf" else "li",
        tensors["out.linear.weight"].shape[0],
        recurrent=False,
        bias="out.linear.bias" in tensors,
    )
    return Network(columns - units, (hidden, readout), dt)


def _weights(path: PathLike, tensors: Mapping[str, Tensor], network: Network, parameters: tuple[str, ...]) -> Weights:
    units, outputs = network.layers[0].units, network.outputs
    shapes: dict[str, tuple[int, ...]] = {
        "hidden.linear.mask": (units, network.inputs + units),
        "hidden.linear.bias": (units,),
        **{f"hidden.{name}": (units,) for name in parameters},
        "out.linear.weight": (outputs, units),
        "out.linear.bias": (outputs,),
        "out.tau_mem": (outputs,),
    }
    for key, shape in shapes.items():
        if key in tensors and tuple(tensors[key].shape) != shape:
            raise BrfkitError(f"{path}: {key} has shape {tuple(tensors[key].shape)}, not {shape}")
    joint = tensors["hidden.linear.weight"]
    if "hidden.linear.mask" in tensors:
        joint = joint * tensors["hidden.linear.mask"]
    named = {"hidden0.w_in": joint[:, : network.inputs], "hidden0.w_rec": joint[:, network.inputs :]}
    named |= {f"hidden0.{name}": tensors[f"hidden.{name}"] for name in parameters}
    named |= {"readout.w_in": tensors["out.linear.weight"], "readout.tau_mem": tensors["out.tau_mem"]}
    for key, name in (("hidden.linear.bias", "hidden0.bias"), ("out.linear.bias", "readout.bias")):
        if key in tensors:
            named[name] = tensors[key]
    weights = {name: named[name].contiguous().numpy().copy() for name in network.shapes()}
    try:
        network.check(weights)  # the product with the mask may have left the range of float32
    except BrfkitError as error:
        raise BrfkitError(f"{path}: {error}") from None
    return weights


def _training_state(path: PathLike, content: Mapping[Any, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    epoch, loss = content.get("epoch"), content.get("loss")
    if epoch is not None:
        if type(epoch) is not int or not 0 <= epoch < 1 << 53:
            raise BrfkitError(f"{path}: epoch is not a count of epochs")
        meta["epoch"] = epoch
    if loss is not None:
        if not isinstance(loss, int | float) or isinstance(loss, bool) or not abs(loss) <= sys.float_info.max:
            raise BrfkitError(f"{path}: loss is not a finite number")
        meta["loss"] = float(loss)
    return meta
