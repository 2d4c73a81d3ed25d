"""Gradient norm of a trained network at every time step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.network.gradients.eigenvalues import eigenvalues, trajectory, transitions
from brfkit.analysis.network.gradients.flow import Scanned, StateGradients, norms
from brfkit.analysis.network.gradients.result import Curve, Eigenvalues, GradientFlow, write_gradients
from brfkit.errors import BrfkitError
from brfkit.setups import DataLike, Setup, SetupOptions, set_up
from brfkit.task import LAST, Task
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

FACTOR = 1e3  # a gradient has vanished below 1/FACTOR of what it was at the last step, exploded above FACTOR of it
BAND = (10.0, 90.0)  # percentiles of the samples or neurons


def gradients(
    network: NetworkLike,
    dataset: DataLike | None = None,
    *,
    samples: int = 16,
    points: int = 200,
    split: str = "test",
    check: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SetupOptions],
) -> GradientFlow:
    """The gradient of the loss of single samples with respect to the states at every moment before.

    Two losses: that of the task, ``task``, and the one of the last step alone, ``last``, which shows how far back a
    gradient reaches. Spikes pass it on by their surrogate, as in training. Shapes: K points in time, H neurons of a
    layer with S states (Higuchi, Bohté, Otte, arXiv:2406.00389).

    Args:
        network: a trained network, or the path of one.
        dataset: name or file of a data set, a loaded one, or arrays ``(x, y)``; None takes what it was trained on.
        samples: the first so many of `split`; each gradient is that of one sample's own loss.
        points: at most so many moments are kept.
        check: compare with autograd (torch backend) on the first sample.
        progress: called with passes done and passes in all.
        options: see :class:`brfkit.setups.SetupOptions`; float64 where no dtype is given.

    Raises:
        BrfkitError: checkpoint or data cannot be read or do not fit, or there is no sample or spiking layer.
    """
    began = time.perf_counter()
    if samples < 1 or points < 2:
        raise BrfkitError(f"at least one sample and two points are needed, not {samples} and {points}")
    dtype = options.setdefault("dtype", np.float64)
    setup = set_up(network, dataset, split=split, samples=samples, **options)
    if not setup.network.spiking_layers:
        raise BrfkitError(f"{setup.name} has no spiking layer, so no gradient travels through one")
    x, labels = setup.split.batch(np.arange(len(setup.split)), dtype)
    advance = _counter(progress, 3 + check)
    segment = max(-(-setup.data.steps // points), 1)
    scanned = {cut: Scanned(setup.network, setup.weights, x, setup.backend, segment, cut) for cut in (False, True)}
    advance()
    losses = {"task": setup.task, LAST: Task(LAST, LAST)}
    found = {
        loss: [scanned[cut].gradients(loss_gradient(task, scanned[cut].outputs, labels)) for cut in (False, True)]
        for loss, task in losses.items()
    }
    advance()
    layers = setup.network.spiking_layers
    steps = found["task"][0].steps
    flow = GradientFlow(
        name=setup.name,
        neuron=setup.neuron,
        dataset=setup.data.name,
        backend=setup.backend.name,
        samples=len(setup.split),
        dt=setup.network.dt,
        total_steps=scanned[False].steps,
        steps=steps,
        curves={loss: {y.name: _curve(*(norms(g, y) for g in pair)) for y in layers} for loss, pair in found.items()},
        eigenvalues=_eigenvalues(setup, steps),
        parameters={loss: _weights(*pair) for loss, pair in found.items()},
        autograd_difference=_compare(setup, segment, losses["task"]) if check else None,
        seconds=time.perf_counter() - began,
    )
    advance()
    return flow


def _counter(progress: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, total), total)

    return advance


def loss_gradient(task: Task, outputs: NDArray, labels: NDArray[np.int64]) -> NDArray:
    """Gradient of the sum over samples of each sample's loss with respect to the outputs [T, B, O]."""
    import torch

    from brfkit.training.losses import task_loss

    leaf = torch.tensor(outputs, requires_grad=True)
    loss = task_loss(task, leaf, torch.from_numpy(np.ascontiguousarray(labels))) * outputs.shape[1]
    return torch.autograd.grad(loss, leaf)[0].numpy()


def _curve(whole: NDArray[np.float64], cut: NDArray[np.float64]) -> Curve:
    """From the gradients of the neurons [K, B, H]."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total = np.sqrt((whole**2).sum(-1))  # [K, B]
        alone = np.sqrt((cut**2).sum(-1))
        last = np.sqrt((whole[-1] ** 2).mean(-1))[:, None]  # [B, 1]
        low, high = np.percentile(total, BAND, axis=1)
        return Curve(
            norm=np.exp(np.log(total).mean(-1)),
            low=low,
            high=high,
            without_w_rec=np.exp(np.log(alone).mean(-1)),
            lost=(whole < last / FACTOR).mean((1, 2)),
            exploded=(whole > last * FACTOR).mean((1, 2)),
        )


def _eigenvalues(setup: Setup, steps: NDArray[np.int64]) -> dict[str, Eigenvalues]:
    x, _ = setup.split.batch([0], np.float64)
    weights = {name: value.astype(np.float64) for name, value in setup.weights.items()}
    records = trajectory(setup.network, weights, x, setup.backend)
    found: dict[str, Eigenvalues] = {}
    for layer in setup.network.spiking_layers:
        values = eigenvalues(transitions(setup.network, weights, x, records, layer, steps)[:, 0])
        largest = np.abs(values[..., 0])
        low, median, high = np.nanpercentile(largest, (BAND[0], 50.0, BAND[1]), axis=1)
        found[layer.name] = Eigenvalues(values, median, low, high)
    return found


def _weights(whole: StateGradients, cut: StateGradients) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    for name, value in whole.weights.items():
        norm = float(np.linalg.norm(value))
        other = float(np.linalg.norm(value - cut.weights[name]))
        figures[name] = {
            "norm": norm,
            "without_w_rec": float(np.linalg.norm(cut.weights[name])),
            "share_through_w_rec": other / norm if norm else 0.0,
        }
    return figures


def _compare(setup: Setup, segment: int, task: Task) -> float:
    """Largest deviation from autograd over the largest gradient, in float64, of states and weights."""
    from brfkit.backends import get_backend

    x, labels = setup.split.batch([0], np.float64)
    weights = {name: value.astype(np.float64) for name, value in setup.weights.items()}
    pair = []
    for backend in (setup.backend, get_backend("torch")):
        scanned = Scanned(setup.network, weights, x, backend, segment)
        gradients = scanned.gradients(loss_gradient(task, scanned.outputs, labels))
        pair.append(gradients.states | gradients.weights)
    ours, theirs = pair
    return max(
        float(np.abs(ours[name] - value).max() / np.abs(value).max())
        for name, value in theirs.items()
        if np.abs(value).max() > 0
    )


gradient_flow = gradients  # the former name, for one release

__all__ = ["Curve", "Eigenvalues", "GradientFlow", "gradient_flow", "gradients", "loss_gradient", "write_gradients"]
