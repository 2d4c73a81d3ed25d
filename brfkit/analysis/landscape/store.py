"""Surfaces as HDF5 files. A file is written whole under another name and renamed, so there is never half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.directions import Directions
from brfkit.analysis.landscape.surface import MAX_LOSS, VALUES, Settings, Surface
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike
from brfkit.io.documents import parse_json
from brfkit.io.hdf5 import check_dataset, find_dataset, has_attribute, open_hdf5, read_array
from brfkit.io.hdf5_writing import written_hdf5
from brfkit.io.streams import open_file

if TYPE_CHECKING:
    import h5py

FORMAT = "brfkit-surface"
VERSION = 1
MAGIC = b"\x89HDF\r\n\x1a\n"
_DIRECTIONS = ("direction_alpha", "direction_beta")


def is_surface(path: PathLike) -> bool:
    """Whether a file is HDF5, by its first bytes."""
    try:
        with open_file(Path(path)) as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except BrfkitError:
        return False


def write_surface(path: PathLike, surface: Surface, force: bool = False) -> None:
    """Write a surface, finished or not; its content depends on nothing but the surface.

    ``alpha`` (P,), ``beta`` (Q,), ``loss``, ``accuracy``, ``spikes_per_sample`` (P, Q) as [alpha, beta], NaN where
    nothing is known; ``done`` (P, Q); ``centre`` (3,) loss, accuracy and spikes at α = β = 0;
    ``direction_alpha/<weight>`` and ``direction_beta/<weight>``; for pca ``path`` (E, D) and ``path_epochs`` (E,).

    Raises:
        BrfkitError: there is a file already and `force` is not set, or it cannot be written.
    """
    with written_hdf5(path, force) as (file, _):
        _write_attributes(file, surface)
        arrays: dict[str, NDArray[Any]] = {"alpha": surface.alpha, "beta": surface.beta}
        arrays |= {name: surface.grid(name) for name in VALUES}
        arrays["done"] = surface.done[: surface.grid_size].reshape(surface.shape)
        arrays["centre"] = surface.values[:, surface.centre_index]
        directions = surface.directions
        if directions.path is not None and directions.epochs is not None:
            arrays |= {"path": directions.path, "path_epochs": directions.epochs}
        for group, vector in zip(_DIRECTIONS, directions.vectors, strict=False):
            arrays |= {f"{group}/{name}": value for name, value in vector.items()}
        for name, value in arrays.items():
            file.create_dataset(name, data=value, track_times=False)


def _write_attributes(file: h5py.File, surface: Surface) -> None:
    settings = surface.settings
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = VERSION
    for name in ("checkpoint", "checkpoint_sha256", "dataset", "data_sha256", "seed"):
        file.attrs[name] = getattr(settings, name)
    file.attrs["settings"] = json.dumps(settings.to_dict())
    file.attrs["complete"] = surface.complete
    if surface.directions.shares is not None:
        file.attrs["path_shares"] = np.array(surface.directions.shares)


def read_surface(path: PathLike) -> Surface:
    """The surface that :func:`write_surface` wrote.

    Everything in the file is checked before any of it is used: settings against
    :data:`brfkit.analysis.landscape.surface.SCHEMA`, shapes of arrays against the settings, coordinates against what
    the settings make of them, values against what can be measured.

    Raises:
        BrfkitError: the file cannot be read, is damaged or of another kind.
    """
    place = Path(path)
    with open_hdf5(place) as file:
        if not has_attribute(file, "format", FORMAT):
            raise BrfkitError(f"{path} is not a surface of brfkit landscape")
        if not has_attribute(file, "format_version", VERSION):
            raise BrfkitError(f"{path} is a surface of another version of brfkit")
        try:
            settings = read_settings(file.attrs.get("settings"))
            shape = (settings.points, 1 if settings.line else settings.points)
            values = {name: _array(file, name, place, "float", shape) for name in VALUES}
            done = _array(file, "done", place, "boolean", shape)
            centre = _array(file, "centre", place, "float", (len(VALUES),))
            surface = Surface(settings, _read_directions(file, place, 1 if settings.line else 2))
            _check_axes(file, place, surface)
            _fill(surface, values, done, centre)
        except (BrfkitError, TypeError, ValueError) as error:
            message = str(error).removeprefix(f"{path}: ")
            raise BrfkitError(f"{path} is damaged: {message}") from None
    return surface


def read_settings(text: object) -> Settings:
    """Settings from the JSON text of a file.

    Raises:
        BrfkitError: they are no text, or not what a surface can have.
    """
    if not isinstance(text, str):
        raise BrfkitError("its settings are no text")
    return Settings.from_dict(parse_json(text, "its settings"))


def _array(file: h5py.File, name: str, path: Path, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of exactly that shape, of which nothing is read before the shape is known."""
    dataset = find_dataset(file, name, path)
    if dataset is None:
        raise BrfkitError(f"{name} is missing")
    if dataset.shape != shape:
        raise BrfkitError(f"{name} has shape {dataset.shape}, not {shape}")
    array: NDArray[Any] = np.asarray(check_dataset(dataset, path, kind, len(shape), packed=False)[()])
    return array if kind == "boolean" else array.astype(np.float64)


