"""torch's optimisers by name, the schedule of the learning rate, and an optimiser's state as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.runs.config import TrainingConfig

_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "nadam": torch.optim.NAdam,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
}
_PREFIX = "optimizer/"


def make_optimizer(config: TrainingConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    fused = {"fused": True} if config.optimizer in ("adam", "adamw", "sgd", "adagrad") else {}
    return _OPTIMIZERS[config.optimizer](
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, **fused
    )  # fmt: skip


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of an epoch, counted from 0: rising evenly in the epochs of the warm-up, then as scheduled."""
    warmup = config.warmup_epochs
    if epoch < warmup:
        return config.learning_rate * (epoch + 1) / (warmup + 1)
    done = (epoch - warmup) / max(config.epochs - warmup, 1)
    factors = {"linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done)), "constant": 1.0}
    return config.learning_rate * factors[config.schedule]


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The state of an optimiser as arrays and plain values."""
    arrays, plain = {}, {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            name = f"{_PREFIX}{index}/{key}"
            if isinstance(value, torch.Tensor):
                arrays[name] = value.detach().numpy().copy()
            else:
                plain[name] = value
    return arrays, plain


def restore_optimizer(
    optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray], plain: Mapping[str, Any]
) -> None:
    """Bring back what :func:`optimizer_arrays` gave; other arrays (the permutation of psmnist) are passed by.

    Raises:
        BrfkitError: it is not a state of this optimiser for these parameters.
    """
    own = {name: value for name, value in arrays.items() if name.startswith(_PREFIX)}
    _check_state(optimizer, own, plain)
    values: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in own.items()}
    state: dict[int, dict[str, Any]] = {}
    for name, value in (values | dict(plain)).items():
        _, index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_state(optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray], plain: Mapping[str, Any]) -> None:
    """Compare a stored state with that which the optimiser makes of its parameters, of which all or none have one."""
    wanted_arrays, wanted_plain = _first_state(optimizer)
    for name in (*wanted_arrays, *wanted_plain) if arrays or plain else ():
        if name not in arrays and name not in plain:
            raise BrfkitError(f"the state of the optimiser has no {name}")
    for name, value in arrays.items():
        like = wanted_arrays.get(name)
        if like is None or value.shape != like.shape or value.dtype != like.dtype:
            raise BrfkitError(
                f"the state of the optimiser does not fit: {name[:80]} is {value.dtype} of shape {value.shape}"
            )
        if np.isnan(value).any() or (name.endswith("/step") and not 0 <= float(value) < 1e15):
            raise BrfkitError(f"the state of the optimiser is damaged: {name} holds what it cannot hold")
    for name, number in plain.items():
        if name not in wanted_plain or not isinstance(number, type(wanted_plain[name])):
            raise BrfkitError(f"the state of the optimiser does not fit: {name[:80]!r} is {number!r:.60}")


def _first_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The state that an optimiser of the same kind has after one step, for the names, shapes and types in it."""
    settings = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
    like = [torch.zeros_like(p) for group in optimizer.param_groups for p in group["params"]]
    for parameter in like:
        parameter.grad = torch.zeros_like(parameter)
    kind: Any = type(optimizer)
    other = kind([{"params": like, **settings}], lr=settings["lr"])
    other.step()
    return optimizer_arrays(other)
