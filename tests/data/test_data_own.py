"""A user's own files: the documented example, both forms in both containers, and what is refused."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from brfkit.data import Binning, EventSplit, dataset_spec, load
from brfkit.errors import BrfkitError
from brfkit.events import Events

from .made import own_dense, own_events, write_own

DOCS = Path(__file__).parents[2] / "docs" / "data.md"
SUFFIXES = (".npz", ".h5")


def test_examples_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        exec(compile(example, str(DOCS), "exec"), {})
    assert {path.name for path in tmp_path.glob("*.npz")} == {"own.npz", "spikes.npz"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i8", ">f4", "?"])
def test_dense(suffix: str, per_step: bool, dtype: str, tmp_path: Path) -> None:
    content = own_dense(per_step)
    for part in ("train", "test"):
        content[f"x_{part}"] = (4 * content[f"x_{part}"]).astype(dtype)
    path = write_own(tmp_path / f"a{suffix}", content)
    data = load(str(path))
    assert (len(data.train), len(data.test), data.steps, data.channels, data.classes) == (6, 3, 5, 2, 3)
    assert data.labels_per_step is per_step
    assert data.binning is None
    assert data.name == str(path)
    x, y = data.train.batch([4, 0], np.float64)
    np.testing.assert_array_equal(x, content["x_train"][[4, 0]].transpose(1, 0, 2).astype(float))
    np.testing.assert_array_equal(y, content["y_train"][[4, 0]].T)
    assert dataset_spec(str(path)).class_names == ("0", "1", "2")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_events(suffix: str, tmp_path: Path) -> None:
    content = own_events()
    data = load(str(write_own(tmp_path / f"a{suffix}", content)), limit_train=3)
    assert (len(data.train), len(data.test), data.steps, data.channels) == (3, 2, 10, 8)
    assert data.binning == Binning(width=0.1, steps=10)
    assert isinstance(data.train, EventSplit)
    events, y = data.train.batch([2, 0])
    assert isinstance(events, Events)
    np.testing.assert_array_equal(y, content["y_train"][[2, 0]])
    expected = np.zeros((10, 2, 8))
    for b, n in enumerate([2, 0]):
        at = slice(*content["offsets_train"][n : n + 2])
        step = np.minimum((content["times_train"][at] / 0.1).astype(int), 9)
        np.add.at(expected, (step, b, content["units_train"][at]), 1)
    np.testing.assert_array_equal(events.dense(), expected)


def test_steps_and_channels_from_the_data(tmp_path: Path) -> None:
    content = own_events()
    del content["steps"], content["channels"]
    content["times_test"][0] = 1.95
    content["units_train"][0] = 30
    data = load(str(write_own(tmp_path / "a.npz", content)))
    assert (data.steps, data.channels) == (20, 31)
    content["times_test"][0] = 2.0
    assert load(str(write_own(tmp_path / "a.npz", content))).steps == 21
    assert load(str(tmp_path / "a.npz"), binning=Binning(width=0.5)).steps == 5
    assert load(str(tmp_path / "a.npz"), binning="paper").steps == 250


def test_whole_times_and_labels_per_step(tmp_path: Path) -> None:
    content = own_events() | {"bin_width": 2, "steps": 5}
    content |= {f"times_{part}": np.arange(len(content[f"times_{part}"])) % 9 for part in ("train", "test")}
    content |= {f"y_{part}": np.ones((len(content[f"y_{part}"]), 5), int) for part in ("train", "test")}
    data = load(str(write_own(tmp_path / "a.npz", content)))
    assert data.labels_per_step
    assert data.train.batch([0, 1])[1].shape == (5, 2)
    content["y_test"] = content["y_test"][:, :4]
    with pytest.raises(BrfkitError, match=r"y_test has shape \(2, 4\); \(2,\) or \(2, 5\)"):
        load(str(write_own(tmp_path / "a.npz", content)))


def test_single_numbers_as_attributes(tmp_path: Path) -> None:
    content = own_events()
    path = write_own(tmp_path / "a.h5", {k: v for k, v in content.items() if k not in ("steps", "bin_width")})
    with h5py.File(path, "r+") as file:
        file.attrs["steps"], file.attrs["bin_width"] = 10, 0.1
    assert load(str(path)).steps == 10


def test_names_groups_and_a_third_part(tmp_path: Path) -> None:
    content = own_dense()
    for part in ("x", "y"):
        content[f"{part}_valid"] = content[f"{part}_test"]
    content |= {"class_names": ["a", "ü", "c", "d"], "groups_train": np.arange(6) // 2}
    for suffix in SUFFIXES:
        path = str(write_own(tmp_path / f"a{suffix}", content))
        data = load(path, splits=["train", "valid"])
        assert data.class_names == ("a", "ü", "c", "d")
        assert data.train.groups is not None
        assert data.train.groups.tolist() == [0, 0, 1, 1, 2, 2]
        assert data.split("valid").groups is None
        assert data.spec.splits == ("train", "valid", "test")


def test_a_test_part_is_drawn_when_asked_for(tmp_path: Path) -> None:
    for name, content in (("dense", own_dense()), ("events", own_events())):
        path = str(write_own(tmp_path / f"{name}.npz", {k: v for k, v in content.items() if "test" not in k}))
        with pytest.raises(BrfkitError, match=r"has no test part; add .*_test and y_test, or .*--test-fraction"):
            load(path)
        assert len(load(path, splits=["train"]).train) == 6
        data, again = load(path, test_fraction=0.34), load(path, test_fraction=0.34, seed=5)
        assert (len(data.train), len(data.test)) == (4, 2)
        assert data.spec.samples == {"train": 4, "test": 2}
        np.testing.assert_array_equal(data.test.y, again.test.y)
        for fraction in (0.0, 1.0, -1, float("nan")):
            with pytest.raises(BrfkitError, match="fraction set aside must lie between"):
                load(path, test_fraction=fraction)
    with pytest.raises(BrfkitError, match="has a test part already"):
        load(str(write_own(tmp_path / "a.npz", own_dense())), test_fraction=0.2)


def dense(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in (own_dense() | changes).items() if v is not None}


def events(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in (own_events() | changes).items() if v is not None}


SPIKES = len(own_events()["times_train"])
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"a": np.zeros(3)}, "neither x_train nor times_train"),
    "both": (own_dense() | own_events(), "both x_train and times_train"),
    "no labels": (dense(y_train=None), "there is no y_train"),
    "no test labels": (dense(y_test=None), "there is no y_test"),
    "two dimensions": (dense(x_train=np.zeros((6, 5))), r"x_train has shape \(6, 5\), 3 dimensions"),
    "text": (dense(x_train=np.full((6, 5, 2), "a")), "x_train holds .*, numbers are needed"),
    "complex": (dense(x_train=np.zeros((6, 5, 2), complex)), "x_train holds complex128"),
    "nan": (dense(x_test=np.full((3, 5, 2), np.nan)), "x_test holds values that are not finite"),
    "no samples": (dense(x_train=np.zeros((0, 5, 2)), y_train=np.zeros(0, int)), "none of them 0"),
    "label count": (dense(y_train=np.zeros(5, int)), r"y_train has shape \(5,\); \(6,\) or"),
    "label steps": (dense(y_train=np.zeros((6, 4), int)), r"y_train has shape \(6, 4\)"),
    "unlike labels": (dense(y_train=np.zeros((6, 5), int)), r"y_test has shape \(3,\), y_train \(6, 5\)"),
    "float labels": (dense(y_train=np.zeros(6)), "y_train holds float64, integers"),
    "negative label": (dense(y_train=np.full(6, -2)), r"y_train holds -2\.\.-2"),
    "huge label": (dense(y_train=np.full(6, 1 << 40)), "classes are numbered from 0"),
    "unlike steps": (dense(x_test=np.zeros((3, 4, 2))), r"x_test has shape \(3, 4, 2\), x_train has \(N, 5, 2\)"),
    "more classes than labels": (
        dense(y_test=np.array([0, 1, 50])),
        "label 50 makes 51 classes, and there are 9 labels",
    ),
    "few names": (dense(class_names=["a", "b"]), "there is a label 2 and only 2 class_names"),
    "same names": (dense(class_names=["a", "a", "b"]), "not a list of different names"),
    "groups": (dense(groups_train=np.zeros(3, int)), "groups_train has 3 entries for 6"),
    "no units": (events(units_train=None), "there is no units_train"),
    "no offsets": (events(offsets_test=None), "there is no offsets_test"),
    "no width": (events(bin_width=None), "there is no bin_width"),
    "zero width": (events(bin_width=0.0), "bin width must be a positive"),
    "width list": (events(bin_width=np.ones(2)), "a single number is needed"),
    "nan width": (events(bin_width=np.nan), "bin_width is nan"),
    "negative steps": (events(steps=-3), "steps is -3, which is impossible"),
    "float steps": (events(steps=3.5), "steps holds float64|steps is not a integer"),
    "few channels": (events(channels=3), "there is a unit 7 and channels is 3"),
    "nan time": (events(times_train=np.full(SPIKES, np.nan)), r"times_train\[0\] = nan is not finite"),
    "negative time": (events(times_train=np.full(SPIKES, -0.1)), r"times_train\[0\] = -0.1 is negative"),
    "negative unit": (events(units_train=np.full(SPIKES, -1)), r"units_train holds -1\.\.-1"),
    "float units": (events(units_train=np.zeros(SPIKES)), "units_train holds float64"),
    "fewer units": (events(units_train=np.zeros(3, int)), f"{SPIKES} times and 3 units"),
    "offsets end": (events(offsets_train=np.arange(7)), "offsets_train must ascend from 0 to"),
    "offsets fall": (events(offsets_train=np.array([0, 9, 5, 20, 30, 40, SPIKES])), "must ascend"),
    "late": (events(steps=None, times_train=np.full(SPIKES, 1e9)), "needs more than 100000 bins"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, suffix: str, tmp_path: Path) -> None:
    content, message = REFUSED[case]
    path = write_own(tmp_path / f"a{suffix}", content)
    with pytest.raises(BrfkitError, match=message) as error:
        load(str(path))
    assert str(path) in str(error.value) or "bin width" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files(tmp_path: Path) -> None:
    for name in ("there/is/none.npz", "none.h5"):
        with pytest.raises(BrfkitError, match="cannot be read: No such file"):
            load(str(tmp_path / name))
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(BrfkitError, match="cannot be read: Is a directory"):
        load(str(tmp_path / "a.npz"))
    (tmp_path / "a.h5").write_text("words")
    with pytest.raises(BrfkitError, match=r"neither a \.npz nor an HDF5 file"):
        load(str(tmp_path / "a.h5"))
    path = write_own(tmp_path / "b.npz", own_dense())
    for options, message in (
        ({"permutation": np.arange(5)}, "takes no permutation"),
        ({"binning": "paper"}, "dense arrays, which take no binning"),
        ({"splits": ["valid"]}, "has no part 'valid'; it has train, test"),
    ):
        with pytest.raises(BrfkitError, match=message):
            load(str(path), **options)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return touched.touch, ()

    content = own_dense() | {"y_train": np.array([Touch()] * 6, object)}
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(BrfkitError, match="y_train holds object"):
        load(str(tmp_path / "a.npz"))
    assert not touched.exists()


def test_what_a_file_declares_is_bounded_by_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000, 1000), }"
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(BrfkitError, match="x_train declares the shape"):
        load(str(path))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x_train", (1 << 20, 1000, 1000), "f4", chunks=(1, 1000, 1000), compression="gzip")
    with pytest.raises(BrfkitError, match=r"x_train, of shape .* declares 4194304000000 bytes, 0 are stored"):
        load(str(tmp_path / "a.h5"))


def test_compressed_containers(tmp_path: Path) -> None:
    content = own_dense() | {"x_train": np.zeros((6, 500, 2), np.float32), "x_test": np.zeros((3, 500, 2), np.float32)}
    np.savez_compressed(tmp_path / "a.npz", **content)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in content.items():
            file.create_dataset(name, data=values, compression="gzip", shuffle=True)
    for suffix in SUFFIXES:
        assert load(str(tmp_path / f"a{suffix}")).steps == 500
