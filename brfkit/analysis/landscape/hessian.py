"""The largest eigenvalues of the Hessian, from gradients alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend
from brfkit.data import Split
from brfkit.errors import BrfkitError
from brfkit.evaluation import BATCH_SIZE, batches
from brfkit.network import Network
from brfkit.task import MEAN, Task

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class HessianSpectrum:
    """Largest eigenvalues of the Hessian of the loss, by magnitude.

    Attributes:
        eigenvalues: K of them, the largest magnitude first.
        residuals: |Hv - λv| / |λ| of each with its unit vector v. The gradient is BPTT's, with the surrogate for the
            slope of a spike. It is no exact gradient and jumps where spikes come and go, so H is not quite symmetric:
            a residual far from 0 says that the eigenvalue means little.
        products: how many products Hv were taken.
    """

    eigenvalues: tuple[float, ...]
    residuals: tuple[float, ...]
    products: int


def output_gradient(task: Task, outputs: NDArray, labels: NDArray[np.int64]) -> NDArray:
    """Gradient of the summed loss of :meth:`Task.loss_sum` with respect to the outputs [T, B, O]."""
    kept = outputs[task.skip_steps :].astype(np.float64)
    found = task.counted(labels, task.loss_on, len(outputs))
    if found.steps is not None:
        rows = kept[found.steps, found.columns]
    elif task.loss_on == MEAN:
        rows = np.einsum("tro,tr->ro", kept[:, found.columns], found.shares)
    else:
        shown = np.where(found.present[..., None], kept[:, found.columns], -np.inf)  # type: ignore[index]
        rows = shown.max(0, initial=-np.inf)
    slope = np.exp(rows - rows.max(-1, keepdims=True))
    slope /= slope.sum(-1, keepdims=True)
    slope[np.arange(len(slope)), found.labels] -= 1
    grad = np.zeros(outputs.shape)
    behind = grad[task.skip_steps :]
    if found.steps is not None:
        behind[found.steps, found.columns] = slope
    elif task.loss_on == MEAN:
        behind[:, found.columns] = found.shares[..., None] * slope
    else:
        highest = shown.argmax(0)  # [R, O]
        behind[highest, found.columns[:, None], np.arange(outputs.shape[2])] = slope
    return grad.astype(outputs.dtype)


def loss_gradient(
    network: Network,
    weights: Mapping[str, NDArray],
    split: Split,
    task: Task,
    backend: Backend,
    batch_size: int = BATCH_SIZE,
) -> dict[str, Vector]:
    """Gradient of the mean loss over a split by BPTT, float64 by name; the computation is in the weights' dtype."""
    dtype = next(iter(weights.values())).dtype
    total = {name: np.zeros(value.shape) for name, value in weights.items()}
    terms = 0
    for x, labels in batches(split, batch_size, dtype):
        trace = backend.scan(network, weights, x, differentiate=True)
        terms += task.loss_sum(trace.outputs, labels)[1]
        found = backend.scan_vjp(trace, output_gradient(task, trace.outputs, labels))
        for name, value in found.weights.items():
            total[name] += value
    return {name: value / terms for name, value in total.items()}


def check_count(size: int, count: int) -> None:
    """Refuse more eigenvalues than Lanczos gives for so many weights."""
    if not 1 <= count < size - 1:
        raise BrfkitError(f"hessian: {size} weights have between 1 and {size - 2} eigenvalues to ask for, not {count}")


def top_eigenvalues(
    gradient: Callable[[Vector], Vector],
    centre: Vector,
    count: int,
    *,
    step: float,
    seed: int = 0,
    tolerance: float = 1e-2,
    progress: Callable[[int], None] | None = None,
) -> HessianSpectrum:
    """Lanczos on products Hv = (g(w + εv) - g(w - εv)) / 2ε.

    Args:
        gradient: g, of a flat vector of weights.
        centre: w, [N].
        count: how many eigenvalues, fewer than N - 1.
        step: ε for a unit vector v, relative to the norm of w.
        seed: of the vector to start from.
        tolerance: relative, of the eigenvalues.
        progress: called with the products taken so far.

    Raises:
        BrfkitError: too many eigenvalues asked for, a gradient that is not finite, or no convergence.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    size = centre.size
    check_count(size, count)
    scale = step * (float(np.linalg.norm(centre)) or 1.0)
    products = 0

    def times(vector: Vector) -> Vector:
        nonlocal products
        vector = np.asarray(vector, np.float64).reshape(-1)
        norm = float(np.linalg.norm(vector))
        reach = scale / norm if norm else scale
        found = (gradient(centre + reach * vector) - gradient(centre - reach * vector)) / (2 * reach)
        if not np.isfinite(found).all():
            raise BrfkitError("hessian: the gradient is not finite near the centre")
        products += 1
        if progress is not None:
            progress(products)
        return found

    start = np.random.default_rng([seed, size]).standard_normal(size)
    operator = LinearOperator((size, size), matvec=times, dtype=np.float64)
    try:
        values, vectors = eigsh(operator, count, which="LM", v0=start, tol=tolerance)
    except ArpackError as error:
        raise BrfkitError(f"hessian: the eigenvalues do not converge ({' '.join(str(error).split())[:120]})") from None
    order = np.argsort(-np.abs(values))
    ordered, vectors = values[order], vectors[:, order].T
    away = [np.linalg.norm(times(v) - value * v) / abs(value) for value, v in zip(ordered, vectors, strict=True)]
    return HessianSpectrum(tuple(map(float, ordered)), tuple(map(float, away)), products)


def flat(weights: Mapping[str, NDArray], names: Sequence[str]) -> Vector:
    return np.concatenate([weights[name].astype(np.float64).ravel() for name in names])


def replaced(weights: Mapping[str, NDArray], names: Sequence[str], values: Vector) -> dict[str, NDArray]:
    """All weights, those called `names` taken from a flat vector."""
    out, start = dict(weights), 0
    for name in names:
        like = weights[name]
        out[name] = values[start : start + like.size].reshape(like.shape).astype(like.dtype)
        start += like.size
    return out
