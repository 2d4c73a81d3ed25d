"""``brfkit.train`` and ``brfkit.sweep``: from settings to trained networks in run folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.data import Dataset
from brfkit.errors import BrfkitError
from brfkit.plotting.curves import learning_curve
from brfkit.runs.config import Config
from brfkit.runs.folder import new_folder
from brfkit.runs.resolve import resolve
from brfkit.setups import SplitLike, dataset_of
from brfkit.sweeps.results import StudyResult
from brfkit.sweeps.run import run_study
from brfkit.sweeps.study_file import StudySpec
from brfkit.training.epochs import Run
from brfkit.training.run import train as train_in_folder

if TYPE_CHECKING:
    from typing_extensions import Unpack


class TrainOptions(TypedDict, total=False):
    """Keyword arguments of :func:`train` that change where and how, not what.

    Attributes:
        backend: name of the compute backend, or one.
        threads: CPU threads; None takes all processors.
        data_dir: folder of the data sets.
        resume: go on with the run in the folder.
        force: overwrite it.
    """

    backend: str | Backend
    threads: int | None
    data_dir: str | os.PathLike[str] | None
    resume: bool
    force: bool


def train(
    dataset: str | Config | None = None,
    neuron: str | None = None,
    *,
    run_dir: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    config: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    data: Dataset | Mapping[str, SplitLike] | None = None,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a network as ``brfkit train`` does.

    Args:
        dataset, neuron: choose the published settings that everything else starts from; or, in place of all that says
            what to train, a whole :class:`brfkit.runs.config.Config`.
        run_dir: folder of the run; None makes one under ``runs``.
        preset: name of other settings to start from (:mod:`brfkit.runs.presets`).
        config: file with settings.
        settings: sections of single settings, such as ``{"training": {"epochs": 5}}``.
        data: samples in place of a named data set: a loaded one, or the parts ``train`` and ``test``, each as arrays
            x (N, T, I) and y (N,) or (N, T), as a split, or as a ``torch.utils.data.Dataset`` of pairs (x, y).
        options: see :class:`TrainOptions`.

    Returns:
        Figures of the run; ``network`` is the trained network, ``metrics`` what was measured after every epoch.

    Raises:
        BrfkitError: bad data or settings, a folder that holds a run already, or files that cannot be written.
    """
    samples = _samples(dataset, data)
    if isinstance(dataset, Config):
        if not (neuron is preset is config is settings is None):
            raise BrfkitError("a whole configuration leaves no room for neuron, preset, config or settings")
        resolved = dataset
    else:
        file = None if config is None else Path(config)
        per_step = None if samples is None else samples.labels_per_step
        dataset = dataset if samples is None else samples.name
        resolved = resolve(
            dataset, neuron, preset=preset, file=file, overrides=settings, labels_per_step=per_step
        )  # fmt: skip
    backend = options.get("backend", "auto")
    return train_in_folder(
        resolved,
        new_folder(resolved) if run_dir is None else Path(run_dir),
        get_backend(backend, threads=options.get("threads")) if isinstance(backend, str) else backend,
        data_dir=options.get("data_dir"),
        resume=options.get("resume", False),
        force=options.get("force", False),
        picture=learning_curve,
        data=samples,
    )


def _samples(dataset: str | Config | None, data: Dataset | Mapping[str, SplitLike] | None) -> Dataset | None:
    """The samples that were given as objects, if any were."""
    if data is None:
        return None
    if dataset is not None:
        raise BrfkitError("dataset names samples and data holds them; give one of them")
    missing = {"train", "test"} - set(data.splits if isinstance(data, Dataset) else data)
    if missing:
        raise BrfkitError(f"data has no part {min(missing)!r}; train and test are needed")
    return data if isinstance(data, Dataset) else dataset_of(data)


__all__ = ["TrainOptions", "train"]


def sweep(
    study: str | os.PathLike[str] | StudySpec,
    folder: str | os.PathLike[str] | None = None,
    *,
    trials: int | None = None,
    storage: str | None = None,
    backend: str | Backend = "auto",
    threads: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> StudyResult:
    """Run a hyper-parameter study in this process, as ``brfkit sweep`` does; a study that is there already goes on.

    Args:
        study: study file (``.toml``), or what :func:`brfkit.sweeps.study_file.parse_study` made of its tables.
        folder: of the study; None takes ``sweeps/<name>``.
        trials, storage: in place of those of the study.
        backend, threads: compute backend.
        data_dir: folder of the data sets.

    Raises:
        BrfkitError: the study makes no sense, another one is in its folder or storage, or a file cannot be read or
            written.
    """
    return run_study(
        study if isinstance(study, StudySpec) else Path(study),
        None if folder is None else Path(folder),
        backend=backend,
        threads=threads,
        trials=trials,
        storage=storage,
        data_dir=None if data_dir is None else Path(data_dir),
        picture=learning_curve,
    )
