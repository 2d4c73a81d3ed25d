"""Neurons as ``torch.nn.Module`` layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brfkit.backends import get_backend
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights
from brfkit.neurons import Init, OptionValue
from brfkit.nn.cuda import cuda_backend, cupy_works
from brfkit.nn.function import scan

State = dict[str, Tensor]
BACKENDS = ("auto", "numba", "cupy", "torch")
_NAME = "layer"


class NeuronLayer(torch.nn.Module):
    """A layer of neurons with input weights and, if wanted, recurrent weights.

    Input [T, B, in_features] (or [B, T, in_features] with ``batch_first``), output the same with ``units``: spikes
    0/1, or membrane values for the leaky integrator. Used as ``output, state = layer(x, state)``; ``state`` maps the
    symbols of the equations (``u``, ``v``, ``q``, …, and ``z`` for the last spikes) to [B, units] and goes into the
    next call to continue a sequence. A tuple as input stands for its first element, so that layers can follow each
    other in ``torch.nn.Sequential``; with ``return_state=False`` a layer returns the output alone, for ``Sequential``
    with other modules.

    Parameters are ``w_in`` [units, in_features], ``w_rec`` [units, units], ``bias`` [units] and the neuron's own
    [units]; their names in ``state_dict`` are stable.

    Args:
        neuron: name in the registry, ``brfkit neurons`` lists them.
        in_features, units: sizes.
        recurrent: whether spikes come back one step later. Not for neurons without spikes.
        bias: whether a constant current is trained.
        dt: time step δ.
        batch_first, return_state: see above.
        surrogate: name of the surrogate gradient; None takes the neuron's own.
        options: parts of the neuron to switch off, such as ``{"smooth_reset": False}``; ``{"train_gamma": True}`` to
            train a constant; ``{"discretisation": "exact"}``.
        constants: fixed numbers that differ from the defaults, such as ``{"theta": 0.8}``.
        init: initial distributions by parameter, such as ``{"omega": Uniform(5, 10)}``.
        backend: ``auto`` (numba on the CPU, cupy on CUDA devices where it works, torch elsewhere), ``numba``, ``cupy``
            or ``torch``.
        dtype: float32 or float64.
    """

    def __init__(
        self,
        neuron: str,
        in_features: int,
        units: int,
        *,
        recurrent: bool = True,
        bias: bool = False,
        dt: float = 0.01,
        batch_first: bool = False,
        return_state: bool = True,
        surrogate: str | None = None,
        options: Mapping[str, OptionValue] | None = None,
        constants: Mapping[str, float] | None = None,
        init: Mapping[str, Init] | None = None,
        backend: str = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        layer = Layer(_NAME, neuron, units, recurrent, bias, options or {}, constants or {}, surrogate)
        self.network = Network(in_features, (layer,), dt)
        self.batch_first = batch_first
        self.return_state = return_state
        if backend not in BACKENDS:
            raise BrfkitError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
        self.backend = backend
        named = {f"{_NAME}.{name}": value for name, value in (init or {}).items()}
        seed = int(torch.randint(2**62, (1,)).item())  # follows torch.manual_seed
        for name, value in self._initial(seed, named).items():
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(value).to(dtype)))

    def _initial(self, seed: int, init: Mapping[str, Init]) -> Weights:
        weights = self.network.initialise(seed, np.float64, init)
        return {name.removeprefix(f"{_NAME}."): value for name, value in weights.items()}

    @property
    def layer(self) -> Layer:
        return self.network.layers[0]

    def forward(self, x: Any, state: State | None = None) -> Any:
        if isinstance(x, tuple):
            x = x[0]
        if self.batch_first:
            x = x.transpose(0, 1)
        output, after = self._run(x, state or {})
        if self.batch_first:
            output = output.transpose(0, 1)
        return (output, after) if self.return_state else output

    def _run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        weights = {f"{_NAME}.{name}": value for name, value in self.named_parameters()}
        named = {f"{_NAME}.{name}": value for name, value in state.items()}
        x = x.to(next(iter(weights.values())).dtype)
        chosen = self._backend_for(x.device)
        if chosen == "torch":
            from brfkit.backends.torch_bptt import run_network

            output, after = run_network(self.network, weights, x, named)
        else:
            backend = cuda_backend(x.device.index or 0) if chosen == "cupy" else get_backend(chosen)
            output, after, _ = scan(backend, self.network, weights, x, named)
        return output, {name.removeprefix(f"{_NAME}."): value for name, value in after.items()}

    def _backend_for(self, device: torch.device) -> str:
        if self.backend != "auto":
            return self.backend
        if device.type == "cuda" and cupy_works():
            return "cupy"
        return "numba" if device.type == "cpu" else "torch"

    def extra_repr(self) -> str:
        layer = self.layer
        return f"{layer.neuron}, {self.network.inputs}, {layer.units}, recurrent={layer.recurrent}, bias={layer.bias}"


class BRF(NeuronLayer):
    """Balanced resonate-and-fire layer (Higuchi et al., ICML 2024). Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("brf", in_features, units, **kwargs)


class RF(NeuronLayer):
    """Resonate-and-fire layer without reset. Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("rf", in_features, units, **kwargs)


class BHRF(NeuronLayer):
    """Balanced harmonic resonate-and-fire layer. Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("bhrf", in_features, units, **kwargs)


class ALIF(NeuronLayer):
    """Adaptive leaky integrate-and-fire layer (Yin et al. 2021). Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("alif", in_features, units, **kwargs)


class LIF(NeuronLayer):
    """Leaky integrate-and-fire layer. Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("lif", in_features, units, **kwargs)


class RFIzhikevich(NeuronLayer):
    """Resonate-and-fire layer with Izhikevich's reset. Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("rf-izhikevich", in_features, units, **kwargs)


class LI(NeuronLayer):
    """Leaky-integrator readout: membrane values, no spikes. Arguments as :class:`NeuronLayer`."""

    def __init__(self, in_features: int, units: int, **kwargs: Any) -> None:
        super().__init__("li", in_features, units, recurrent=False, **kwargs)
