"""What callers hand to layers, checked once and in their words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.nn.function import is_plain

_COMPUTED = (torch.float32, torch.float64)


class Sizes(Protocol):
    """What of a layer its inputs are compared with."""

    in_features: int
    units: int
    num_layers: int
    bidirectional: bool
    batch_first: bool
    state_names: tuple[str, ...]


def to_dtype(dtype: torch.dtype | str | None) -> torch.dtype:
    """The dtype of parameters: a floating-point one, by object or name; None takes torch's default."""
    found = torch.get_default_dtype() if dtype is None else dtype
    if isinstance(found, str):
        found = getattr(torch, found.removeprefix("torch."), None)  # type: ignore[assignment]
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise BrfkitError(f"dtype must be a floating-point dtype such as torch.float32, not {dtype!r}")
    return found


def computing_dtype(weights: list[list[Tensor]]) -> torch.dtype:
    """float64 if any weight is, else float32."""
    first = weights[0][0].dtype
    if first in _COMPUTED and all(w.dtype == first for scan in weights for w in scan):
        return first
    return torch.float64 if any(w.dtype == torch.float64 for scan in weights for w in scan) else torch.float32


def like_tensors(weights: list[list[Tensor]], dtype: torch.dtype) -> list[list[Tensor]]:
    """The weights in the dtype of the computation."""
    return [[w if w.dtype == dtype else w.to(dtype) for w in scan] for scan in weights]


def as_signal(layer: Sizes, x: Any, dtype: torch.dtype, device: torch.device) -> tuple[Tensor | Events, bool]:
    """The input as [T, B, I] (or events) of the dtype of the computation, and whether it has a batch.

    Raises:
        BrfkitError: anything but a strided real tensor, or events, of the layer's size and on its device.
    """
    name = type(layer).__name__
    if isinstance(x, Events):
        if x.channels != layer.in_features:
            raise BrfkitError(f"{name}: the events have {x.channels} channels, not in_features = {layer.in_features}")
        if layer.bidirectional:
            raise BrfkitError(f"{name}: events cannot be read backwards; give a tensor (Events.dense)")
        return x, True
    if not isinstance(x, Tensor):
        raise BrfkitError(f"{name}: the input must be a tensor or brfkit.events.Events, not {_kind(x)}")
    if x.layout is not torch.strided:
        raise BrfkitError(f"{name}: the input is a sparse tensor; give x.to_dense() or brfkit.events.Events")
    if x.is_complex() or x.is_quantized:
        raise BrfkitError(f"{name}: the input must be real, not {x.dtype}")
    dims = x.dim()
    if dims not in (2, 3) or x.shape[-1] != layer.in_features:
        wanted = "(B, T, {0})" if layer.batch_first else "(T, B, {0})"
        hint = "; layer.step takes one step (B, {0})" if dims == 2 else ""
        text = f"{name}: the input must have shape {wanted} or (T, {{0}}) without a batch, not {tuple(x.shape)}{hint}"
        raise BrfkitError(text.format(layer.in_features))
    if x.device != device:
        raise BrfkitError(f"{name}: the input is on {x.device}, the layer on {device}; move one of them with .to()")
    if dims == 2:
        x = x.unsqueeze(1)
    elif layer.batch_first:
        x = x.transpose(0, 1)
    return (x if x.dtype == dtype else x.to(dtype)), dims == 3


def _kind(x: object) -> str:
    if isinstance(x, PackedSequence):
        return (
            "a PackedSequence; pad it (torch.nn.utils.rnn.pad_packed_sequence) and mask the outputs, which padding "
            "after a sequence does not change"
        )
    if isinstance(x, np.ndarray):
        return "an array; use torch.from_numpy"
    return type(x).__name__


def as_state(
    layer: Sizes,
    state: Any,
    signal: Tensor | Events,
    dtype: torch.dtype,
    device: torch.device,
    batched: bool,
) -> dict[str, Tensor]:
    """Every state [B, H], or [R, B, H], in the dtype of the computation; zeros for those that are missing.

    Raises:
        BrfkitError: not a mapping by symbol, an unknown symbol, or a tensor of another shape or device.
    """
    name, known = type(layer).__name__, layer.state_names
    if not isinstance(state, Mapping):
        raise BrfkitError(f"{name}: the state must be a dict as the layer returns it ({', '.join(known)}), not "
                          f"{type(state).__name__}")  # fmt: skip
    for symbol in state:
        if symbol not in known:
            raise BrfkitError(f"{name} has no state {symbol!r}; it has {', '.join(known)}")
    rows = layer.num_layers * (1 + layer.bidirectional)
    batch = signal.batch if isinstance(signal, Events) else signal.shape[1]
    shape = (rows, batch, layer.units) if rows > 1 else (batch, layer.units)
    found = {}
    for symbol in known:
        value = state.get(symbol)
        if value is None:
            found[symbol] = torch.zeros(shape, dtype=dtype, device=device)
            continue
        found[symbol] = _one_state(f"{name}: state {symbol!r}", value, shape, dtype, device, batched)
    return found


def _one_state(
    what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, batched: bool
) -> Tensor:
    if not isinstance(value, Tensor):
        raise BrfkitError(f"{what} must be a tensor, not {type(value).__name__}")
    given = value if batched else value.unsqueeze(-2)
    if given.shape != shape:
        wanted = shape if batched else (*shape[:-2], shape[-1])
        raise BrfkitError(f"{what} has shape {tuple(value.shape)}, not {tuple(wanted)} as this input needs")
    if given.device != device:
        raise BrfkitError(f"{what} is on {given.device}, the layer on {device}; move it with .to()")
    if what.endswith("'z'") and _readable(given) and not bool(((given == 0) | (given == 1)).all()):
        raise BrfkitError(f"{what} must hold spikes, 0 or 1")
    return given if given.dtype == dtype else given.to(dtype)


def _readable(value: Tensor) -> bool:
    """Whether values can be read without synchronising a device, and outside of compilers and transforms."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return is_plain(value, ()) and value.device.type == "cpu"
