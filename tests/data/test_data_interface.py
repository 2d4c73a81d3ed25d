"""Splits, batches, `load` and where data lie; on generated and made data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import brfkit.data
from brfkit.data import DenseSplit, check_files, data_folder, dataset_names, dataset_spec, load
from brfkit.errors import BrfkitError


def dense(samples: int = 5, steps: int = 4, channels: int = 3, per_step: bool = False) -> DenseSplit:
    x = np.arange(samples * steps * channels, dtype=np.uint8).reshape(samples, steps, channels)
    y = np.arange(samples * (steps if per_step else 1), dtype=np.int64)
    return DenseSplit(x, y.reshape(samples, steps) if per_step else y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per_step", [False, True])
def test_batch_is_time_major_and_contiguous(dtype: type, per_step: bool) -> None:
    split = dense(per_step=per_step)
    x, y = split.batch([4, 0, 4], dtype)
    assert x.shape == (4, 3, 3)
    assert x.dtype == dtype
    assert x.flags.c_contiguous
    assert y.flags.c_contiguous
    assert y.dtype == np.int64
    for b, n in enumerate([4, 0, 4]):
        np.testing.assert_array_equal(x[:, b], split.x[n])
        np.testing.assert_array_equal(y[:, b] if per_step else y[b], split.y[n])


def test_a_batch_is_a_copy() -> None:
    split = dense()
    x, y = split.batch([0, 1])
    x += 1
    y += 1
    assert split.x[0, 0, 0] == 0
    assert split.y[0] == 0


def test_divisor_gives_the_float32_quotient_of_every_byte() -> None:
    split = DenseSplit(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), np.zeros(1, np.int64), divisor=255)
    pixels = np.arange(256)
    np.testing.assert_array_equal(split.batch([0])[0][:, 0, 0], pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(split.batch([0], np.float64)[0][:, 0, 0], pixels / 255)


def test_select_and_take() -> None:
    split = dense(per_step=True)
    chosen = split.select([3, -1, 3])
    assert len(chosen) == 3
    np.testing.assert_array_equal(chosen.y, split.y[[3, 4, 3]])
    np.testing.assert_array_equal(chosen.batch([0])[0], split.batch([3])[0])
    assert len(split.take(2)) == 2
    assert len(split.take(99)) == 5
    np.testing.assert_array_equal(split.take(2).y, split.y[:2])


def test_an_empty_batch_keeps_its_shape() -> None:
    x, y = dense().batch([])
    assert x.shape == (4, 0, 3)
    assert y.shape == (0,)


@pytest.mark.parametrize("indices", [[5], [-6], [0.5], [True, False, True, False, True], [[0, 1]], 2, ["0"]])
def test_bad_indices(indices: object) -> None:
    with pytest.raises(BrfkitError, match="samples"):
        dense().batch(indices)
    with pytest.raises(BrfkitError, match="samples"):
        dense().select(indices)


@pytest.mark.parametrize("dtype", [np.int64, np.complex128, bool])
def test_bad_dtype(dtype: type) -> None:
    with pytest.raises(BrfkitError, match="floating-point"):
        dense().batch([0], dtype)


@pytest.mark.parametrize(("x", "y"), [((3, 4), (3,)), ((3, 4, 1), (4,)), ((3, 4, 1), (3, 5)), ((3, 4, 1), ())])
def test_a_split_whose_arrays_do_not_fit(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(BrfkitError, match="a split needs"):
        DenseSplit(np.zeros(x), np.zeros(y, np.int64))


def test_limits_are_the_first_samples() -> None:
    whole = load("tones")
    part = load("tones", limit_train=7, limit_test=10_000)
    assert (len(part.train), len(part.test)) == (7, 500)
    np.testing.assert_array_equal(part.train.batch(range(7))[0], whole.train.batch(range(7))[0])


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one(limit: int) -> None:
    with pytest.raises(BrfkitError, match=f"limit of test samples must be at least 1, it is {limit}"):
        load("tones", limit_test=limit)


def test_only_the_splits_that_were_asked_for() -> None:
    only = load("tones", splits=["test"])
    assert set(only.splits) == {"test"}
    with pytest.raises(BrfkitError, match="without its split 'train'"):
        _ = only.train
    with pytest.raises(BrfkitError, match="no split 'valid'; it has train, test"):
        load("tones", splits=["valid"])


def test_unknown_name_suggests_the_close_one() -> None:
    with pytest.raises(BrfkitError, match="unknown data set 'SMNITS'; did you mean smnist"):
        load("SMNITS")
    with pytest.raises(BrfkitError, match="unknown data set 'qqq'; known are") as error:
        load("qqq")
    assert all(name in str(error.value) for name in dataset_names())
    with pytest.raises(BrfkitError) as error:
        load("a\nb")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", dataset_names())
def test_facts_of_every_data_set(name: str, tmp_path: Path) -> None:
    spec = dataset_spec(name)
    assert spec.name == name
    assert spec.classes == len(set(spec.class_names)) > 1
    assert spec.licence
    assert spec.citation
    assert (spec.folder is None) == (spec.files == ())
    assert {file.split for file in spec.files} <= set(spec.splits)
    assert all(len(file.url_md5) == 32 and len(file.md5 or file.url_md5) == 32 for file in spec.files)
    assert all(url.startswith("https://") for file in spec.files for url, _ in [(file.url, ""), *file.mirrors])
    assert set(spec.samples) == set(spec.splits)
    assert [check.state for check in check_files(name, tmp_path)] == ["missing"] * len(spec.files)


@pytest.mark.parametrize("name", [name for name in dataset_names() if dataset_spec(name).files])
def test_missing_files_name_file_folder_and_way_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(BrfkitError) as error:
        load(name, data_dir=tmp_path)
    line = str(error.value)
    spec = dataset_spec(name)
    expected = (spec.files[0].name, str(tmp_path / str(spec.folder)), f"brfkit data fetch {name}", "--data-dir")
    assert all(part in line for part in expected)
    assert "\n" not in line


def test_permutation_only_where_it_belongs() -> None:
    with pytest.raises(BrfkitError, match="tones takes no permutation"):
        load("tones", permutation=np.arange(250))


def test_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRFKIT_DATA_DIR", str(tmp_path / "from-environment"))
    assert data_folder("given") == Path("given")
    assert data_folder(None) == tmp_path / "from-environment"
    monkeypatch.setenv("BRFKIT_DATA_DIR", "")
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "cache"))
    assert data_folder(None) == tmp_path / "cache" / "data"
    monkeypatch.delenv("BRFKIT_CACHE_DIR")
    assert "brfkit" in data_folder(None).parts
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder("~/here") == tmp_path / "here"


def test_public_names_exist() -> None:
    assert all(hasattr(brfkit.data, name) for name in brfkit.data.__all__)
