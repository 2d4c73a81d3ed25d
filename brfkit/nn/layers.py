"""Neurons as ``torch.nn.Module`` layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network
from brfkit.neurons import OptionValue
from brfkit.neurons.spec import DISCRETISATION
from brfkit.nn.extra_state import as_bytes, compared, different, identity
from brfkit.nn.initial import InitLike, as_inits, check_stable, seed
from brfkit.nn.inputs import as_signal, as_state, computing_dtype, like_tensors, to_dtype
from brfkit.nn.plan import key_of, with_precision
from brfkit.nn.silence import Watch
from brfkit.nn.stack import Scan, stack

State: TypeAlias = "dict[str, Tensor]"


class NeuronLayer(torch.nn.Module):
    """Neurons with input weights and, if wanted, recurrent weights; in use like ``torch.nn.LSTM``.

    ``output, state = layer(x, state)``. Input is [T, B, in_features], [B, T, in_features] with ``batch_first``, or
    [T, in_features] without a batch; output is the same with ``units``: spikes 0/1, or membrane values for a leaky
    integrator. ``state`` maps the symbols of the equations (``u``, ``v``, ``q``, …, and ``z`` for the last spikes) to
    [B, units], or [num_layers * directions, B, units] where there are several; what is missing is 0. A tuple as input
    stands for its first element, so that layers can follow each other in ``torch.nn.Sequential``.

    Parameters are ``w_in`` [units, in_features], ``w_rec`` [units, units], ``bias`` [units] and the neuron's own
    [units]. Further layers add ``_l1``, ``_l2``, …, and the reverse direction ``_reverse``, as in ``torch.nn.LSTM``.

    Args:
        neuron: name in the registry, ``brfkit neurons`` lists them.
        in_features, units: sizes.
        recurrent: whether spikes come back one step later; None for every neuron that spikes.
        bias: whether a constant current is trained.
        num_layers: layers on top of each other, all of ``units``.
        bidirectional: whether a second set of neurons reads the sequence backwards; the output then has 2 ``units``.
        dt: time step δ.
        batch_first: see above.
        return_state, return_states: what follows the output: the state after the last step, and the state at every
            step, by symbol [T, B, units] (first [num_layers * directions] where there are several). A result with
            neither is the output alone, for ``Sequential`` with other modules.
        threshold: θ of the neuron; as ``constants={"theta": …}``.
        trainable: constants that are trained, one value per neuron, such as ``("gamma",)``.
        surrogate: name of the surrogate gradient; None takes the neuron's own.
        options: parts of the neuron to switch off, such as ``{"smooth_reset": False}``; ``{"discretisation":
            "exact"}``.
        constants: fixed numbers that differ from the defaults, such as ``{"theta": 0.8}``.
        init: initial values by parameter: a number, a tensor, ``("uniform", low, high)``, ``("normal", mean, std)``
            or a distribution of :mod:`brfkit.neurons`. Or a preset: ``"published"`` (Xavier-uniform weights, as None)
            or ``"active"`` (the same, with ``w_in`` scaled until neurons spike for white noise of unit variance).
        backend: ``auto`` (numba on the CPU, cupy on CUDA devices where it works, torch elsewhere), ``numba``, ``cupy``
            or ``torch``.
        gradient_precision: ``bfloat16`` rounds the operands of the backward product with W_rec, on numba only; what is
            forward is the same bit for bit.
        device, dtype: as for ``torch.nn.LSTM``; a float dtype below 32 bits is computed in float32.

    Raises:
        BrfkitError: anything unknown, out of range or that does not fit, in one line.
    """

    def __init__(
        self,
        neuron: str,
        in_features: int,
        units: int,
        *,
        recurrent: bool | None = None,
        bias: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        return_states: bool = False,
        threshold: float | None = None,
        trainable: Sequence[str] = (),
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, InitLike] | str | None = None,
        backend: str = "auto",
        gradient_precision: str = "float32",
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        fixed = dict(constants or {}) | ({} if threshold is None else {"theta": threshold})
        self._levels = stack(
            name, neuron, in_features, units, num_layers, bidirectional, dt,
            recurrent=recurrent, bias=bias, options=options or {}, constants=fixed, trainable=trainable,
            surrogate=surrogate,
        )  # fmt: skip
        self.in_features, self.units, self.dt = in_features, units, float(dt)
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.batch_first, self.return_state, self.return_states = batch_first, return_state, return_states
        self._gradient_precision = gradient_precision
        self.backend = backend
        spec = self.layer.spec
        self.state_names = (*spec.states, *(("z",) if spec.spiking and "z" not in spec.states else ()))
        self._init = init
        as_inits(init, tuple(self.layer.shapes(in_features)), name)
        self._watch = Watch(spec.spiking)
        where = torch.get_default_device() if device is None else torch.device(device)
        kind = to_dtype(dtype)
        for scan in self._scans:
            for attribute, shape in zip(scan.attributes, scan.network.shapes().values(), strict=True):
                self.register_parameter(attribute, torch.nn.Parameter(torch.empty(shape, device=where, dtype=kind)))
        if where.type != "meta":
            self.reset_parameters()

    @property
    def _scans(self) -> list[Scan]:
        return [scan for level in self._levels for scan in level]

    @property
    def backend(self) -> str:
        """Which backend computes; may be assigned to."""
        return self._backend

    @backend.setter
    def backend(self, name: str) -> None:
        self._backend = key_of(name)
        for scan in self._scans:
            scan.make_plans(with_precision(self._backend, self._gradient_precision))

    @property
    def network(self) -> Network:
        """The description; of the first level's forward direction where the layer is bidirectional."""
        return self._levels[0][0].network

    @property
    def layer(self) -> Layer:
        """The description of the first layer."""
        return self.network.layers[0]

    @property
    def recurrent(self) -> bool:
        """Whether spikes come back through ``w_rec``."""
        return self.layer.recurrent

    @property
    def threshold(self) -> Any:
        """θ: a number, or the parameter where it is trained; None for a neuron without."""
        if "theta" in self._parameters:
            return self.theta
        return self.layer.spec.resolve_constants(self.dt, self.layer.constants).get("theta")

    def reset_parameters(self) -> None:
        """Draw all parameters anew, as the constructor does."""
        name = type(self).__name__
        for scan in self._scans:
            shapes = tuple(self.layer.shapes(1))
            inits = as_inits(self._init, shapes, name)
            named = {f"{layer.name}.{n}": value for layer in scan.network.layers for n, value in inits.items()}
            weights = scan.network.initialise(seed(), np.float64, named)  # type: ignore[arg-type]
            if self._init == "active":
                from brfkit.nn.calibration import scale_for_noise

                scale_for_noise(scan.network, weights)
            check_stable(scan.network, weights, name)
            for attribute, value in zip(scan.attributes, weights.values(), strict=True):
                self._set(attribute, torch.from_numpy(value))
        self._watch.reset()

    @torch.no_grad()
    def _set(self, name: str, value: Tensor) -> None:
        now = getattr(self, name)
        if name in self._parameters:
            now.copy_(value)
        else:  # parametrised: assignment goes through its right inverse
            setattr(self, name, value.to(now))

    def forward(self, x: Any, state: Mapping[str, Tensor] | None = None) -> Any:
        output, after, records = self._compute(x[0] if type(x) is tuple else x, state)
        extra = ((after,) if self.return_state else ()) + ((records,) if self.return_states else ())
        return (output, *extra) if extra else output

    def step(self, x: Tensor, state: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
        """One time step: [B, in_features] to the output [B, units] and the state after it."""
        if not isinstance(x, Tensor) or x.dim() != 2:
            raise BrfkitError(f"{type(self).__name__}.step takes one time step [B, {self.in_features}]")
        place = 1 if self.batch_first else 0
        output, after, _ = self._compute(x.unsqueeze(place), state)
        return output.squeeze(place), after

    def _compute(self, x: Any, state: Mapping[str, Tensor] | None) -> tuple[Tensor, State, State]:
        """Output, state and records (empty unless ``return_states``) in the shape in which they are returned."""
        parameters = self._parameters
        weights = [[self._weight(a, parameters) for a in scan.attributes] for scan in self._scans]
        like = weights[0][0]
        dtype = computing_dtype(weights)
        signal, batched = as_signal(self, x, dtype, like.device)
        weights = like_tensors(weights, dtype)
        given = None
        if state is not None:
            given = as_state(self, state, signal, dtype, like.device, batched)
        output, after, records = self._levels_over(signal, weights, given)
        if output.dtype != like.dtype:
            output = output.to(like.dtype)
        if not batched:
            output = output.squeeze(1)
            after = {name: value.squeeze(-2) for name, value in after.items()}
            records = {name: value.squeeze(-2) for name, value in records.items()}
        elif self.batch_first:
            output = output.transpose(0, 1)
            records = {name: value.transpose(-3, -2) for name, value in records.items()}
        return output, after, records

    def _weight(self, name: str, parameters: Mapping[str, Tensor | None]) -> Tensor:
        value = parameters.get(name)
        # Pruned, parametrised or replaced by a tensor: what stands under the name now.
        return getattr(self, name) if value is None else value

    def _levels_over(
        self, signal: Tensor | Events, weights: list[list[Tensor]], given: State | None
    ) -> tuple[Tensor, State, State]:
        """Output [T, B, H], final states and records, stacked over layers and directions where there are several."""
        rows: list[State] = [{} for _ in range(self.num_layers * (1 + self.bidirectional))]
        kept: list[State] = [{} for _ in rows]
        tensors = iter(weights)
        output: Tensor | Events = signal
        for level in self._levels:
            outputs = []
            for scan in level:
                one, trace = scan.run(output, next(tensors), given, rows, kept, self.return_states)
                outputs.append(one)
                if self._watch.open and self.training and not torch.compiler.is_compiling():
                    self._watch.see(self, one, trace)
                del trace  # it holds what the backward pass frees
            output = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        if len(rows) == 1:
            return output, rows[0], kept[0]  # type: ignore[return-value]
        after = {name: torch.stack([row[name] for row in rows]) for name in self.state_names}
        records = {name: torch.stack([row[name] for row in kept]) for name in kept[0]}
        return output, after, records  # type: ignore[return-value]

    def get_extra_state(self) -> Tensor:
        """What weights do not say, as JSON in bytes: neuron, δ, options, constants."""
        return as_bytes(self._identity())

    def set_extra_state(self, state: Tensor) -> None:
        """Compare with what a state dict was saved with.

        Raises:
            BrfkitError: another neuron, δ, option or constant.
        """
        if found := different(state, self._identity()):
            raise BrfkitError(f"the state dict belongs to another {type(self).__name__}: {found}")

    def _identity(self) -> dict[str, Any]:
        return identity(Network(self.in_features, (self.layer,), self.dt))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        with compared(self, self._identity(), state_dict, prefix, missing_keys, error_msgs):
            super()._load_from_state_dict(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )

    def extra_repr(self) -> str:
        layer, spec = self.layer, self.layer.spec
        shown: dict[str, Any] = {} if type(self) is not NeuronLayer else {"neuron": layer.neuron}
        shown |= {"dt": self.dt, "recurrent": layer.recurrent}
        shown |= {"bias": True} if layer.bias else {}
        for key, default in (("num_layers", 1), ("bidirectional", False), ("batch_first", False)):
            shown |= {key: getattr(self, key)} if getattr(self, key) != default else {}
        plain = spec.resolve_options({})
        chosen = spec.resolve_options(layer.options)
        shown |= {key: value for key, value in chosen.items() if key == DISCRETISATION or value != plain[key]}
        shown |= {key: value for key, value in layer.constants.items() if value != spec.constants[key]}
        shown |= {"surrogate": layer.surrogate} if layer.surrogate else {}
        shown |= {"backend": self.backend} if self.backend != "auto" else {}
        return ", ".join([f"{self.in_features}, {self.units}", *(f"{key}={value}" for key, value in shown.items())])
