"""What travels with weights in a state dict and is compared when they are loaded: neuron, δ, options, constants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from brfkit.network import Network


def identity(network: Network) -> dict[str, Any]:
    """What the weights of a network do not say, by key; constants that are trained are weights."""
    found: dict[str, Any] = {"dt": network.dt}
    single = len(network.layers) == 1
    for layer in network.layers:
        prefix = "" if single else f"{layer.name}."
        trained = {p.name for p in layer.parameters}
        constants = layer.spec.resolve_constants(network.dt, layer.constants)
        found |= {f"{prefix}neuron": layer.neuron}
        found |= {f"{prefix}{key}": value for key, value in layer.spec.resolve_options(layer.options).items()}
        if layer.densities:
            found |= {f"{prefix}density": layer.densities, f"{prefix}mask_seed": layer.mask_seed}
        found |= {f"{prefix}{key}": v for key, v in constants.items() if key not in trained and key != "dt"}
    return found


def as_bytes(values: dict[str, Any]) -> Tensor:
    """Plain values as a tensor of the bytes of their JSON, which every tool that handles state dicts takes."""
    return torch.tensor(list(json.dumps(values, sort_keys=True).encode()), dtype=torch.uint8, device="cpu")


def different(state: object, own: dict[str, Any]) -> str:
    """In words, what a saved identity has otherwise; empty where nothing."""
    try:
        saved = json.loads(bytes(state.cpu().tolist()))  # type: ignore[attr-defined]
        keys = sorted(saved.keys() | own.keys())
    except (ValueError, AttributeError, TypeError):
        return "its extra state cannot be read"
    pairs = [(key, saved.get(key), own.get(key)) for key in keys]
    return ", ".join(f"{key} is {theirs} there and {ours} here" for key, theirs, ours in pairs if theirs != ours)


@contextmanager
def compared(
    module: torch.nn.Module,
    own: dict[str, Any],
    state_dict: dict[str, Any],
    prefix: str,
    missing_keys: list[str],
    error_msgs: list[str],
) -> Iterator[None]:
    """Around a module's ``_load_from_state_dict``: a difference is an error, as another shape of a weight is; a state
    dict without an identity, as older versions wrote it, is taken."""
    key = f"{prefix}_extra_state"
    extra = state_dict.pop(key, None)
    readable = extra is not None and getattr(extra, "is_meta", False) is False
    if readable and (found := different(extra, own)):
        name = prefix.rstrip(".") or type(module).__name__
        error_msgs.append(f"{name}: {found} (without {key} the weights are loaded all the same)")
    yield
    if key in missing_keys:
        missing_keys.remove(key)
    if extra is not None:
        state_dict[key] = extra
