"""Directions in the space of weights: which weights move, and how far one unit of a coordinate takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights

WEIGHTS, ALL = "weights", "all"


@dataclass(frozen=True)
class Directions:
    """One or two directions through a centre.

    Attributes:
        vectors: per direction, float64 arrays by the names of the weights that move, in the shapes of the weights.
        path: coordinates of the training trajectory, float64 [E, D], or None.
        epochs: which epochs these are, int64 [E], or None.
        shares: of the trajectory's squared distances from the centre, the share along each direction, or None.
    """

    vectors: tuple[Weights, ...]
    path: NDArray[np.float64] | None = None
    epochs: NDArray[np.int64] | None = None
    shares: tuple[float, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The weights that move."""
        return tuple(self.vectors[0])

    def check(self, network: Network) -> None:
        """Refuse directions of another network."""
        shapes = network.shapes()
        for name, value in (item for vector in self.vectors for item in vector.items()):
            if shapes.get(name) != value.shape:
                raise BrfkitError(f"the direction of {name} has shape {value.shape}, the network {shapes.get(name)}")

    def point(self, centre: Mapping[str, NDArray], coordinates: Sequence[float], dtype: DTypeLike) -> Weights:
        """All weights at W + α d₁ + β d₂, added in float64 and rounded once."""
        weights = {name: np.asarray(value, dtype) for name, value in centre.items()}
        for name in self.names:
            moved = centre[name].astype(np.float64)
            for coordinate, vector in zip(coordinates, self.vectors, strict=True):
                moved = moved + coordinate * vector[name]
            weights[name] = np.ascontiguousarray(moved, dtype)
        return weights


def moving_weights(network: Network, parameters: str = WEIGHTS) -> tuple[str, ...]:
    """Names of the weights that directions move.

    Args:
        network: description.
        parameters: ``weights``: W_in and W_rec of the spiking layers, as in the paper (arXiv:2406.00389, fig. 5);
            ``all``; or a list with commas of kinds (``omega``, ``w_in``) or full names (``readout.w_in``).

    Raises:
        BrfkitError: a name that no weight has.
    """
    shapes = network.shapes()
    if parameters == ALL:
        return tuple(shapes)
    if parameters == WEIGHTS:
        spiking = {layer.name for layer in network.spiking_layers}
        return tuple(n for n in shapes if n.split(".")[0] in spiking and n.split(".")[1] in ("w_in", "w_rec"))
    names: set[str] = set()
    for part in parameters.split(","):
        wanted = part.strip()
        found = {name for name in shapes if wanted in (name, name.split(".")[1])}
        if not found:
            kinds = dict.fromkeys(name.split(".")[1] for name in shapes)
            raise BrfkitError(
                f"parameters: this network has no weight {wanted!r}; there are weights, all, {', '.join(kinds)} and "
                f"{', '.join(shapes)}"
            )
        names |= found
    return tuple(name for name in shapes if name in names)


def random_directions(
    network: Network, centre: Mapping[str, NDArray], parameters: str, seed: int, count: int = 2
) -> Directions:
    """Filter-normalised random directions (Li et al. 2018, arXiv:1712.09913; here as in arXiv:2406.00389, fig. 5).

    Every row of a matrix, the connections into one neuron, gets the norm of the same row of the weights, W_in and W_rec
    each on their own. A vector of parameters (ω, b', τ, biases) is taken as one filter: it gets the norm of the vector,
    for a row of one number would leave nothing but its sign to chance.

    Args:
        network, centre: what is moved.
        parameters: see :func:`moving_weights`.
        seed: the direction of a weight depends on the seed, the number of the direction and the weight's name alone.
        count: how many directions.

    Raises:
        BrfkitError: unknown parameters, or all that would move is 0 and so has no scale.
    """
    names = moving_weights(network, parameters)
    masks = network.masks()
    vectors = tuple(
        {name: _random(centre[name], seed, number, name, masks.get(name)) for name in names} for number in range(count)
    )
    if not any(vector.any() for vector in vectors[0].values()):
        raise BrfkitError(f"parameters: {', '.join(names)} are all 0, so a direction has no scale")
    return Directions(vectors)


def _random(weight: NDArray, seed: int, number: int, name: str, mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, number, *name.encode()])
    drawn = rng.standard_normal(weight.shape)
    if mask is not None:  # a direction does not leave the weights that connect, of which a row may have none
        drawn = np.where(mask, drawn, 0.0)
    wanted, norm = _row_norms(weight.astype(np.float64)), _row_norms(drawn)
    return drawn * (wanted / np.where(norm == 0.0, 1.0, norm))


def _row_norms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norm of every row [H, 1] of a matrix, of the whole of a vector [1]."""
    norms: NDArray[np.float64] = np.sqrt((values**2).sum(-1, keepdims=True))
    return norms
