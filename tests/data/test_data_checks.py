"""Checks of labels and recordings of custom data before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brfkit.data import load
from brfkit.data.checks import check_trainable
from brfkit.errors import BrfkitError

from .made import own_dense, own_events, write_own


def notes(path: Path, **changes: object) -> tuple[str, ...]:
    return check_trainable(load(str(write_own(path / "a.npz", own_dense() | changes))))


def test_sound_data_have_no_notes(tmp_path: Path) -> None:
    assert notes(tmp_path) == ()
    assert check_trainable(load("tones", limit_train=100, limit_test=100)) == ()


def test_classes_that_no_sample_has(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, y_train=np.arange(6) % 3 + 1, y_test=np.array([1, 2, 3]))
    assert note.startswith("4 classes, of which no sample has class 0: the readout has a unit for each")
    wide = {"x_train": np.ones((12, 5, 2)), "y_train": np.arange(12) % 3 * 5, "y_test": np.array([0, 5, 10])}
    (note,) = notes(tmp_path, **wide)
    assert note.startswith("11 classes, of which no sample has classes 1, 2, 3, 4, 6 and 3 more")


def test_classes_in_one_part_only(tmp_path: Path) -> None:
    first, second = notes(tmp_path, y_train=np.array([0, 1, 0, 1, 0, 1]), y_test=np.array([1, 2, 2]))
    assert first.startswith("the training part has no sample of class 2, the test part has")
    assert second == "the test part has no sample of class 0"


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrfkitError, match="all training labels are of class 1; at least two classes are needed"):
        notes(tmp_path, y_train=np.ones(6, int))


def test_empty_recordings(tmp_path: Path) -> None:
    x = own_dense()["x_train"].copy()
    x[2] = 0
    assert notes(tmp_path, x_train=x) == ("1 of 6 recordings of the train part are empty (no spikes, or only 0)",)
    with pytest.raises(BrfkitError, match="all recordings of the training part are empty"):
        notes(tmp_path, x_train=0 * x)
    events = load(str(write_own(tmp_path / "b.npz", own_events())))
    assert "1 of 6 recordings of the train part are empty (no spikes, or only 0)" in check_trainable(events)
