"""The data set that a configuration asks for. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from brfkit.data import AudioSettings, Binning, Dataset, Split, holdout, load
from brfkit.data.binning import binning_named
from brfkit.errors import BrfkitError
from brfkit.runs.config import FRONT_END_SETTINGS, DataConfig

_SPLIT_STREAM = 1


def get_binning(data: DataConfig) -> Binning | None:
    """The binning of event data, or None where the data set's own is wanted."""
    given = {
        "width": data.bin_width,
        "steps": data.bins,
        "counts": data.bin_counts,
        "align": data.bin_align,
        "unit": data.time_unit,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    if data.binning is None and not changed:
        return None
    return replace(binning_named(data.binning or "full"), **changed)  # type: ignore[arg-type]


def get_audio(data: DataConfig) -> AudioSettings | None:
    """How recordings are read, or None where nothing is said of it."""
    given = {name: value for name in FRONT_END_SETTINGS if (value := getattr(data, name)) is not None}
    if data.test_speakers:
        given["test_speakers"] = data.test_speakers
    if data.test_seed:
        given["test_seed"] = data.test_seed
    if data.test_speakers and data.test_fraction is not None:
        raise BrfkitError("data.test_speakers and data.test_fraction exclude each other; give one of them")
    return AudioSettings(**given) if given else None


def load_dataset(
    data: DataConfig,
    *,
    seed: int,
    data_dir: str | os.PathLike[str] | None = None,
    splits: Sequence[str] = ("train", "test"),
    permutation: Any = None,
) -> Dataset:
    """Read what ``data`` asks for.

    Args:
        data: settings.
        seed: draws the permutation of psmnist where none is given.
        data_dir: folder of the data sets.
        splits: which parts to read.
        permutation: takes the place of the one in ``data``.
    """
    return load(
        data.dataset,
        data_dir=data_dir,
        limit_train=data.limit_train,
        limit_test=data.limit_test,
        permutation=data.permutation if permutation is None else permutation,
        seed=seed,
        splits=splits,
        binning=get_binning(data),
        test_fraction=data.test_fraction,
        audio=get_audio(data),
        ignore_unlabelled=data.ignore_unlabelled,
    )


def split_validation(train: Split, data: DataConfig, seed: int) -> tuple[Split, Split | None]:
    """A part of the training set for validation, the same for the same seed; None where it is empty."""
    if int(len(train) * data.validation_fraction) == 0:
        return train, None
    by_group, blocks = data.validation == "speakers", data.validation_blocks * (data.validation == "blocks")
    draw = [seed, _SPLIT_STREAM]
    kept, aside = holdout(train, data.validation_fraction, seed=draw, by_group=by_group, blocks=blocks)
    return train.select(kept), train.select(aside)
