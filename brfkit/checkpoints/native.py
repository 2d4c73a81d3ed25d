"""Checkpoints: network, weights and whatever a run needs to go on, in one ``.npz`` that NumPy alone can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.checkpoints.locate import checkpoint_in, kept_epoch, read_kept, refuse_other
from brfkit.checkpoints.published import is_published, read_published
from brfkit.checkpoints.schema import DOCUMENT, check_description, check_meta, check_sources
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_write, read_stored_zip
from brfkit.io.documents import parse_json
from brfkit.io.npy import npy_array
from brfkit.io.schema import check_values
from brfkit.io.text import visible
from brfkit.network import Network, Weights
from brfkit.neurons import NEURONS, neuron_argument
from brfkit.neurons.plugin import check_stored, stored_sources

FORMAT = "brfkit-checkpoint"
VERSION = 1
EXTRA = "extra/"
META = "meta"
LSTM_FORMAT = "brfkit-lstm"
PLAIN_KINDS = "biufcS"  # not U: NumPy makes strings of any 32 bits, which crash later


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    Attributes:
        network: its description.
        weights: float32 or float64 arrays by name, finite, as ``network.shapes()`` lists them.
        meta: plain JSON values: epoch, metrics, configuration, history. NaN is allowed, for a run that diverged.
        extra: further arrays by name, of numbers, booleans or bytes: state of the optimiser, of random generators.
    """

    network: Network
    weights: Weights
    meta: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, NDArray] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Identity of network and weights, whatever file they come from; ``meta`` and ``extra`` do not count."""
        digest = hashlib.sha256(json.dumps(self.network.to_dict(), sort_keys=True).encode())
        for name in sorted(self.weights):
            value = self.weights[name]
            little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
            digest.update(f"\n{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.tobytes())
        return digest.hexdigest()


def save_checkpoint(path: PathLike, checkpoint: Checkpoint, force: bool = True) -> None:
    """Write `checkpoint` to `path`, whole or not at all.

    The file has one array per weight under its name, ``meta`` (JSON in bytes with format, version, network,
    ``checkpoint.meta`` and the names of the extra arrays) and ``extra/<name>`` for the extra arrays.

    Raises:
        BrfkitError: what is to be saved could not be loaded again, or the file cannot be written.
    """
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "network": checkpoint.network.to_dict(),
        "meta": checkpoint.meta,
        "extra": list(checkpoint.extra),
    }
    sources = stored_sources({layer.neuron for layer in checkpoint.network.layers})
    if sources:
        document["neurons"] = sources
    arrays: dict[str, NDArray] = {}
    try:
        arrays[META] = np.array(json.dumps(document, default=_plain).encode())
        _check_weights(checkpoint.network, checkpoint.weights)
        arrays |= {name: checkpoint.weights[name] for name in checkpoint.network.shapes()}
        if not all(name.isprintable() and not name.startswith(EXTRA) for name in arrays):
            raise BrfkitError(f"layer names must be printable and not start with {EXTRA!r}")
        arrays |= {EXTRA + name: value for name, value in _plain_arrays(checkpoint.extra)}
    except (BrfkitError, TypeError, ValueError, RecursionError) as error:
        raise BrfkitError(f"{path} is not written: {error}") from None
    with atomic_write(path, "wb", force) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_checkpoint(path: PathLike, trust: bool = False) -> Checkpoint:
    """The checkpoint that :func:`save_checkpoint` wrote to `path`.

    Args:
        path: of the file.
        trust: execute the source of a user's neuron that the checkpoint carries, where it is not registered.

    Raises:
        BrfkitError: the file cannot be read, is damaged or of another format, or its neuron is not registered.
    """
    try:
        arrays = {
            _array_name(name): npy_array(data, f"array {name[:80]!r}", PLAIN_KINDS)
            for name, data in read_stored_zip(path).items()
        }
        network, meta, names = _read_meta(arrays.pop(META, None), trust)
        extra = {n[len(EXTRA) :]: arrays.pop(n) for n in list(arrays) if n.startswith(EXTRA)}
        if extra.keys() != set(names):
            raise BrfkitError("extra arrays are missing or too many; the file is damaged")
        _check_weights(network, arrays)
    except BrfkitError as error:
        message = visible(str(error)[:400])  # names come from the file
        raise BrfkitError(message if message.startswith(str(path)) else f"{path}: {message}") from None
    return Checkpoint(network, {name: arrays[name] for name in network.shapes()}, meta, extra)


def open_checkpoint(path: PathLike, neuron: str | None = None, trust: bool = False) -> Checkpoint:
    """A checkpoint from a run folder (``best.npz``, else ``last.npz``), a file of this project, or a published ``.pt``.

    Args:
        path: folder or file; ``RUN/weights/epoch-N.npz`` is the network of the run with the weights kept after epoch N.
        neuron: for a published file, which neuron it holds (see :mod:`brfkit.checkpoints.published`); for a file of
            this project it may only repeat what the file says, or name the file of the user's neuron in it.
        trust: execute the source of a user's neuron that the checkpoint carries.

    Raises:
        BrfkitError: there is no checkpoint, it cannot be read, or `neuron` does not fit it.
    """
    file = Path(path)
    neuron = None if neuron is None else neuron_argument(neuron)
    if file.is_dir():
        file = checkpoint_in(file)
    elif is_published(file) or file.suffix in (".pt", ".pth"):
        network, weights, meta = read_published(file, neuron)
        return Checkpoint(network, weights, {"published": True, **meta})
    checkpoint = _open(file, trust)
    held = checkpoint.network.layers[0].neuron
    if neuron not in (None, held):
        raise BrfkitError(f"{file} holds a network of {held}, not {neuron}; leave --neuron out")
    return checkpoint


def _open(file: Path, trust: bool) -> Checkpoint:
    kept = kept_epoch(file)
    if kept is None:
        refuse_other(file)
        return load_checkpoint(file, trust)
    folder, epoch = kept
    run = load_checkpoint(checkpoint_in(folder), trust)
    meta = {"epoch": epoch, **{name: run.meta[name] for name in ("config",) if name in run.meta}}
    extra = {name: value for name, value in run.extra.items() if name == "permutation"}
    return Checkpoint(run.network, read_kept(file, run.network), meta, extra)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"meta holds a {type(value).__name__}, which JSON cannot hold")


def _plain_arrays(extra: Mapping[str, NDArray]) -> Iterator[tuple[str, NDArray]]:
    for name, value in extra.items():
        if not (isinstance(name, str) and name and name.isprintable()):
            raise BrfkitError(f"extra array {name!r}: the name must be printable text")
        if not isinstance(value, np.ndarray) or value.dtype.kind not in PLAIN_KINDS:
            raise BrfkitError(f"extra {name!r} is not an array of numbers, booleans or bytes")
        yield name, value


def _check_weights(network: Network, weights: Mapping[str, NDArray]) -> None:
    for name, value in weights.items():
        if value.dtype not in (np.float32, np.float64):
            raise BrfkitError(f"weight {name} has dtype {value.dtype}; float32 or float64 is needed")
    network.check(weights)


def _array_name(member: str) -> str:
    if not member.endswith(".npy"):
        raise BrfkitError(f"member {member[:80]!r} is not an array; this is not a checkpoint of brfkit")
    return member[: -len(".npy")]


def _read_meta(text: NDArray | None, trust: bool = False) -> tuple[Network, dict[str, Any], list[str]]:
    """Network, ``Checkpoint.meta`` and the names of the extra arrays."""
    if text is None or text.dtype.kind != "S" or text.ndim:
        raise BrfkitError("there is no meta text; this is not a checkpoint of brfkit")
    document = parse_json(_decoded(text.item()), "the meta text")
    if document.get("format") == LSTM_FORMAT:
        raise BrfkitError("this is an LSTM, a baseline without spikes; its figures are in the folder of its run")
    if document.get("format") != FORMAT:
        raise BrfkitError("the meta text is damaged (another format)")
    if type(document.get("version")) is not int or document["version"] != VERSION:
        raise BrfkitError(f"it has format version {document.get('version')!r}; this brfkit reads version {VERSION}")
    check_values(document, DOCUMENT, "the meta text")
    check_description(document["network"])
    check_meta(document["meta"])
    sources = document.get("neurons", {})
    check_sources(sources)
    check_stored(sources, NEURONS, trust)
    return Network.from_dict(document["network"]), document["meta"], document["extra"]


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise BrfkitError("the meta text is damaged (it is not UTF-8)") from None
