"""The LSTM baseline as a file: description of its layers, reader and writer. Needs no torch."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.checkpoints.native import LSTM_FORMAT
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write, read_stored_zip

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
