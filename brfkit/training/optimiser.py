"""torch's optimisers by name, the schedule of the learning rate, and an optimiser's state as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

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
        ValueError: it is not the state of such an optimiser of these parameters; fused kernels would not check that.
    """
    own = {name: value for name, value in arrays.items() if name.startswith(_PREFIX)}
    values: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in own.items()}
    state: dict[int, dict[str, Any]] = {}
    for name, value in (values | dict(plain)).items():
        _, index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    _check_state(optimizer, state)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_state(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Compare names and shapes with those of a like optimiser after one step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    probe = torch.nn.Parameter(torch.zeros(2, 3, dtype=parameters[0].dtype))
    settings = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    kind: Any = type(optimizer)
    like = kind([{"params": [probe], **settings}], lr=settings["lr"])
    probe.grad = torch.zeros_like(probe)
    like.step()
    wanted = like.state_dict()["state"].get(0, {})
    if state and state.keys() != set(range(len(parameters))):
        raise ValueError("the state of the optimiser is of other parameters")
    for index, values in state.items():
        if values.keys() != wanted.keys():
            raise ValueError(f"the state of the optimiser has {sorted(values)}, not {sorted(wanted)}")
        for key, value in values.items():
            shape = parameters[index].shape if getattr(wanted[key], "shape", None) == probe.shape else torch.Size()
            if getattr(value, "shape", torch.Size()) != shape:
                raise ValueError(f"{key} of the optimiser has shape {tuple(value.shape)}, not {tuple(shape)}")
