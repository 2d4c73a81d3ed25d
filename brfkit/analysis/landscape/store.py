"""Surfaces as HDF5 files. A file is written whole under another name and renamed, so there is never half of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.directions import Directions
from brfkit.analysis.landscape.surface import VALUES, Settings, Surface
from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, atomic_path
from brfkit.io.hdf5 import find_dataset, open_hdf5, read_array

if TYPE_CHECKING:
    import h5py

FORMAT = "brfkit-surface"
VERSION = 1
MAGIC = b"\x89HDF\r\n\x1a\n"
_DIRECTIONS = ("direction_alpha", "direction_beta")


def is_surface(path: PathLike) -> bool:
    """Whether a file is HDF5, by its first bytes."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_surface(path: PathLike, surface: Surface, force: bool = False) -> None:
    """Write a surface, finished or not; its content depends on nothing but the surface.

    ``alpha`` (P,), ``beta`` (Q,), ``loss``, ``accuracy``, ``spikes_per_sample`` (P, Q) as [alpha, beta], NaN where
    nothing is known; ``done`` (P, Q); ``centre`` (3,) loss, accuracy and spikes at α = β = 0;
    ``direction_alpha/<weight>`` and ``direction_beta/<weight>``; for pca ``path`` (E, D) and ``path_epochs`` (E,).

    Raises:
        BrfkitError: there is a file already and `force` is not set, or it cannot be written.
    """
    import h5py

    with atomic_path(path, force) as temporary, h5py.File(temporary, "w", locking=False) as file:
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

    Raises:
        BrfkitError: the file cannot be read, is damaged or of another kind.
    """
    place = Path(path)
    with open_hdf5(place) as file:
        if file.attrs.get("format") != FORMAT:
            raise BrfkitError(f"{path} is not a surface of brfkit landscape")
        if file.attrs.get("format_version") != VERSION:
            raise BrfkitError(f"{path} is a surface of another version of brfkit")
        try:
            settings = Settings.from_dict(json.loads(str(file.attrs["settings"])))
            if settings.points < 2 or settings.points > 1_000_000:
                raise BrfkitError(f"{settings.points} points cannot be")
            surface = Surface(settings, _read_directions(file, place, 1 if settings.line else 2))
        except (BrfkitError, TypeError, ValueError) as error:
            raise BrfkitError(f"{path} is damaged: {error}") from None
        _read_values(file, place, surface)
    return surface


def _read_values(file: h5py.File, path: Path, surface: Surface) -> None:
    dataset = find_dataset(file, "done", path)
    done = np.zeros(0) if dataset is None or dataset.shape != surface.shape else np.asarray(dataset[()])
    centre = read_array(file, "centre", path, "float", 1)
    grids = [read_array(file, name, path, "float", 2) for name in VALUES]
    right = all(grid is not None and grid.shape == surface.shape for grid in grids) and done.dtype == bool
    if not right or centre is None or centre.shape != (len(VALUES),):
        raise BrfkitError(f"{path} is damaged: its arrays do not have the shape {surface.shape}")
    surface.done[: surface.grid_size] = done.ravel()
    surface.values[:, : surface.grid_size] = np.stack(grids).reshape(len(VALUES), -1)  # type: ignore[arg-type]
    if surface.centre_index == surface.grid_size:
        surface.values[:, -1] = centre
        surface.done[-1] = not np.isnan(centre[1])  # an accuracy is a number also where the loss is none


def _read_directions(file: h5py.File, path: Path, count: int) -> Directions:
    vectors = []
    for group in _DIRECTIONS[:count]:
        if group not in file or not len(file[group]):
            raise BrfkitError(f"{group} is missing")
        found = {str(name): read_array(file[group], str(name), path, "float") for name in file[group]}
        vectors.append({name: value for name, value in found.items() if value is not None})
    trace, epochs = read_array(file, "path", path, "float", 2), read_array(file, "path_epochs", path, "integer", 1)
    shares = file.attrs.get("path_shares")
    return Directions(tuple(vectors), trace, epochs, None if shares is None else tuple(map(float, shares)))
