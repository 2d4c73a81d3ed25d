"""What is known of a plane after it was simulated: figures and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.stability.network import NetworkNeurons
from brfkit.analysis.neuron.stability.plane import Plane


@dataclass(frozen=True)
class StabilityMap:
    """What :func:`stability_map` returns. N simulated neurons, X values of ω and Y of b.

    Attributes:
        plane: neuron, δ, options.
        omega, b: (N,) of the simulated neurons.
        radius: (N,) their spectral radius by theory.
        diverged: (N,) bool, what the simulation showed.
        resolution: how near to 1 the spectral radius has to be for rounding to decide, see ``rounding_of_a_step``.
        omega_axis, b_axis, radius_plane: (X,), (Y,), (Y, X), the spectral radius by theory.
        lower, upper: (X,) b at which the spectral radius is 1; NaN where no b is stable, or every lower one.
        balance: (X,) b of a neuron with b' = 0: p(ω) for BRF.
        network: neurons of a trained network ``before`` and ``after`` training, as far as known.
        backend: what simulated.
        neuron_steps, simulating: simulated steps of single neurons, and their wall time in seconds.
        seconds: wall time of everything.
    """

    plane: Plane
    omega: NDArray[np.float64]
    b: NDArray[np.float64]
    radius: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    resolution: float
    omega_axis: NDArray[np.float64]
    b_axis: NDArray[np.float64]
    radius_plane: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    balance: NDArray[np.float64]
    network: Mapping[str, NetworkNeurons]
    backend: str
    neuron_steps: int
    simulating: float
    seconds: float

    @property
    def disagrees(self) -> NDArray[np.bool_]:
        """(N,) where simulation and theory differ."""
        return self.diverged != (self.radius > 1.0)

    @property
    def agreement(self) -> float:
        """Percent of neurons for which they do not."""
        return 100.0 * float(1.0 - self.disagrees.mean())

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``brfkit stability``."""
        off = np.abs(self.radius - 1.0)[self.disagrees]
        balanced = np.isfinite(self.upper) & self.plane.balanced
        return {
            "neuron": self.plane.neuron,
            "backend": self.backend,
            "dt": self.plane.dt,
            "dtype": self.plane.dtype,
            "neurons": len(self.omega),
            "stable": int((self.radius < 1.0).sum()),
            "diverged": int(self.diverged.sum()),
            "agreement": self.agreement,
            "disagreements": int(self.disagrees.sum()),
            "disagreements_beyond_rounding": int((off > self.resolution).sum()),
            "farthest_disagreement": float(off.max(initial=0.0)),
            "rounding": self.resolution,
            "upper_boundary_from_closed_form": (
                float(np.abs(self.upper - self.balance)[balanced].max()) if balanced.any() else None
            ),
            "network": {name: one.to_dict() for name, one in self.network.items()},
            "neuron_steps": self.neuron_steps,
            "neuron_steps_per_second": self.neuron_steps / self.simulating,
            "seconds": self.seconds,
        }

    def columns(self) -> dict[str, NDArray[Any]]:
        """The numbers of the picture by the name of their column: simulated neurons, boundaries, the network's."""
        curves = (("lower", self.lower), ("upper", self.upper), ("balance", self.balance))
        parts = [("simulated", self.omega, self.b, self.radius, np.where(self.diverged, "yes", "no"))]
        for name, b in curves:
            radius = self.plane.radius(self.omega_axis, np.nan_to_num(b))
            parts.append((name, self.omega_axis, b, np.where(np.isnan(b), np.nan, radius), _none(b)))
        parts += [(name, one.omega, one.b, one.radius, _none(one.b)) for name, one in self.network.items()]
        kinds = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])
        names = ("omega", "b", "spectral_radius", "diverged")
        return {"kind": kinds} | {n: np.concatenate([p[i] for p in parts]) for i, n in enumerate(names, 1)}


def _none(like: NDArray[Any]) -> NDArray[np.str_]:
    return np.full(len(like), "")
