"""ECG-QTDB: the MAT reader against scipy's, the real files, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from brfkit.data import check_files, load
from brfkit.data.formats.mat5 import read_arrays
from brfkit.errors import BrfkitError

from .made import ecg_arrays

Write = Callable[..., Path]


def test_real_files(real_ecg: Path) -> None:
    data = load("ecg", data_dir=real_ecg)
    assert (len(data.train), len(data.test)) == (618, 141)
    assert (data.steps, data.channels, data.classes, data.labels_per_step) == (1300, 4, 6, True)
    x, y = data.train.batch(range(618), np.float64)
    assert x.shape == (1300, 618, 4)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert y.shape == (1300, 618)
    np.testing.assert_array_equal(np.bincount(y.ravel()), [100474 + 65697, 49448, 46481, 35742, 242613, 262945])
    assert [check.state for check in check_files("ecg", real_ecg)] == ["ok", "ok"]


def test_real_files_agree_with_scipy(real_ecg: Path) -> None:
    path = real_ecg / "ecg" / "QTDB_test.mat"
    theirs = scipy.io.loadmat(path)
    for name, array in read_arrays(path, ("x", "y", "t")).items():
        np.testing.assert_array_equal(array, theirs[name])
    split = load("ecg", data_dir=real_ecg, splits=["test"]).test
    x, y = split.batch([3, 140])
    np.testing.assert_array_equal(x, theirs["x"][[3, 140], :1300].transpose(1, 0, 2))
    np.testing.assert_array_equal(y, theirs["y"][[3, 140], :1300].argmax(-1).T)


def test_real_labels_follow_the_heart_beat(real_ecg: Path) -> None:
    """Each wave is followed by the next of the cycle P, PQ, QR, RS, ST, TP; unlabelled stretches excepted."""
    y = load("ecg", data_dir=real_ecg, splits=["train"]).train.y
    now, then = y[:, :-1].ravel(), y[:, 1:].ravel()
    leaving = (now != then) & (now != 0)
    assert (then[leaving] == (now[leaving] + 1) % 6).all()
    beats = [np.diff(np.flatnonzero((row[:-1] == 2) & (row[1:] == 3))) for row in y]
    assert 60 < 60 * 250 / np.median(np.concatenate(beats)) < 100  # per minute, at 250 steps a second


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "i2", "u1", "i8", ">f8"])
def test_reader_agrees_with_scipy(tmp_path: Path, compressed: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 90, shape).astype(dtype) for name, shape in [("a", (3, 4, 5)), ("long_name", (1, 7))]
    }
    others = {"text": "words", "cell": np.array([1, "x"], object), "struct": {"a": 1.0}, "sparse": scipy.sparse.eye(3)}
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {**others, **arrays, "scalar": 3.0}, do_compression=compressed)
    found = read_arrays(path, ("a", "long_name", "scalar"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    np.testing.assert_array_equal(found["scalar"], [[3.0]])


def test_made_file(write_ecg: Write) -> None:
    arrays = ecg_arrays()
    data = load("ecg", data_dir=write_ecg(arrays))
    x, y = data.train.batch([1, 0])
    np.testing.assert_array_equal(x, arrays["x"][[1, 0], :1300].transpose(1, 0, 2))
    np.testing.assert_array_equal(y, arrays["y"][[1, 0], :1300].argmax(-1).T)
    assert [check.state for check in check_files("ecg", write_ecg())] == ["different", "different"]


def test_negative_events_and_unlabelled_steps(write_ecg: Write) -> None:
    arrays = ecg_arrays()
    arrays["x"][0, 7, 2] = -1
    arrays["y"][1, 100:200] = 0
    x, y = load("ecg", data_dir=write_ecg(arrays)).test.batch([0, 1])
    assert x[7, 0, 2] == -1
    assert (y[100:200, 1] == 0).all()


def changed(name: str, at: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    arrays = ecg_arrays()
    arrays[name][at] = value
    return arrays


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "no y": ({"x": ecg_arrays()["x"]}, "holds no array y"),
    "nothing": ({}, "holds no array x, y"),
    "too few steps": ({"x": ecg_arrays()["x"][:, :1300], "y": ecg_arrays()["y"]}, "x has shape"),
    "channels": ({"x": ecg_arrays()["x"][..., :3], "y": ecg_arrays()["y"]}, "x has shape"),
    "one sample": ({"x": ecg_arrays()["x"][0], "y": ecg_arrays()["y"]}, "x has shape"),
    "no sample": ({"x": np.zeros((0, 1301, 4)), "y": np.zeros((0, 1301, 6))}, "x has shape"),
    "unequal": ({"x": ecg_arrays(3)["x"], "y": ecg_arrays(2)["y"]}, "y has shape"),
    "classes": ({"x": ecg_arrays()["x"], "y": ecg_arrays()["y"][..., :5]}, "y has shape"),
    "nan": (changed("x", (1, 5, 0), np.nan), "x holds values that are not finite"),
    "inf": (changed("y", (1, 5, 0), np.inf), "y holds values that are not finite"),
    "two": (changed("x", (0, 0, 0), 2), r"x holds -1.0\.\.2.0, only"),
    "half": (changed("x", (0, 0, 0), 0.5), "x holds -1"),
    "negative label": (changed("y", (0, 0, 0), -1), "y holds -1"),
    "two labels": (changed("y", (0, 3, 4), 1), "y is not one-hot"),
    "complex": ({"x": ecg_arrays()["x"] + 1j, "y": ecg_arrays()["y"]}, "x is not a real numeric array"),
    "text": ({"x": "words", "y": ecg_arrays()["y"]}, "x is not a real numeric array"),
    "cell": ({"x": np.array([1, "x"], object), "y": ecg_arrays()["y"]}, "x is not a real numeric array"),
    "struct": ({"x": {"a": 1.0}, "y": ecg_arrays()["y"]}, "x is not a real numeric array"),
    "sparse": ({"x": scipy.sparse.eye(4), "y": ecg_arrays()["y"]}, "x is not a real numeric array"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("compressed", [True, False])
def test_refused(case: str, compressed: bool, write_ecg: Write) -> None:
    arrays, message = REFUSED[case]
    root = write_ecg(arrays, do_compression=compressed)
    with pytest.raises(BrfkitError, match=message) as error:
        load("ecg", data_dir=root, splits=["train"])
    assert "QTDB_train.mat" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_versions_of_mat_files(write_ecg: Write) -> None:
    root = write_ecg({"x": np.ones((3, 3))}, format="4", do_compression=False)
    with pytest.raises(BrfkitError, match="MAT file"):
        load("ecg", data_dir=root)
    hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
    (root / "ecg" / "QTDB_train.mat").write_bytes(hdf5)
    with pytest.raises(BrfkitError, match="version 0x0200; version 5 is read"):
        load("ecg", data_dir=root)


def test_what_a_file_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"a": np.zeros(1000), "b": np.zeros(1000)}, do_compression=True)
    size = 8 + 16 + 16 + 8 + 8 + 8000  # tags, flags, dimensions, name and values of one matrix element
    for limit in (size - 1, size, 2 * size - 1):
        monkeypatch.setattr("brfkit.data.formats.mat5.MAX_BYTES", limit)
        with pytest.raises(BrfkitError, match=f"unpacks to more than {limit} bytes"):
            read_arrays(path, ("a",))
    monkeypatch.setattr("brfkit.data.formats.mat5.MAX_BYTES", 2 * size)
    assert read_arrays(path, ("a",))["a"].shape == (1, 1000)
    monkeypatch.setattr("brfkit.data.formats.mat5.MAX_BYTES", 100)
    with pytest.raises(BrfkitError, match="larger than the 100 bytes"):
        read_arrays(path, ("a",))


def test_a_file_of_very_many_variables(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {f"a{k}": 0 for k in range(1001)})
    with pytest.raises(BrfkitError, match="more than 1000 variables"):
        read_arrays(tmp_path / "a.mat", ("a5",))


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "ecg" / "QTDB_train.mat").mkdir(parents=True)
    with pytest.raises(BrfkitError, match="is not in"):
        load("ecg", data_dir=tmp_path)
