"""What a surface says, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Figures of a surface; None where the points that are needed are missing or not finite.

    Attributes:
        loss_min, loss_max: over the points of the grid with a finite loss.
        loss_center: at α = β = 0.
        roughness: rms of the second differences along both axes over (max - min). It grows with the square of the
            distance between points, so only equal grids can be compared.
        convex_fraction: share of the inner cells whose finite-difference Hessian is positive definite.
        curvature_center: eigenvalues of the finite-difference Hessian at the centre, the larger first; the mean over
            the four nearest cells where the grid does not hold the centre.
        condition_center: the larger magnitude of the two over the smaller.
        sharpness: (largest loss within the radius - loss_center) / (1 + loss_center) (Keskar et al. 2017, metric 2.1
            in the plane).
        radius: of the sharpness, in units of α and β.
        not_finite: points whose loss is not finite: the network diverged.
    """

    loss_min: float | None
    loss_max: float | None
    loss_center: float | None
    roughness: float | None
    convex_fraction: float | None
    curvature_center: tuple[float, ...] | None
    condition_center: float | None
    sharpness: float | None
    radius: float
    not_finite: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures(alpha: Array, beta: Array, loss: Array, done: NDArray[np.bool_], centre: float, radius: float) -> Figures:
    """Take the figures of a surface.

    Args:
        alpha, beta: coordinates [P], [Q]; Q is 1 for a line.
        loss: [P, Q] as [alpha, beta].
        done: [P, Q], which points are known.
        centre: loss at α = β = 0.
        radius: of the sharpness.
    """
    known = done & np.isfinite(loss)
    values = np.where(known, loss, np.nan)
    finite = values[known]
    curvature = centre_curvature(alpha, beta, values)
    return Figures(
        loss_min=float(finite.min()) if finite.size else None,
        loss_max=float(finite.max()) if finite.size else None,
        loss_center=float(centre) if np.isfinite(centre) else None,
        roughness=roughness(values),
        convex_fraction=convex_fraction(alpha, beta, values),
        curvature_center=curvature,
        condition_center=_condition(curvature),
        sharpness=sharpness(alpha, beta, values, centre, radius),
        radius=radius,
        not_finite=int((done & ~np.isfinite(loss)).sum()),
    )


def roughness(loss: Array) -> float | None:
    """Rms of the second differences along both axes over (max - min); NaN is left out."""
    second = np.concatenate([np.diff(loss, 2, axis=a).ravel() for a in (0, 1)])
    second = second[np.isfinite(second)]
    if not second.size:
        return None
    spread = float(np.nanmax(loss) - np.nanmin(loss))
    return float(np.sqrt((second**2).mean())) / spread if spread > 0 else None


def convex_fraction(alpha: Array, beta: Array, loss: Array) -> float | None:
    """Share of the inner cells with a positive definite Hessian; along a line, with a positive second derivative."""
    hessians = hessian(alpha, beta, loss)
    if hessians is None:
        return None
    known = np.isfinite(hessians).all((-2, -1))
    if not known.any():
        return None
    return float((np.linalg.eigvalsh(hessians[known])[:, 0] > 0).mean())


def hessian(alpha: Array, beta: Array, loss: Array) -> Array | None:
    """Central finite differences at every inner point: [P-2, Q-2, 2, 2], for a line [P-2, 1, 1, 1]; None where there is
    no inner point."""
    if len(alpha) < 3:
        return None
    a = alpha[1] - alpha[0]
    if len(beta) == 1:
        return (np.diff(loss, 2, axis=0) / a**2)[..., None, None]
    if len(beta) < 3:
        return None
    b = beta[1] - beta[0]
    found = np.empty((len(alpha) - 2, len(beta) - 2, 2, 2))
    found[..., 0, 0] = np.diff(loss, 2, axis=0)[:, 1:-1] / a**2
    found[..., 1, 1] = np.diff(loss, 2, axis=1)[1:-1] / b**2
    corners = loss[2:, 2:] - loss[2:, :-2] - loss[:-2, 2:] + loss[:-2, :-2]
    found[..., 0, 1] = found[..., 1, 0] = corners / (4 * a * b)
    return found


def centre_curvature(alpha: Array, beta: Array, loss: Array) -> tuple[float, ...] | None:
    """Eigenvalues of the Hessian at the inner point nearest to the centre, or the mean over those equally near."""
    hessians = hessian(alpha, beta, loss)
    if hessians is None:
        return None
    inner = beta[1:-1] if len(beta) > 1 else beta
    away = np.add.outer(alpha[1:-1] ** 2, inner**2)
    mean = hessians[away <= away.min() * (1 + 1e-9)].mean(0)
    if not np.isfinite(mean).all():
        return None
    return tuple(float(value) for value in np.linalg.eigvalsh(mean)[::-1])


def _condition(curvature: tuple[float, ...] | None) -> float | None:
    if curvature is None or len(curvature) < 2:
        return None
    small, large = sorted(map(abs, curvature))
    return large / small if small > 0 else None


def sharpness(alpha: Array, beta: Array, loss: Array, centre: float, radius: float) -> float | None:
    """Relative rise of the loss within a radius around the centre."""
    inside = loss[np.add.outer(alpha**2, beta**2) <= radius**2 * (1 + 1e-9)]
    inside = inside[np.isfinite(inside)]
    if not inside.size or not np.isfinite(centre):
        return None
    return (max(float(inside.max()), centre) - centre) / (1 + centre)
