"""The functions behind the commands, for use from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from brfkit.analysis.network.simulate import simulate_network
from brfkit.backends import get_backend
from brfkit.evaluation import evaluate as evaluate_network
from brfkit.simulation import simulate
from brfkit.subject import open_subject


def train(
    dataset: str | None = None,
    neuron: str | None = None,
    *,
    run_dir: str | Path,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    backend: str = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Any:
    """Train a network as ``brfkit train`` does.

    Args:
        dataset, neuron: choose the published settings that everything else starts from.
        run_dir: folder of the run.
        preset: name of other settings to start from (:mod:`brfkit.runs.presets`).
        config: file with settings.
        settings: sections of single settings, such as ``{"training": {"epochs": 5}}``.
        backend, threads: who computes.
        data_dir: folder of the data sets.
        resume, force: go on with a run, or overwrite it.

    Returns:
        :class:`brfkit.training.run.Result`.
    """
    from brfkit.plotting.curves import learning_curve
    from brfkit.runs.resolve import resolve
    from brfkit.training.run import train as run

    resolved = resolve(dataset, neuron, preset=preset, file=config, overrides=settings)
    return run(
        resolved, run_dir, get_backend(backend, threads=threads), data_dir=data_dir, resume=resume, force=force,
        picture=learning_curve,
    )  # fmt: skip


def evaluate(
    checkpoint: str | Path,
    dataset: str | None = None,
    *,
    neuron: str | None = None,
    permutation: Any = None,
    limit_test: int | None = None,
    batch_size: int = 256,
    dtype: str = "float32",
    backend: str = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a trained network on a test set as ``brfkit evaluate`` does.

    Args:
        checkpoint: run folder, checkpoint file, or published ``.pt``.
        dataset: None takes the one of the run.
        neuron: for a published file, which neuron it holds.
        permutation: for psmnist, array or ``.npy`` file; None takes the one saved with the run.
        limit_test, batch_size, dtype, backend, threads, data_dir, seed, progress: as for the command.

    Returns:
        The JSON object of the command: data set, neuron, backend, samples, accuracy (percent), loss, spikes.
    """
    subject = open_subject(
        checkpoint, dataset, neuron=neuron, permutation=permutation, samples=limit_test, dtype=dtype, backend=backend,
        threads=threads, data_dir=data_dir, seed=seed,
    )  # fmt: skip
    result = evaluate_network(
        subject.network, subject.weights, subject.split, subject.task, subject.backend, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    return {
        "dataset": subject.data.name,
        "neuron": subject.neuron,
        "backend": subject.backend.name,
        **result.to_dict(),
        "parameters": subject.network.parameter_count(),
    }


__all__ = ["evaluate", "simulate", "simulate_network", "train"]
