"""A whole network as one module: the fused scans run all its layers at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brfkit.backends.base import Backend, Trace, check_names
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network, Weights
from brfkit.nn.extra_state import as_bytes, compared, different, identity
from brfkit.nn.function import run
from brfkit.nn.initial import seed
from brfkit.nn.plan import Plan, key_of


def _mask_name(weight: str) -> str:
    return f"{weight.replace('.', '__')}__mask"


class NetworkModule(torch.nn.Module):
    """A :class:`brfkit.network.Network` with its weights as parameters.

    ``forward`` takes [T, B, I] or events, and an initial state ``<layer>.<state>`` [B, H] (what is missing is 0); it
    returns the outputs [T, B, O], with ``return_state`` also the state after the last step. Parameter names are those
    of the network with ``.`` replaced by ``__``. Masked weights (``density`` of a layer) are taken as 0 and have the
    gradient 0, whatever the parameter holds there.

    Args:
        network: description.
        weights: initial values by name; None draws them, from torch's generator.
        backend: ``auto``, ``numba``, ``cupy``, ``torch``, or a backend (a fused one for the
            device that the module is moved to).
        return_state: see above.

    Attributes:
        trace: outputs and spike counts of the last call in plain use; not part of copies and files.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, np.ndarray] | None = None,
        backend: Backend | str = "auto",
        *,
        return_state: bool = False,
    ) -> None:
        super().__init__()
        values = network.initialise(seed()) if weights is None else weights
        network.check(values)
        self.network = network
        self.backend = backend
        self.return_state = return_state
        self.trace: Trace | None = None
        for name in network.shapes():
            value = torch.from_numpy(np.array(values[name]))
            self.register_parameter(name.replace(".", "__"), torch.nn.Parameter(value))
        for name, mask in network.masks().items():
            self.register_buffer(_mask_name(name), torch.from_numpy(mask.copy()), persistent=False)

    @property
    def backend(self) -> Backend | str:
        """Which backend computes; may be assigned to."""
        return self._backend

    @backend.setter
    def backend(self, backend: Backend | str) -> None:
        key = key_of(backend)
        self._backend = backend
        fresh = Plan(self.network, key)
        self._plans = fresh, Plan(self.network, key, fresh.final)

    def weight_tensors(self) -> dict[str, Tensor]:
        """The weights under the network's names, as they are now."""
        own = self._parameters
        found = {}
        for name in self._plans[0].weights:
            attribute = name.replace(".", "__")
            value = own.get(attribute)
            found[name] = getattr(self, attribute) if value is None else value
        return found

    def connected(self) -> dict[str, Tensor]:
        """:meth:`weight_tensors` with 0 where the network's masks have it, whatever the parameters hold there."""
        found = self.weight_tensors()
        for name in self.network.masks():
            found[name] = torch.where(getattr(self, _mask_name(name)), found[name], 0.0)
        return found

    def weights(self) -> Weights:
        """A copy of the weights as arrays."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.connected().items()}

    def forward(self, x: Tensor | Events, state: Mapping[str, Tensor] | None = None) -> Any:
        weights = self.connected()
        tensors = list(weights.values())
        plan = self._plans[0]
        if state is not None:
            plan = self._plans[1]
            tensors += self._states(x, state, tensors[0])
        backend = None if isinstance(self._backend, str) else self._backend
        (output, *final), trace = run(plan, x, tensors, backend=backend)
        if not torch.compiler.is_compiling():
            self.trace = None if trace is None else replace(trace, saved=None)
        if self.return_state:
            return output, dict(zip(plan.final, final, strict=True))
        return output

    def _states(self, x: Tensor | Events, state: Mapping[str, Tensor], like: Tensor) -> list[Tensor]:
        plan = self._plans[1]
        check_names(self.network, list(state), "initial state")
        batch = x.batch if isinstance(x, Events) else x.shape[1]
        return [state[n] if n in state else like.new_zeros((batch, plan.units[n])) for n in plan.given]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "trace": None, "_plans": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.backend = self._backend  # plans name a backend object by its place in this process

    def get_extra_state(self) -> Tensor:
        """What weights do not say, as JSON in bytes: layers, δ, options, constants."""
        return as_bytes(identity(self.network))

    def set_extra_state(self, state: Tensor) -> None:
        """Compare with what a state dict was saved with.

        Raises:
            BrfkitError: another network.
        """
        if found := different(state, identity(self.network)):
            raise BrfkitError(f"the state dict belongs to another network: {found}")

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        with compared(self, identity(self.network), state_dict, prefix, missing_keys, error_msgs):
            super()._load_from_state_dict(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )
