"""What an analysis of gradients found: curves over time, eigenvalues, gradients of weights; summary and rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.io.atomic import PathLike, atomic_write
from brfkit.io.text import csv_cell
from brfkit.task import LAST

COLUMNS = ("checkpoint", "neuron", "loss", "layer", "quantity", "name", "step", "value")


@dataclass(frozen=True)
class Curve:
    """The gradient of a loss with respect to the states of a layer over time; (K,) arrays.

    Attributes:
        norm: geometric mean over the samples of the norm over all neurons and their states.
        low, high: 10th and 90th percentile of the samples.
        without_w_rec: as ``norm``, of the paths that never pass through W_rec.
        lost, exploded: share of (sample, neuron) pairs whose gradient is below 1/1000, or above 1000 times, the root
            mean square of the layer's neurons at the last step.
    """

    norm: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    without_w_rec: NDArray[np.float64]
    lost: NDArray[np.float64]
    exploded: NDArray[np.float64]


@dataclass(frozen=True)
class Eigenvalues:
    """Transition matrices of the neurons of a layer along the trajectory of the first sample.

    Attributes:
        values: [K, H, S] complex, the largest first.
        median, low, high: (K,) of the largest magnitude over the neurons: median, 10th, 90th percentile.
    """

    values: NDArray[np.complex128]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class GradientFlow:
    """What :func:`brfkit.gradients` returns.

    Attributes:
        name, neuron, dataset, backend: names.
        samples: how many samples.
        dt: time step δ of the network.
        total_steps: steps of a sample.
        steps: (K,) the states before these steps are meant.
        curves: by loss (``task``, ``last``) and layer.
        eigenvalues: by layer.
        parameters: by loss and weight: the norm of its gradient, ``norm``, that without paths through W_rec,
            ``without_w_rec``, and the norm of the difference over ``norm``, ``share_through_w_rec``.
        autograd_difference: largest deviation of a gradient from the torch backend's, over the largest gradient; None
            where it was not checked.
        seconds: wall time.
    """

    name: str
    neuron: str
    dataset: str
    backend: str
    samples: int
    dt: float
    total_steps: int
    steps: NDArray[np.int64]
    curves: dict[str, dict[str, Curve]]
    eigenvalues: dict[str, Eigenvalues]
    parameters: dict[str, dict[str, dict[str, float]]]
    autograd_difference: float | None
    seconds: float

    @property
    def layers(self) -> tuple[str, ...]:
        """The spiking layers."""
        return tuple(self.eigenvalues)

    def slope(self, loss: str, layer: str) -> float:
        """Decades per 1,000 steps by which the gradient grows backwards in time: least squares on log10 of the norm."""
        curve = self.curves[loss][layer].norm
        good = np.isfinite(curve) & (curve > 0)
        if good.sum() < 2:
            return float("nan")
        return float(-1000.0 * np.polyfit(self.steps[good], np.log10(curve[good]), 1)[0])

    def span(self, loss: str, layer: str) -> float:
        """Decades between the largest and the smallest norm."""
        curve = self.curves[loss][layer].norm
        good = curve[np.isfinite(curve) & (curve > 0)]
        return float(np.log10(good.max() / good.min())) if good.size else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one checkpoint."""
        return {
            "checkpoint": self.name,
            "neuron": self.neuron,
            "dataset": self.dataset,
            "backend": self.backend,
            "samples": self.samples,
            "steps": self.total_steps,
            "points": len(self.steps),
            "gradient": {loss: {y: self._flow(loss, y) for y in self.layers} for loss in self.curves},
            "eigenvalues": {layer: _eigen_summary(e) for layer, e in self.eigenvalues.items()},
            "parameters": self.parameters,
            "autograd_difference": self.autograd_difference,
            "seconds": self.seconds,
        }

    def _flow(self, loss: str, layer: str) -> dict[str, float]:
        curve = self.curves[loss][layer]
        shares = {"lost_share": float(curve.lost[0]), "exploded_share": float(curve.exploded[0])}
        return {
            "norm_first": float(curve.norm[0]),
            "norm_last": float(curve.norm[-1]),
            "decades_per_1000_steps": self.slope(loss, layer),
            "span_decades": self.span(loss, layer),
            **(shares if loss == LAST else {}),
        }

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """All numbers, one per row, as :data:`COLUMNS` names them."""
        for loss, by_layer in self.curves.items():
            for layer, curve in by_layer.items():
                for quantity, values in vars(curve).items():
                    for step, value in zip(self.steps, values, strict=True):
                        yield self.name, self.neuron, loss, layer, "state_gradient", quantity, int(step), float(value)
        for layer, found in self.eigenvalues.items():
            for quantity in ("median", "low", "high"):
                for step, value in zip(self.steps, getattr(found, quantity), strict=True):
                    yield self.name, self.neuron, "", layer, "largest_eigenvalue", quantity, int(step), float(value)
        for loss, by_weight in self.parameters.items():
            for weight, figures in by_weight.items():
                layer = weight.partition(".")[0]
                for quantity, figure in figures.items():
                    yield self.name, self.neuron, loss, layer, f"weight_gradient_{quantity}", weight, "", figure


def _eigen_summary(found: Eigenvalues) -> dict[str, float]:
    largest = np.abs(found.values[..., 0])
    return {
        "largest_median": float(np.nanmedian(largest)),
        "largest_max": float(np.nanmax(largest)),
        "share_above_1": float(np.nanmean(largest > 1.0)),
    }


def write_gradients(path: PathLike, flows: Sequence[GradientFlow], force: bool = False) -> None:
    """All numbers of the picture and the report, one per line, as CSV.

    Raises:
        BrfkitError: the file is there already and `force` is not set, or it cannot be written.
    """
    with atomic_write(path, "w", force) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for flow in flows:
            name = csv_cell(flow.name)  # of a file
            writer.writerows((name, *row[1:]) for row in flow.rows())
