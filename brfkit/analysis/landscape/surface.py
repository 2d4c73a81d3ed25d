"""An error surface: where its points lie, what is known of each, and what it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit import __version__
from brfkit.analysis.landscape.directions import Directions
from brfkit.errors import BrfkitError
from brfkit.io.schema import COUNT, HASH, NUMBER, Value, check_values
from brfkit.memory import check_memory
from brfkit.task import WHERE

VALUES = ("loss", "accuracy", "spikes_per_sample")
MAX_POINTS = 1_000_000
MAX_LOSS = 1e100  # squares and differences of larger ones leave the range of float64


@dataclass(frozen=True)
class Settings:
    """Everything that the numbers of a surface depend on.

    Attributes:
        checkpoint: name, without folders; checkpoint_sha256: of network and centre weights.
        neuron, dataset: names; data_sha256: of the samples as the network sees them, and their labels.
        split: ``test`` or ``train``; samples: how many; sample_seed: draws them, None takes the first ones.
        seed: of the random directions, and of the permutation of psmnist where none is given.
        points: P per axis; bound: coordinates go from -bound to bound; line: one axis only.
        directions: ``filter`` or ``pca``; parameters: which weights move, as asked for.
        epoch: of the run, where one of its kept epochs is the centre.
        trajectory_sha256: of the kept weights, for ``pca``.
        loss_on, accuracy_from, skip_steps: the task.
        dtype, backend, batch_size: of the computation; they decide how sums are rounded.
        version: of brfkit.
    """

    checkpoint: str
    checkpoint_sha256: str
    neuron: str
    dataset: str
    data_sha256: str
    split: str
    samples: int
    sample_seed: int | None
    seed: int
    points: int
    bound: float
    line: bool
    directions: str
    parameters: str
    epoch: int | None
    trajectory_sha256: str | None
    loss_on: str
    accuracy_from: str
    skip_steps: int
    dtype: str
    backend: str
    batch_size: int
    version: str = __version__

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Settings:
        """Settings from plain values; what :data:`SCHEMA` does not know or allow is a :class:`BrfkitError`."""
        if values.keys() != SCHEMA.keys():
            raise BrfkitError("its settings are not those of a surface")
        check_values(values, SCHEMA, "its settings")
        return Settings(**values)

    def difference(self, other: Settings) -> str | None:
        """What differs first, in words; None where nothing does. The checkpoint's name does not count."""
        for name in (f.name for f in fields(self) if f.name != "checkpoint"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                return f"{name} was {_short(its)} and is {_short(mine)} now"
        return None


_COUNT = Value((int,), 1, 1 << 40)
_SEED = Value((int,), 0)
_NAME = Value((str,), length=4096)

SCHEMA = {
    "checkpoint": _NAME,
    "checkpoint_sha256": HASH,
    "neuron": _NAME,
    "dataset": _NAME,
    "data_sha256": HASH,
    "split": Value((str,), choices=("test", "train")),
    "samples": _COUNT,
    "sample_seed": Value((int,), 0, none=True),
    "seed": _SEED,
    "points": Value((int,), 2, MAX_POINTS),
    "bound": Value(NUMBER, 1e-40, 1e40),
    "line": Value((bool,)),
    "directions": Value((str,), choices=("filter", "pca")),
    "parameters": _NAME,
    "epoch": Value((int,), 0, none=True),
    "trajectory_sha256": Value((str,), length=64, none=True),
    "loss_on": Value((str,), choices=WHERE),
    "accuracy_from": Value((str,), choices=WHERE),
    "skip_steps": COUNT,
    "dtype": Value((str,), choices=("float32", "float64")),
    "backend": _NAME,
    "batch_size": _COUNT,
    "version": _NAME,
}
"""What the settings in a file may be."""


def _short(value: object) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else str(value)


def axis(points: int, bound: float) -> NDArray[np.float64]:
    """Coordinates from -bound to bound, float64 [P]; symmetric, and exactly 0 in the middle of an odd number."""
    return bound * ((2 * np.arange(points) - (points - 1)) / (points - 1))


class Surface:
    """Points on a grid, row by row, and the centre as one more point where the grid does not hold it.

    Attributes:
        settings: what it depends on.
        directions: what one unit of a coordinate means.
        alpha, beta: coordinates, float64 [P] and [Q]; Q is 1 for a line.
        values: float64 [3, K], in the order of ``VALUES``; NaN where a point is not done.
        done: bool [K].
    """

    def __init__(self, settings: Settings, directions: Directions) -> None:
        self.settings, self.directions = settings, directions
        cells = settings.points ** (1 if settings.line else 2)
        # Values and flags, as they are here, in the file and in the figures.
        check_memory(cells * 100, f"a surface of {cells:,} points", "take fewer points")
        self.alpha = axis(settings.points, settings.bound)
        self.beta = np.zeros(1) if settings.line else self.alpha
        self.grid_size = len(self.alpha) * len(self.beta)
        count = self.grid_size + (settings.points % 2 == 0)
        self.values = np.full((len(VALUES), count), np.nan)
        self.done = np.zeros(count, bool)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.alpha), len(self.beta)

    @property
    def centre_index(self) -> int:
        """The point at α = β = 0."""
        return (self.grid_size - 1) // 2 if self.settings.points % 2 else self.grid_size

    @property
    def complete(self) -> bool:
        return bool(self.done.all())

    @property
    def pending(self) -> NDArray[np.int64]:
        """Points to be computed, the centre first."""
        left = np.flatnonzero(~self.done)
        return np.concatenate([left[left == self.centre_index], left[left != self.centre_index]])

    def coordinates(self, index: int) -> tuple[float, ...]:
        """α and β of a point; α alone for a line."""
        if index == self.grid_size:
            found = (0.0, 0.0)
        else:
            row, column = divmod(index, len(self.beta))
            found = float(self.alpha[row]), float(self.beta[column])
        return found[: 1 if self.settings.line else 2]

    def put(self, indices: Sequence[int] | NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Enter figures [3, k] of points. A loss beyond :data:`MAX_LOSS` counts as infinite."""
        self.values[:, indices] = values
        self.values[0, indices] = np.where(values[0] > MAX_LOSS, np.inf, values[0])
        self.done[indices] = True

    def grid(self, name: str) -> NDArray[np.float64]:
        """One of ``VALUES`` as [P, Q], indexed [alpha, beta]."""
        found: NDArray[np.float64] = self.values[VALUES.index(name), : self.grid_size].reshape(self.shape)
        return found

    def centre(self, name: str) -> float:
        """One of ``VALUES`` at α = β = 0; NaN while it is not done."""
        return float(self.values[VALUES.index(name), self.centre_index])
