"""Custom data in the layout of SHD, in .ts files and in CSV tables, and what is refused of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brfkit.data import Binning, EventSplit, dataset_spec, load
from brfkit.data.formats.named import open_named
from brfkit.errors import BrfkitError

from .made import recordings, write_recordings

HEADER = "#comment\n@problemName toy\n@timeStamps false\n@classLabel true up down\n@data\n"
CSV = "sample,label,part,group,a,b\n0,walk,train,7,1,2\n0,walk,train,7,3,4\n1,sit,train,8,5,6\n1,sit,train,8,7,8\n2,sit,test,9,0,1\n2,sit,test,9,1,0\n"  # fmt: skip  # noqa: E501


def test_layout_of_shd_is_read_as_shd_is(tmp_path: Path) -> None:
    content = recordings(12)
    for name in ("my_train.h5", "my_test.h5"):
        write_recordings(tmp_path / name, content)
    data = load(str(tmp_path / "my_train.h5"))
    assert data.binning is not None
    assert data.binning.width == 0.004
    assert (len(data.train), len(data.test), data.classes) == (12, 12, 12)
    assert isinstance(data.train, EventSplit)
    assert data.train.groups is not None
    assert data.train.groups.tolist() == content["speaker"].tolist()
    events, y = data.train.batch(np.arange(12))
    assert y.tolist() == content["labels"].tolist()
    for n in range(12):
        wanted = np.zeros((data.steps, data.channels))
        steps = np.floor(content["times"][n].astype(np.float64) / 0.004 + 1e-9).astype(int)
        np.add.at(wanted, (steps, content["units"][n]), 1)
        np.testing.assert_array_equal(events.dense()[:, n], wanted)
    alone = load(str(write_recordings(tmp_path / "one.h5", content)), test_fraction=0.25)
    assert (len(alone.train), len(alone.test)) == (9, 3)


def test_layout_of_shd_with_names_and_another_unit(tmp_path: Path) -> None:
    content = recordings(6, classes=3) | {"keys": np.array([b"a", b"b", b"c", b"d"])}
    path = write_recordings(tmp_path / "a.h5", content)
    seconds = load(str(path), splits=("train",))
    assert seconds.class_names == ("a", "b", "c", "d")
    content["times"] = [(1000 * row.astype(np.float32)).astype(np.float32) for row in content["times"]]
    milli = load(str(write_recordings(tmp_path / "b.h5", content)), splits=("train",), binning=Binning(unit="ms"))
    assert abs(milli.steps - seconds.steps) <= 1


def test_layout_of_shd_that_lacks_something(tmp_path: Path) -> None:
    content = recordings(6)
    del content["units"]
    with pytest.raises(BrfkitError, match=r"a\.h5: has no dataset spikes/units"):
        load(str(write_recordings(tmp_path / "a.h5", content)))
    write_recordings(tmp_path / "b_train.h5", recordings(6, classes=3) | {"keys": np.array([b"a", b"b", b"c"])})
    write_recordings(tmp_path / "b_test.h5", recordings(6, classes=3) | {"keys": np.array([b"a", b"c", b"b"])})
    with pytest.raises(BrfkitError, match="name other classes"):
        load(str(tmp_path / "b_train.h5"))


def test_ts_files(tmp_path: Path) -> None:
    (tmp_path / "Toy_TRAIN.ts").write_text(HEADER + "1,2,3:4,5,6:down\n0.5,1e1,-2:0,0,0:up\n")
    (tmp_path / "Toy_TEST.ts").write_text(HEADER + "9,9,9:8,8,8:up\n")
    data = load(str(tmp_path / "Toy_TRAIN.ts"))
    assert (data.steps, data.channels, data.class_names) == (3, 2, ("up", "down"))
    x, y = data.train.batch([0, 1])
    np.testing.assert_array_equal(x[:, 0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(x[:, 1], [[0.5, 0], [10, 0], [-2, 0]])
    assert y.tolist() == [1, 0]
    assert data.test.y.tolist() == [0]


def test_series_of_different_length_are_padded_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(HEADER + "1,2,3:down\n4:up\n")
    with open_named(tmp_path / "a.ts") as arrays:
        x, lengths = arrays.read("x_train", "number", 3), arrays.read("lengths_train", "integer", 1)
    assert x is not None
    assert lengths is not None
    assert x[:, :, 0].tolist() == [[1, 2, 3], [4, 0, 0]]
    assert lengths.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line @data"),
        ("1,2:up\n", "line 1 stands before @data"),
        ("@timeStamps true\n@data\n", "line 1: series with timestamps"),
        ("@classLabel false\n@data\n1:up\n", "names no classes"),
        (HEADER, "holds no series"),
        (HEADER + "1,2:left\n", "line 6 ends with 'left', none of up down"),
        (HEADER + "1,?:up\n", r"line 6: '\?' is a missing value"),
        (HEADER + "1,x:up\n", "line 6: 'x' is no number"),
        (HEADER + "1,nan:up\n", "line 6 holds values that are not finite"),
        (HEADER + "1,2:3:up\n", "line 6: its dimensions have 2, 1 values"),
        (HEADER + "up\n", "line 6 holds no series"),
        (HEADER + "1:2:up\n3:up\n", "series have 1 and 2 channels"),
    ],
)
def test_ts_files_that_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(text)
    with pytest.raises(BrfkitError, match=rf"a\.ts.*{says}") as found:
        load(str(tmp_path / "a.ts"))
    assert "\n" not in str(found.value)


def test_csv_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    data = load(str(tmp_path / "a.csv"))
    assert (data.steps, data.channels, data.class_names) == (2, 2, ("sit", "walk"))
    x, y = data.train.batch([0, 1])
    np.testing.assert_array_equal(x.transpose(1, 0, 2), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    assert y.tolist() == [1, 0]
    assert data.train.groups is not None
    assert data.train.groups.tolist() == [7, 8]
    assert len(data.test) == 1
    (tmp_path / "b.csv").write_text("label,sample,v\n10,a,1\n9,a,2\n10,b,3\n10,b,4\n")
    spec = dataset_spec(str(tmp_path / "b.csv"))
    assert spec.class_names == ("9", "10")
    assert spec.labels_per_step
    assert load(str(tmp_path / "b.csv"), splits=("train",)).train.y.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name the column 'sample' once"),
        ("sample,x\n", "must name the column 'label' once"),
        ("sample,label\n0,1\n", "at least one channel"),
        ("sample,label,x,x\n", "no column twice"),
        ("sample,label,x\n", "holds no training samples"),
        ("sample,label,x\n0,1\n", "line 2 has 2 fields, the first line has 3"),
        ("sample,label,x\n0,1,a\n", "line 2: 'a' is no number"),
        ("sample,label,x\n0,1,inf\n", "line 2 holds values that are not finite"),
        ("sample,label,x\n0,,1\n", "line 2 has no label"),
        ("sample,label,x\n0,1,1\n1,1,1\n0,1,1\n", "line 4: sample '0' goes on here"),
        ("sample,label,part,x\n0,1,dev,1\n", "of part 'dev', none of train"),
        ("sample,label,group,x\n0,1,ann,1\n", "group 'ann', which is no integer"),
    ],
)
def test_csv_tables_that_are_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BrfkitError, match=rf"a\.csv.*{says}") as found:
        load(str(tmp_path / "a.csv"))
    assert "\n" not in str(found.value)


def test_text_that_is_none(tmp_path: Path) -> None:
    for name in ("a.csv", "a.ts"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(BrfkitError, match="is not UTF-8 text"):
            load(str(tmp_path / name))
        with pytest.raises(BrfkitError, match="cannot be read: No such file"):
            load(str(tmp_path / "none" / name))
