"""What a use of a network is besides its tensors: a description that custom operators can take as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from brfkit.backends import get_backend
from brfkit.backends.base import Backend, state_names
from brfkit.backends.capabilities import PRECISIONS
from brfkit.backends.threads import default_threads
from brfkit.backends.torch_bptt import run_recorded
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network
from brfkit.nn.cuda import cuda_backend, cupy_works

BACKENDS = ("auto", "numba", "cupy", "torch")
_OBJECT = "object:"
_PRECISION = "+"  # between a backend and the precision of its gradients
_objects: WeakValueDictionary[str, Backend] = WeakValueDictionary()


class Plan:
    """A network as it is to be scanned.

    Attributes:
        network: description.
        backend: one of ``BACKENDS``, or the key of a backend (:func:`key_of`).
        given: names of the initial states that are handed in, ``<layer>.<state>``.
        record: names of the states that are wanted at every step.
        weights: names of the weights, in the order in which they are handed over.
        final: names of the final states, in the order in which they come back.
        units: units of the layer to which a state belongs.
        text: the plan as JSON; :meth:`parse` takes it back, also in another process.
    """

    def __init__(
        self, network: Network, backend: str, given: tuple[str, ...] = (), record: tuple[str, ...] = ()
    ) -> None:
        self.network, self.backend, self.given, self.record = network, backend, given, record
        self.weights = tuple(network.shapes())
        states = state_names(network)
        self.final = tuple(states)
        sizes = {layer.name: layer.units for layer in network.layers}
        self.units = {name: sizes[layer] for name, (layer, _) in states.items()}
        plain = {"network": network.to_dict(), "backend": backend, "given": given, "record": record}
        self.text = json.dumps(plain)

    @staticmethod
    @lru_cache(maxsize=256)
    def parse(text: str) -> Plan:
        """The plan of a text."""
        plain = json.loads(text)
        return Plan(
            Network.from_dict(plain["network"]), plain["backend"], tuple(plain["given"]), tuple(plain["record"])
        )


def key_of(backend: Backend | str) -> str:
    """The text by which a plan names a backend.

    Raises:
        BrfkitError: a name that is none of ``BACKENDS``.
    """
    if isinstance(backend, str):
        if backend not in BACKENDS:
            raise BrfkitError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
        return backend
    key = f"{_OBJECT}{id(backend)}"
    _objects[key] = backend
    return key


def backend_name(backend: str, device: torch.device) -> str:
    """Which backend a plan's is for tensors on a device."""
    if backend != "auto":
        return backend
    if device.type == "cuda" and cupy_works():
        return "cupy"
    return "numba" if device.type == "cpu" else "torch"


def with_precision(backend: str, precision: str) -> str:
    """The text by which a plan names a backend and the precision of its gradients.

    Raises:
        BrfkitError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise BrfkitError(f"gradient_precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    return backend if precision == "float32" else f"{backend}{_PRECISION}{precision}"


def choose(backend: str, device: torch.device) -> Backend | None:
    """The fused backend for tensors on a device; None where the eager torch code is to run.

    Raises:
        BrfkitError: a backend that is gone, or one that has gradients in float32 only.
    """
    backend, _, precision = backend.partition(_PRECISION)
    name = backend_name(backend, device)
    if precision and name != "numba":
        raise BrfkitError(f"backend {name} has no gradient_precision {precision}; use numba, or float32")
    if name == "numba":
        return _numba(min(torch.get_num_threads(), default_threads()), precision or "float32")
    if name == "torch":
        return None
    if name == "cupy":
        return cuda_backend(device.index or 0)
    found = _objects.get(name)
    if found is None:
        raise BrfkitError("the backend of this network is gone; name one of numba, cupy, torch instead of an object")
    return found


@lru_cache(maxsize=16)
def _numba(threads: int, precision: str) -> Backend:
    return get_backend("numba", threads=threads).with_gradient_precision(precision)


@lru_cache(maxsize=64)
def _plans(network_id: int, backend: str, given: tuple[str, ...], record: tuple[str, ...]) -> list[Plan]:
    return []


def plan_of(network: Network, backend: Backend | str, given: Sequence[str], record: Sequence[str]) -> Plan:
    """The plan of these, made once."""
    key = key_of(backend)
    kept = _plans(id(network), key, tuple(given), tuple(record))
    if not kept or kept[0].network is not network:  # a plan keeps its network, so a kept id is that of no other
        kept[:] = [Plan(network, key, tuple(given), tuple(record))]
    return kept[0]


def run_plan(plan: Plan, x: Tensor | Events, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Outputs, final states and records in the order of the plan, differentiable in every tensor."""
    count = len(plan.weights)
    weights = dict(zip(plan.weights, tensors, strict=False))
    state = dict(zip(plan.given, tensors[count:], strict=True))
    output, final, records = run_recorded(plan.network, weights, x, state, plan.record)
    return [output, *(final[name] for name in plan.final), *(records[name] for name in plan.record)]
