"""A non-spiking baseline: torch's own LSTM with a linear readout, trained and measured like the spiking networks."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from brfkit.backends.base import Backend, Gradients, Input, Trace
from brfkit.checkpoint import LSTM_FORMAT
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.files import PathLike, atomic_write, read_stored_zip
from brfkit.training.config import LSTM, Config, NetworkConfig
from brfkit.training.loop import Trainer

_META, _EXTRA = "meta", "extra/"


@dataclass(frozen=True)
class LstmNetwork:
    """Layers of LSTM cells in a row (Hochreiter and Schmidhuber 1997, with forget gates) and a linear readout.

    Attributes:
        inputs: channels I.
        hidden: cells of each layer.
        outputs: O.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    spiking_layers: tuple[()] = ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight; the four gates of a layer of H cells stand one below the other (4 H)."""
        shapes: dict[str, tuple[int, ...]] = {}
        fan_in = self.inputs
        for index, cells in enumerate(self.hidden):
            sizes = {"weight_ih": (4 * cells, fan_in), "weight_hh": (4 * cells, cells), "bias_ih": (4 * cells,)}
            shapes |= {f"hidden{index}.{name}": shape for name, shape in (sizes | {"bias_hh": (4 * cells,)}).items()}
            fan_in = cells
        return shapes | {"readout.weight": (self.outputs, fan_in), "readout.bias": (self.outputs,)}

    def parameter_count(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes().values())

    def initialise(self, seed: int, dtype: DTypeLike = np.float32) -> dict[str, NDArray]:
        """Initial weights U(-k, k), k = 1/√cells of the layer, as torch draws them."""
        rng = np.random.default_rng(seed)
        weights = {}
        for name, shape in self.shapes().items():
            layer = name.split(".")[0]
            cells = self.hidden[-1] if layer == "readout" else self.hidden[int(layer.removeprefix("hidden"))]
            bound = 1.0 / np.sqrt(cells)
            weights[name] = rng.uniform(-bound, bound, shape).astype(dtype)
        return weights


def build_lstm(config: NetworkConfig, inputs: int, outputs: int) -> LstmNetwork:
    """The baseline that a configuration asks for; settings that belong to spiking neurons are refused."""
    names = ("options", "init", "surrogate", "bias", "discretisation", "trainable")
    given = {name: getattr(config, name) for name in names}
    given["no recurrent weights"] = not config.recurrent
    for name, value in given.items():
        if value:
            raise BrfkitError(f"neuron {LSTM} takes no setting network.{name}")
    return LstmNetwork(inputs, config.hidden, outputs)


class LstmModule(torch.nn.Module):
    """The network as a module; parameters under the names of ``network.shapes()`` with ``.`` as ``__``."""

    def __init__(self, network: LstmNetwork, weights: Mapping[str, NDArray]) -> None:
        super().__init__()
        self.network = network
        for name in network.shapes():
            value = torch.from_numpy(np.array(weights[name]))
            self.register_parameter(name.replace(".", "__"), torch.nn.Parameter(value))

    def weight_tensors(self) -> dict[str, Tensor]:
        """The parameters under the network's names."""
        return {name.replace("__", "."): value for name, value in self.named_parameters()}

    def weights(self) -> dict[str, NDArray]:
        """A copy of the parameters as arrays."""
        return {name: value.detach().numpy().copy() for name, value in self.weight_tensors().items()}


def run_lstm(
    network: LstmNetwork, weights: Mapping[str, Tensor], x: Tensor, state: Mapping[str, Tensor] | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs [T, B, O] for an input [T, B, I], and the state after it: ``hidden0.h`` and ``hidden0.c`` [1, B, H]."""
    after: dict[str, Tensor] = {}
    for index, cells in enumerate(network.hidden):
        layer = f"hidden{index}"
        own = [weights[f"{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        zero = x.new_zeros(1, x.shape[1], cells)
        start = (state[f"{layer}.h"], state[f"{layer}.c"]) if state else (zero, zero)
        x, h, c = torch.lstm(x, start, own, True, 1, 0.0, False, False, False)
        after |= {f"{layer}.h": h, f"{layer}.c": c}
    return torch.nn.functional.linear(x, weights["readout.weight"], weights["readout.bias"]), after


class LstmBackend(Backend):
    """Runs the baseline for :func:`brfkit.evaluation.evaluate`; it has no spikes, and torch has its gradients."""

    name = "torch"
    threads: int | None = None

    def scan(
        self,
        network: Any,
        weights: Mapping[str, NDArray],
        x: Input,
        *,
        initial_state: Mapping[str, NDArray] | None = None,
        record: Sequence[str] = (),
        differentiate: bool = False,
    ) -> Trace:
        dtype = next(iter(weights.values())).dtype
        dense = x.dense(dtype) if isinstance(x, Events) else x
        tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
        with torch.no_grad():
            outputs, _ = run_lstm(network, tensors, torch.from_numpy(dense))
        return Trace(outputs.numpy(), {}, {})

    def scan_vjp(self, trace: Trace, output_grad: NDArray | None, **options: Any) -> Gradients:
        raise BrfkitError("the LSTM is differentiated by torch")


class LstmTrainer(Trainer):
    """The training loop with the baseline in the place of the spiking network."""

    def _make_module(self, weights: Mapping[str, NDArray]) -> Any:
        for name in ("rate_penalty", "spike_dropout"):
            if getattr(self.config.training, name):
                raise BrfkitError(f"training.{name}: neuron {LSTM} has no spikes")
        return LstmModule(self.network, weights)

    def _forward(self, window: Any, state: Any, lost: Any = None) -> tuple[Tensor, dict[str, Tensor], float, Any]:
        training = self.config.training
        if isinstance(window, Events):
            window = torch.from_numpy(window.dense(np.dtype(training.dtype)))
        if training.input_dropout:
            window = window / (1.0 - training.input_dropout)
        out, after = run_lstm(self.network, self.module.weight_tensors(), window, state)
        return out, after, 0.0, None


def save_lstm(path: PathLike, network: LstmNetwork, weights: Mapping[str, NDArray], meta: Any, extra: Any) -> None:
    """Write weights, further arrays and plain values to one ``.npz``, whole or not at all."""
    size = {"inputs": network.inputs, "hidden": list(network.hidden), "outputs": network.outputs}
    text = json.dumps({"format": LSTM_FORMAT, "network": size, "meta": meta}).encode()
    arrays = {**weights, **{_EXTRA + name: value for name, value in extra.items()}, _META: np.array(text)}
    with atomic_write(path, "wb", force=True) as stream:
        np.savez(stream, **arrays)


def load_lstm(path: PathLike) -> tuple[dict[str, NDArray], dict[str, Any], dict[str, NDArray]]:
    """Weights, plain values and further arrays that :func:`save_lstm` wrote.

    Raises:
        BrfkitError: the file cannot be read, is damaged or of another format.
    """
    members = read_stored_zip(path)
    try:
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(data), allow_pickle=False) for name, data in members.items()
        }
        document = json.loads(arrays.pop(_META).item())
        if document["format"] != LSTM_FORMAT:
            raise ValueError("another format")
    except Exception as error:  # damaged headers raise anything
        raise BrfkitError(f"{path} is no checkpoint of an LSTM ({type(error).__name__})") from None
    extra = {name.removeprefix(_EXTRA): arrays.pop(name) for name in list(arrays) if name.startswith(_EXTRA)}
    return arrays, document["meta"], extra


def is_lstm(config: Config) -> bool:
    return config.network.neuron == LSTM
