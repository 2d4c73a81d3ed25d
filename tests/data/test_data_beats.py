"""Beats as labels: classes of symbols, stretches around beats, windows, and a real record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from brfkit.cli import run
from brfkit.data import load
from brfkit.data.formats.beats import beat_windows, beats, encode_beats, step_labels
from brfkit.data.formats.levelcross import UNLABELLED, level_cross
from brfkit.errors import BrfkitError


def test_symbols_that_mark_no_beat_are_passed_over() -> None:
    positions, classes = beats([5, 18, 77, 90, 120, 130], ["+", "N", "A", "~", "V", "("])
    assert positions.tolist() == [18, 77, 120]
    assert classes.tolist() == [0, 1, 2]


def test_steps_belong_to_the_nearest_beat() -> None:
    labels = step_labels(np.array([4, 10, 14]), np.array([0, 2, 1]), 20)
    assert labels.tolist() == [UNLABELLED] * 1 + [0] * 6 + [2] * 5 + [1] * 5 + [UNLABELLED] * 3
    assert (step_labels(np.array([4]), np.array([0]), 20) == UNLABELLED).all()


def test_windows_have_the_beat_in_the_middle() -> None:
    events = np.arange(40, dtype=np.uint8).reshape(20, 2)
    x, y = beat_windows(events, np.array([1, 4, 10, 19]), np.array([0, 1, 2, 0]), 6)
    assert x[:, 3, 0].tolist() == [8, 20]
    assert y.tolist() == [1, 2]


@pytest.fixture
def record(data_dir: Path) -> Path:
    pytest.importorskip("wfdb")
    path = data_dir / "wfdb" / "100"
    if not path.with_suffix(".atr").is_file():
        pytest.skip("there is no record 100")
    return path


def test_a_record_of_the_arrhythmia_database(record: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import wfdb

    out = tmp_path / "beats.npz"
    assert run(["data", "encode", str(record), "--annotations", "atr", "--out", str(out), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    # Record 100 has 2239 normal beats, 33 atrial premature ones and 1 ventricular one; two lie too near to an end.
    assert (told["samples"], told["steps"], told["classes"]) == (2271, 256, 3)
    data = load(str(out), test_fraction=0.2)
    assert data.class_names == ("N", "S", "V")
    assert (data.steps, data.channels, data.labels_per_step) == (256, 4, False)
    assert len(data.train) + len(data.test) == 2271
    with np.load(out) as file:
        assert np.bincount(file["y_train"]).tolist() == [2237, 33, 1]
        assert not file["groups_train"].any()
        signal = wfdb.rdrecord(str(record)).p_signal
        marks = wfdb.rdann(str(record), "atr")
        second = int(marks.sample[[i for i, s in enumerate(marks.symbol) if s in "NAV"][1]])
        events = level_cross(signal[: second + 128], 0.1)
        np.testing.assert_array_equal(file["x_train"][0], events[second - 128 :])


def test_labels_for_each_step(record: Path) -> None:
    split, names = encode_beats([record], steps=1000, labels="step")
    assert names == ("N", "S", "V")
    assert split.y.shape == split.x.shape[:2] == (len(split), 1000)
    assert len(split) >= 640


def test_a_record_without_such_annotations(record: Path) -> None:
    with pytest.raises(BrfkitError, match="not a readable WFDB record with q1c annotations"):
        encode_beats([record], annotations="q1c")
    with pytest.raises(BrfkitError, match="not 'wave'"):
        encode_beats([record], labels="wave")
