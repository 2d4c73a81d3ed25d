"""What a backend does. Shapes are stated here once: T steps, B samples, I channels, H units, O outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.capabilities import Capabilities, backends_with
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network

Input = NDArray | Events
State = dict[str, NDArray]


@dataclass
class Trace:
    """What a forward scan returns.

    Attributes:
        outputs: [T, B, O], spikes or membrane values of the last layer.
        spike_counts: per spiking layer, int64 [B]: spikes of each sample, summed over time and units.
        final_state: ``<layer>.<state>`` [B, H] after the last step, and ``<layer>.z``, the last spikes.
        records: what was asked for, ``<layer>.<state>`` or ``<layer>.z``, [T, B, H].
        saved: what ``scan_vjp`` needs, with ``from_events``, whether the input was events; None unless the scan was
            made with ``differentiate=True``.
    """

    outputs: NDArray
    spike_counts: dict[str, NDArray[np.int64]]
    final_state: State
    records: dict[str, NDArray] = field(default_factory=dict)
    saved: Any = None

    def spikes_per_sample(self) -> float:
        """Mean number of spikes of all layers per sample."""
        counts = list(self.spike_counts.values())
        return float(sum(c.sum() for c in counts) / len(counts[0])) if counts else 0.0


@dataclass
class Gradients:
    """What a backward scan returns: the gradient of the weights by name, of the dense input [T, B, I], and of the
    initial state ``<layer>.<state>`` [B, H]. The last two are None unless they were asked for."""

    weights: dict[str, NDArray]
    input: NDArray | None = None
    initial_state: State | None = None


@dataclass(frozen=True)
class ScanCall:
    """The arguments of a scan after the checks that all backends share; attributes as for :meth:`Backend.scan`.

    Attributes:
        dtype: of the computation.
        steps, batch: T and B.
    """

    network: Network
    weights: Mapping[str, NDArray]
    x: Input
    dtype: np.dtype
    steps: int
    batch: int
    initial_state: Mapping[str, NDArray]
    record: Sequence[str] = ()
    differentiate: bool = False
    spike_mask: SpikeMask | None = None


@dataclass(frozen=True)
class VjpCall:
    """The arguments of a backward scan after the checks that all backends share, as for :meth:`Backend.scan_vjp`."""

    trace: Trace
    output_grad: NDArray | None
    final_state_grad: Mapping[str, NDArray]
    input_grad: bool = False
    initial_state_grad: bool = False


class Backend(ABC):
    """Runs a network forward and backward in time.

    A backend implements ``_scan`` and ``_scan_vjp``, which get checked arguments, and states what else it can do.

    Attributes:
        name: by which it is asked for.
        capabilities: what it can do.
        threads: CPU threads; None where it has no setting of its own.
    """

    name: str
    capabilities: Capabilities = Capabilities()
    threads: int | None = None

    def scan(
        self,
        network: Network,
        weights: Mapping[str, NDArray],
        x: Input,
        *,
        initial_state: Mapping[str, NDArray] | None = None,
        record: Sequence[str] = (),
        differentiate: bool = False,
        spike_mask: SpikeMask | None = None,
    ) -> Trace:
        """Run the network over an input.

        Args:
            network: description.
            weights: by name, as :meth:`Network.shapes` lists them; their dtype is the dtype of the computation.
            x: dense [T, B, I] or events.
            initial_state: as ``Trace.final_state``; what is missing is 0.
            record: names ``<layer>.<state>`` or ``<layer>.z`` to return for every step.
            differentiate: keep what ``scan_vjp`` needs.
            spike_mask: which hidden spikes are dropped. Outputs, counts, recurrence and the
                final ``z`` are those of the spikes that are left; a neuron's own states have seen all of its spikes.

        Raises:
            BrfkitError: the arguments do not fit together, or the backend has no spike mask.
        """
        steps, batch = check_input(network, x)
        check_names(network, record, "record")
        check_names(network, list(initial_state or {}), "initial state")
        self._check_spikes(initial_state or {})
        if spike_mask is not None:
            check_spike_mask(self)
        dtype = self._dtype(network, weights)
        call = ScanCall(
            network, weights, x, dtype, steps, batch, dict(initial_state or {}), record, differentiate, spike_mask
        )
        return self._scan(call)

    def scan_points(self, network: Network, points: Sequence[Mapping[str, NDArray]], x: Input) -> Iterator[Trace]:
        """Run one input through several sets of weights, as the points of an error surface need it.

        Args:
            network: description.
            points: arrays of NumPy by name, as for :meth:`scan`.
            x: dense [T, B, I] or events, the same for all points.

        Yields:
            For each point what ``scan`` returns, bit for bit.
        """
        for weights in points:
            yield self.scan(network, weights, x)

    def scan_vjp(
        self,
        trace: Trace,
        output_grad: NDArray | None,
        *,
        final_state_grad: Mapping[str, NDArray] | None = None,
        input_grad: bool = False,
        initial_state_grad: bool = False,
    ) -> Gradients:
        """Take the gradient of a scalar back through time. That of a masked weight is 0.

        Args:
            trace: of a scan with ``differentiate=True``.
            output_grad: gradient with respect to ``trace.outputs`` [T, B, O]; None is 0.
            final_state_grad: gradient with respect to ``trace.final_state``; what is missing is 0.
            input_grad, initial_state_grad: whether these gradients are wanted too.

        Raises:
            BrfkitError: nothing was kept for a gradient, events have none, or an argument has another shape.
        """
        check_vjp(trace, output_grad, input_grad)
        final = dict(final_state_grad or {})
        check_states(trace.saved.network, trace.outputs.shape[1], final, "gradient of final state")
        found = self._scan_vjp(VjpCall(trace, output_grad, final, input_grad, initial_state_grad))
        for name, mask in trace.saved.network.masks().items():
            found.weights[name] = self._masked(found.weights[name], mask)
        return found

    def one_threaded(self) -> Backend:
        """A backend for callers that run several scans at once in threads of their own; itself where it has none."""
        return self

    def with_gradient_precision(self, precision: str) -> Backend:
        """A backend whose products in the backward scan have operands of this precision; itself for ``float32``.

        Raises:
            BrfkitError: an unknown precision, or a backend that has float32 only.
        """
        if precision == "float32":
            return self
        able = " or ".join(backends_with("bfloat16_gradients"))
        raise BrfkitError(f"backend {self.name} has no gradient_precision {precision}; use {able}, or float32")

    def _masked(self, gradient: NDArray, mask: NDArray[np.bool_]) -> NDArray:
        """A gradient with 0 where the mask has False."""
        return np.where(mask, gradient, gradient.dtype.type(0))

    def _check_spikes(self, given: Mapping[str, NDArray]) -> None:
        """Refuse initial spikes that are none."""
        check_spikes(given)

    def _dtype(self, network: Network, weights: Mapping[str, NDArray]) -> np.dtype:
        """The dtype of the computation, after the weights have been checked."""
        return common_dtype(network, weights)

    @abstractmethod
    def _scan(self, call: ScanCall) -> Trace:
        """Run the network."""

    @abstractmethod
    def _scan_vjp(self, call: VjpCall) -> Gradients:
        """Take the gradient back; ``call.trace.saved`` is what ``_scan`` kept, with ``network`` and ``from_events``."""


def check_spike_mask(backend: Backend) -> None:
    """Refuse a backend whose scans cannot drop spikes."""
    if not backend.capabilities.spike_mask:
        able = " or ".join(backends_with("spike_mask"))
        raise BrfkitError(f"backend {backend.name} cannot drop spikes; use {able}, or train without spike_dropout")


def check_input(network: Network, x: Input) -> tuple[int, int]:
    """Number of steps T and samples B of an input; refuse one that does not fit the network."""
    if isinstance(x, Events):
        if x.channels != network.inputs:
            raise BrfkitError(f"the input has {x.channels} channels, the network takes {network.inputs}")
        check_events(x)
        return x.steps, x.batch
    if x.ndim != 3 or x.shape[2] != network.inputs:
        raise BrfkitError(f"the input must have shape (T, B, {network.inputs}), not {x.shape}")
    return x.shape[0], x.shape[1]


def check_vjp(trace: Trace, output_grad: NDArray | None, input_grad: bool) -> None:
    """Refuse what ``scan_vjp`` cannot give: nothing was kept, events have no gradient, or ``output_grad`` has another
    shape than the outputs [T, B, O]."""
    if trace.saved is None:
        raise BrfkitError("this trace cannot be differentiated; scan with differentiate=True")
    if input_grad and trace.saved.from_events:
        raise BrfkitError("events have no gradient; give the input as a dense array")
    if output_grad is not None and tuple(output_grad.shape) != tuple(trace.outputs.shape):
        raise BrfkitError(f"output_grad has shape {tuple(output_grad.shape)}, not {tuple(trace.outputs.shape)}")


def common_dtype(network: Network, weights: Mapping[str, NDArray]) -> np.dtype:
    """The dtype of the computation; refuse weights that do not fit the network or differ in dtype."""
    network.check(weights)
    dtypes = {value.dtype for value in weights.values()}
    if len(dtypes) != 1 or next(iter(dtypes)) not in (np.float32, np.float64):
        found = ", ".join(sorted(map(str, dtypes)))
        raise BrfkitError(f"all weights must be float32 or all float64, not {found}")
    return next(iter(dtypes))


def check_events(events: Events) -> None:
    """Refuse channels and offsets that do not exist (a negative channel would count from the end)."""
    indices, indptr = events.indices, events.indptr
    if indices.size and not (indices.min() >= 0 and indices.max() < events.channels):
        raise BrfkitError(f"events name channels outside 0 … {events.channels - 1}")
    if indptr.size and (indptr.min() < 0 or indptr.max() > indices.size or (np.diff(indptr, axis=1) < 0).any()):
        raise BrfkitError("the offsets of the events point outside their indices")


def state_names(network: Network) -> dict[str, tuple[str, str]]:
    """All names of recordable quantities, as (layer, state)."""
    names: dict[str, tuple[str, str]] = {}
    for layer in network.layers:
        states = layer.spec.states
        extra = ("z",) if layer.spec.spiking and "z" not in states else ()
        for state in (*states, *extra):
            names[f"{layer.name}.{state}"] = (layer.name, state)
    return names


def check_names(network: Network, names: Sequence[str], what: str) -> None:
    """Refuse names of states that the network does not have."""
    known = state_names(network) if names else {}
    for name in names:
        if name not in known:
            raise BrfkitError(f"{what} {name!r} is not a state of this network; there are {', '.join(known)}")


def check_states(network: Network, batch: int, given: Mapping[str, NDArray], what: str) -> None:
    """Refuse states ``<layer>.<state>`` that the network does not have, or that are not [B, H]."""
    check_names(network, list(given), what)
    units = {layer.name: layer.units for layer in network.layers}
    for name, value in given.items():
        wanted = (batch, units[name.rpartition(".")[0]])
        if tuple(value.shape) != wanted:
            raise BrfkitError(f"{what} {name} has shape {tuple(value.shape)}, not {wanted}")


def check_spikes(given: Mapping[str, Any]) -> None:
    """Refuse initial spikes ``<layer>.z`` other than 0 and 1, of which some backends would keep one bit."""
    for name, value in given.items():
        if name.endswith(".z") and not bool(((value == 0) | (value == 1)).all()):
            raise BrfkitError(f"initial state {name} must hold spikes, 0 or 1")


def get_initial_state(network: Network, batch: int, dtype: Any, given: Mapping[str, NDArray] | None) -> State:
    """Every state [B, H], zero where nothing is given."""
    arrays = {name: np.asarray(value, dtype) for name, value in (given or {}).items()}
    check_states(network, batch, arrays, "initial state")
    units = {layer.name: layer.units for layer in network.layers}
    state: State = {}
    for name, (layer, _) in state_names(network).items():
        value = arrays[name] if name in arrays else np.zeros((batch, units[layer]), dtype)
        state[name] = np.array(value, dtype, order="C")
    return state
