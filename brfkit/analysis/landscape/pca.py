"""The plane in which a training run moved most: principal components of its trajectory through the centre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.directions import Directions
from brfkit.errors import BrfkitError
from brfkit.network import Weights

REACH = 0.8  # the farthest epoch stands at this coordinate, so a bound of 1 shows the whole path


def pca_directions(
    centre: Mapping[str, NDArray],
    trajectory: Mapping[int, Mapping[str, NDArray]],
    names: Sequence[str],
    count: int = 2,
) -> Directions:
    """Directions along which the epochs of a run lie farthest from the centre.

    Principal components of the differences W_epoch - W_centre, without taking their mean away: the plane goes through
    the centre, and holds the trajectory where that is flat. Each direction is as long as it takes for the farthest
    epoch to stand at ``REACH``; its sign is such that this epoch's coordinate is positive.

    Args:
        centre: weights by name.
        trajectory: weights by epoch.
        names: of the weights that move; the others stay those of the centre.
        count: 1 or 2 directions.

    Raises:
        BrfkitError: fewer epochs that differ from the centre than directions.
    """
    epochs = sorted(trajectory)
    steps = np.stack([_flat(trajectory[epoch], names) - _flat(centre, names) for epoch in epochs])  # [E, N]
    gram = steps @ steps.T  # [E, E]: N is in the ten thousands, E in the hundreds
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    if len(values) < count or values[-1] <= 1e-12 * max(values[0], np.finfo(float).tiny):
        raise BrfkitError(
            f"pca: the kept epochs do not span {count} directions around the centre; keep the weights of more epochs"
        )
    axes = np.linalg.qr(steps.T @ vectors)[0].T  # [D, N], orthonormal also after rounding
    coordinates = steps @ axes.T  # [E, D]
    far = coordinates[np.abs(coordinates).argmax(0), range(count)]
    lengths = far / REACH
    return Directions(
        tuple(_named(axis * length, centre, names) for axis, length in zip(axes, lengths, strict=True)),
        coordinates / lengths,
        np.array(epochs, np.int64),
        tuple(float(share) for share in (coordinates**2).sum(0) / np.trace(gram)),
    )


def _flat(weights: Mapping[str, NDArray], names: Sequence[str]) -> NDArray[np.float64]:
    return np.concatenate([weights[name].astype(np.float64).ravel() for name in names])


def _named(flat: NDArray[np.float64], like: Mapping[str, NDArray], names: Sequence[str]) -> Weights:
    ends = np.cumsum([like[name].size for name in names])
    return {n: part.reshape(like[n].shape) for n, part in zip(names, np.split(flat, ends[:-1]), strict=True)}
