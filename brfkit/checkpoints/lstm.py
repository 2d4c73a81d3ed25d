"""The LSTM baseline as a file: description of its layers, reader and writer. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.checkpoints.locate import RUN_FILES, kept_epoch, read_kept
from brfkit.checkpoints.native import LSTM_FORMAT
from brfkit.checkpoints.schema import DOCUMENT, LSTM, check_meta
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write, read_stored_zip
from brfkit.io.documents import parse_json
from brfkit.io.npy import npy_array
from brfkit.io.schema import check_values
from brfkit.io.text import visible

_META, _EXTRA = "meta", "extra/"


@dataclass(frozen=True)
class LstmLayer:
    """Name and size of a layer of LSTM cells.

    Attributes:
        name: ``hidden0``, ``hidden1``, …
        units: cells.
        neuron: ``lstm``.
    """

    name: str
    units: int
    neuron: str = "lstm"


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

    @property
    def layers(self) -> tuple[LstmLayer, ...]:
        """The layers of cells, without the readout."""
        return tuple(LstmLayer(f"hidden{index}", cells) for index, cells in enumerate(self.hidden))

    def check(self, weights: Mapping[str, NDArray]) -> None:
        """Refuse weights that are not those of this network."""
        _check_weights(self, weights)

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
        BrfkitError: the file cannot be read, is damaged or of another format, or its weights are not those of the
            network that it describes.
    """
    members = read_stored_zip(path)
    try:
        arrays = {
            name.removesuffix(".npy"): npy_array(data, f"array {name[:80]!r}", "biufS")
            for name, data in members.items()
        }
        document = _document(arrays.pop(_META, None))
        extra = {name.removeprefix(_EXTRA): arrays.pop(name) for name in list(arrays) if name.startswith(_EXTRA)}
        size = document["network"]
        network = LstmNetwork(size["inputs"], tuple(size["hidden"]), size["outputs"])
        _check_weights(network, arrays)
    except BrfkitError as error:
        raise BrfkitError(f"{path} is no checkpoint of an LSTM: {visible(str(error)[:400])}") from None
    return {name: arrays[name] for name in network.shapes()}, document["meta"], extra


@dataclass(frozen=True)
class LstmCheckpoint:
    """What a file of an LSTM holds: its network, weights, plain values and further arrays."""

    network: LstmNetwork
    weights: dict[str, NDArray]
    meta: dict[str, Any]
    extra: dict[str, NDArray]


def open_lstm(path: PathLike) -> LstmCheckpoint | None:
    """The LSTM in a run folder (``best.npz``, else ``last.npz``) or file; None where there is something else.

    ``RUN/weights/epoch-N.npz`` is that of the run with the weights kept after epoch N.

    Raises:
        BrfkitError: it is one, and damaged.
    """
    kept = kept_epoch(path)
    place = Path(path) if kept is None else kept[0]
    files = [place / name for name in RUN_FILES] if place.is_dir() else [place]
    file = next((file for file in files if file.is_file()), None)
    if file is None or not _is_lstm(file):
        return None
    weights, meta, extra = load_lstm(file)
    cells = [len(weights[name]) // 4 for name in weights if name.endswith(".bias_ih")]
    network = LstmNetwork(weights["hidden0.weight_ih"].shape[1], tuple(cells), len(weights["readout.bias"]))
    if kept is not None:
        weights, meta = read_kept(path, network), {**meta, "epoch": kept[1]}
    return LstmCheckpoint(network, weights, meta, extra)


def _is_lstm(file: Path) -> bool:
    """Whether the file says that it is one; any other kind of file says no."""
    try:
        text = npy_array(read_stored_zip(file)[f"{_META}.npy"], "the meta text", "S")
        return bool(parse_json(text.item().decode("utf-8"), "the meta text").get("format") == LSTM_FORMAT)
    except (BrfkitError, KeyError, ValueError):
        return False


def _document(text: NDArray | None) -> dict[str, Any]:
    if text is None or text.dtype.kind != "S" or text.ndim:
        raise BrfkitError("there is no meta text")
    try:
        document = parse_json(text.item().decode("utf-8"), "the meta text")
    except UnicodeDecodeError:
        raise BrfkitError("the meta text is not UTF-8") from None
    if document.get("format") != LSTM_FORMAT:
        raise BrfkitError("it has another format")
    check_values(document, {name: DOCUMENT[name] for name in ("network", "meta")}, "the meta text")
    check_values(document["network"], LSTM, "the description of the network")
    check_meta(document["meta"])
    return document


def _check_weights(network: LstmNetwork, weights: Mapping[str, NDArray]) -> None:
    shapes = network.shapes()
    if weights.keys() != shapes.keys():
        names = ", ".join(sorted(weights.keys() ^ shapes.keys()))
        raise BrfkitError(f"arrays are missing or too many: {names[:200]}")
    for name, shape in shapes.items():
        value = weights[name]
        if value.shape != shape or value.dtype not in (np.float32, np.float64):
            raise BrfkitError(f"{name} is {value.dtype} of shape {value.shape}, not float of shape {shape}")
        if not np.isfinite(value).all():
            raise BrfkitError(f"{name} holds values that are not finite")