def _check_axes(file: h5py.File, path: Path, surface: Surface) -> None:
    for name, wanted in (("alpha", surface.alpha), ("beta", surface.beta)):
        if not np.array_equal(_array(file, name, path, "float", wanted.shape), wanted):
            raise BrfkitError(f"{name} does not go from -{surface.settings.bound:g} to {surface.settings.bound:g}")


def _fill(surface: Surface, grids: dict[str, NDArray], done: NDArray[np.bool_], centre: NDArray[np.float64]) -> None:
    values = np.stack([grids[name] for name in VALUES]).reshape(len(VALUES), -1)
    known = done.ravel()
    if not np.isnan(values[:, ~known]).all():
        raise BrfkitError("it has values of points that are not done")
    surface.done[: surface.grid_size] = known
    surface.values[:, : surface.grid_size] = values
    if surface.centre_index == surface.grid_size:
        surface.values[:, -1] = centre
        surface.done[-1] = not np.isnan(centre[1])  # an accuracy is a number also where the loss is none
    loss, accuracy, spikes = surface.values[:, surface.done]
    if (loss < 0).any() or ((loss > MAX_LOSS) & np.isfinite(loss)).any():
        raise BrfkitError(f"it has a negative loss, or one beyond {MAX_LOSS:g}")
    if not ((accuracy >= 0) & (accuracy <= 100)).all() or not ((spikes >= 0) & np.isfinite(spikes)).all():
        raise BrfkitError("it has accuracies that are no percentages, or counts of spikes that are none")


def _read_directions(file: h5py.File, path: Path, count: int) -> Directions:
    import h5py

    vectors = []
    for group in _DIRECTIONS[:count]:
        if not isinstance(file.get(group), h5py.Group) or not len(file[group]):
            raise BrfkitError(f"{group} is missing")
        found = {str(name): read_array(file[group], str(name), path, "float") for name in file[group]}
        vectors.append({name: value.astype(np.float64) for name, value in found.items() if value is not None})
    shapes = [{name: value.shape for name, value in vector.items()} for vector in vectors]
    if any(shape != shapes[0] for shape in shapes) or not all(s and 0 not in s for s in shapes[0].values()):
        raise BrfkitError("its directions do not fit each other")
    if not all(np.isfinite(value).all() for vector in vectors for value in vector.values()):
        raise BrfkitError("its directions hold values that are not finite")
    if not all(name.isprintable() for name in shapes[0]):
        raise BrfkitError("its directions have names that cannot be printed")
    return Directions(tuple(vectors), *_read_trace(file, path, count))


def _read_trace(
    file: h5py.File, path: Path, count: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None, tuple[float, ...] | None]:
    """Path of training, its epochs, and the share of each direction; None each where there is none."""
    trace, epochs = read_array(file, "path", path, "float", 2), read_array(file, "path_epochs", path, "integer", 1)
    shares = file.attrs.get("path_shares")
    if (trace is None) != (epochs is None):
        raise BrfkitError("of path and path_epochs one is missing")
    if trace is not None and epochs is not None:
        if trace.shape != (len(epochs), count) or len(epochs) == 0 or not np.isfinite(trace).all():
            raise BrfkitError(f"path has shape {trace.shape} and {len(epochs)} epochs, or values that are not finite")
        if epochs.min() < 0 or (np.diff(epochs.astype(np.int64)) <= 0).any():
            raise BrfkitError("path_epochs does not ascend")
    if shares is None:
        return trace, epochs, None
    numbers = np.asarray(shares)
    if numbers.dtype.kind != "f" or numbers.shape != (count,) or not ((numbers >= 0) & (numbers <= 1.001)).all():
        raise BrfkitError(f"path_shares are not {count} shares")
    return trace, epochs, tuple(map(float, numbers))
