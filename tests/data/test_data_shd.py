"""SHD and SSC: the golden hash, the cache and those who share it, batches, and files that are refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from brfkit.data import PAPER, Binning, EventSplit, check_files, holdout, load
from brfkit.data.eventcache import event_cache_path
from brfkit.errors import BrfkitError
from brfkit.events import Events
from tests.clock import child_seconds

from .made import recordings, write_recordings

Write = Callable[..., Path]

PREPARE = """
import sys
from brfkit.data import load
split = load("shd", data_dir=sys.argv[1], splits=["train"], binning="paper").train
print(len(split), len(split.indices))
"""


def golden() -> dict[str, Any]:
    root = os.environ.get("BRFKIT_REFERENCE_DIR")
    path = Path(root or "") / "golden" / "shd_paper_binning.json"
    if not root or not path.is_file():
        pytest.skip("BRFKIT_REFERENCE_DIR is not set or has no golden/shd_paper_binning.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(("split", "key"), [("test", "test"), ("train", "train_first_200")])
def test_paper_binning_is_that_of_the_published_code(real_shd: Path, split: str, key: str) -> None:
    expected = golden()[key]
    data = load("shd", data_dir=real_shd, splits=[split], binning="paper", limit_train=200)
    part = data.split(split)
    assert len(part) == expected["samples"]
    digest, total, first = hashlib.sha256(), 0, []
    for begin in range(0, len(part), 100):
        events, _ = part.batch(range(begin, begin + 100))
        assert isinstance(events, Events)
        x = np.ascontiguousarray(events.dense(np.uint8).transpose(1, 0, 2))  # [B, 250, 700]
        digest.update(np.packbits(x).tobytes())  # 100 * 250 * 700 bits are whole bytes
        total += int(x.sum())
        first += x.sum((1, 2)).tolist()
    assert digest.hexdigest() == expected["sha256_packbits"]
    assert total == expected["total"]
    assert first[:20] == expected["spikes_first_20"]


def test_real_files(real_shd: Path) -> None:
    data = load("shd", data_dir=real_shd)
    assert (len(data.train), len(data.test)) == (2000, 500)
    assert (data.steps, data.channels, data.classes) == (350, 700, 20)
    assert data.class_names[15] == "fünf"
    assert data.binning == Binning(steps=350)
    train, test = data.train, data.test
    assert isinstance(train, EventSplit)
    assert isinstance(test, EventSplit)
    assert train.left_out == 0
    assert len(train.indices) == 12_693_250
    np.testing.assert_array_equal(np.unique(test.groups), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    assert not np.isin(train.groups, [4, 5]).any()
    kept, aside = holdout(train, 0.1, by_group=True)
    assert not set(train.groups[kept]) & set(train.groups[aside])
    assert 0.05 < len(aside) / len(train) < 0.15


def test_real_batches_are_fast(real_shd: Path) -> None:
    train = load("shd", data_dir=real_shd, splits=["train"], binning="paper").train
    rng = np.random.default_rng(0)
    times = []
    for _ in range(30):
        index = rng.permutation(2000)[:32]
        start = time.process_time()
        train.batch(index)
        times.append(time.process_time() - start)
    assert min(times) < 3e-3  # the best of them: others may share the machine


def test_a_cold_start_is_quick_and_small(real_shd: Path, tmp_path: Path) -> None:
    script = PREPARE + "from brfkit.memory import peak_bytes; print(peak_bytes() // 2**20)"
    environment = os.environ | {"BRFKIT_CACHE_DIR": str(tmp_path)}
    start = child_seconds()
    done = subprocess.run(
        [sys.executable, "-c", script, real_shd], env=environment, check=True, capture_output=True, text=True
    )
    assert child_seconds() - start < 20
    lines = done.stdout.split()
    assert lines[:2] == ["2000", "12590807"]
    assert int(lines[2]) < 400  # MiB
    assert [path.suffix for path in (tmp_path / "events").iterdir()] == [".h5"]


def test_made_files(write_shd: Write, cache: Path) -> None:
    made = recordings()
    data = load("shd", data_dir=write_shd(made), binning=Binning(steps=1000, width=0.0013, counts=True))
    events, y = data.train.batch([3, 1, 3])
    assert isinstance(events, Events)
    assert (events.batch, events.steps, events.channels) == (3, 1000, 700)
    assert events.indices.dtype == np.int32
    assert events.indptr.dtype == np.int64
    np.testing.assert_array_equal(y, [3, 1, 3])
    x = events.dense(int)
    assert x[:, 1].sum() == 0
    np.testing.assert_array_equal(x[:, 0], x[:, 2])
    step = np.floor(made["times"][3].astype(float) / 0.0013).astype(int)
    expected = np.zeros((1000, 700), int)
    np.add.at(expected, (step, made["units"][3]), 1)
    np.testing.assert_array_equal(x[:, 0], expected)


def test_selections_share_the_spikes(write_shd: Write, cache: Path) -> None:
    train = load("shd", data_dir=write_shd(), splits=["train"]).train
    assert isinstance(train, EventSplit)
    chosen = train.select([5, -1, 0, 5])
    assert chosen.indices is train.indices
    assert chosen.groups is not None
    np.testing.assert_array_equal(chosen.groups, [2, 2, 0, 2])
    again = chosen.select([2, 0])
    expected, y = train.batch([0, 5])
    found, y_found = again.batch([0, 1])
    np.testing.assert_array_equal(found.dense(), expected.dense())
    np.testing.assert_array_equal(y_found, y)
    nothing, y = train.batch([])
    assert nothing.dense().shape == (350, 0, 700)
    assert y.shape == (0,)
    with pytest.raises(BrfkitError, match="sample indices"):
        train.batch([12])
    with pytest.raises(BrfkitError, match="floating-point"):
        train.batch([0], np.int32)


def test_limit_reads_the_first(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    whole, part = load("shd", data_dir=root), load("shd", data_dir=root, limit_train=4, limit_test=99)
    assert (len(part.train), len(part.test)) == (4, 12)
    assert isinstance(part.train, EventSplit)
    assert len(part.train.starts) == 4
    np.testing.assert_array_equal(part.train.batch(range(4))[0].dense(), whole.train.batch(range(4))[0].dense())


def test_speakers_and_names_may_be_unknown(write_shd: Write, cache: Path) -> None:
    made = recordings()
    del made["speaker"]
    made["keys"] = np.array([f"w{k}".encode() for k in range(20)])
    data = load("shd", data_dir=write_shd(made))
    assert data.train.groups is None
    assert data.class_names[3] == "w3"
    with pytest.raises(BrfkitError, match="which group"):
        holdout(data.train, 0.1, by_group=True)


def test_packed_files(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    plain = load("shd", data_dir=root)
    train, test = (root / "shd" / f"shd_{split}.h5" for split in ("train", "test"))
    with zipfile.ZipFile(f"{train}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(train, "shd_train.h5")
    Path(f"{test}.gz").write_bytes(gzip.compress(test.read_bytes()))
    md5 = [check.md5 for check in check_files("shd", root)]
    train.unlink()
    test.unlink()
    packed = load("shd", data_dir=root)
    for a, b in ((plain.train, packed.train), (plain.test, packed.test)):
        np.testing.assert_array_equal(a.batch(range(12))[0].dense(), b.batch(range(12))[0].dense())
    assert [check.md5 for check in check_files("shd", root)] == md5
    assert [path for path in cache.iterdir() if path.name.startswith(".")] == []


def test_ssc_has_three_splits(write_shd: Write, cache: Path) -> None:
    root = write_shd(recordings(classes=35), "ssc")
    (root / "ssc" / "ssc_test.h5").rename(root / "ssc" / "ssc_valid.h5")
    data = load("ssc", data_dir=root, splits=["train", "valid"])
    assert (len(data.split("valid")), data.classes) == (12, 35)


def cached(root: Path) -> Path:
    return event_cache_path(root / "shd" / "shd_train.h5")


def test_the_cache_is_used_and_made_anew_where_it_is_damaged(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    expected = load("shd", data_dir=root).train.batch(range(12))[0].dense()
    path = cached(root)
    good, made = path.read_bytes(), path.stat().st_mtime_ns
    load("shd", data_dir=root)
    assert path.stat().st_mtime_ns == made
    rng = np.random.default_rng(0)
    for round_ in range(60):
        damaged = bytearray(good)
        if round_ % 3 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        else:
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        np.testing.assert_array_equal(load("shd", data_dir=root).train.batch(range(12))[0].dense(), expected)
    assert len(list(cache.iterdir())) == 1  # both splits have the same content here


def test_a_cache_of_another_version(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    load("shd", data_dir=root)
    with h5py.File(cached(root), "r+") as file:
        file.attrs["format"] = 99
    load("shd", data_dir=root)
    with h5py.File(cached(root)) as file:
        assert file.attrs["format"] != 99


def test_two_data_sets_with_the_same_file(write_shd: Write, cache: Path) -> None:
    """SSC allows labels that SHD does not; a cache prepared for one is not taken for the other."""
    content = recordings(samples=40, classes=35)
    root = write_shd(content, "ssc")
    load("ssc", data_dir=root, splits=["train"])
    write_shd(content)
    with pytest.raises(BrfkitError, match=r"labels are 0\.\.34"):
        load("shd", data_dir=root)


def test_processes_that_prepare_the_same_cache_at_once(write_shd: Write, cache: Path) -> None:
    root = write_shd(recordings(samples=300))
    command = [sys.executable, "-c", PREPARE, str(root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    results = [process.communicate(timeout=120) for process in running]
    assert all(process.returncode == 0 for process in running), results
    assert len({out for out, _ in results}) == 1
    assert [path.name for path in cache.iterdir()] == [cached(root).name]


def test_a_full_disk_leaves_nothing_behind(write_shd: Write, cache: Path) -> None:
    resource = pytest.importorskip("resource")
    root = write_shd(recordings(samples=3000))
    size = (root / "shd" / "shd_train.h5").stat().st_size
    script = f"import resource, signal\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size // 4},) * 2)\n" + PREPARE
    assert resource.RLIMIT_FSIZE
    for packed in (False, True):
        train = root / "shd" / "shd_train.h5"
        if packed:
            Path(f"{train}.gz").write_bytes(gzip.compress(train.read_bytes()))
            train.unlink()
        done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True)
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("brfkit.errors.BrfkitError: "), done.stderr
        assert "free space" in last
        assert "File too large" in last
        assert list(cache.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made(write_shd: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(BrfkitError, match=r"cannot be made .* set BRFKIT_CACHE_DIR"):
        load("shd", data_dir=write_shd())


def test_what_killed_processes_left_is_removed_after_a_day(write_shd: Write, cache: Path) -> None:
    cache.mkdir(parents=True)
    for name, age in ((".unpacked-a.h5", 90_000), (".brfkit-b.h5", 90_000), (".unpacked-c.h5", 60)):
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    load("shd", data_dir=write_shd())
    assert [path.name for path in cache.glob(".*")] == [".unpacked-c.h5"]


def times(at: int, value: Any) -> dict[str, Any]:
    content = recordings()
    content["times"][at] = np.asarray(value, np.float16)
    return content


def without(name: str) -> dict[str, Any]:
    content = recordings()
    del content[name]
    return content


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan": (
        times(1, [np.nan]) | {"units": [np.zeros(len(t), "u2") for t in times(1, [0])["times"]]},
        "recording 1 has no spike with",
    ),
    "negative": (
        times(1, [-0.5]) | {"units": [np.zeros(len(t), "u2") for t in times(1, [0])["times"]]},
        "recording 1 holds the spike time -0.5",
    ),
    "lengths": (times(4, [0.1, 0.2]), "recording 4 has 2 times and"),
    "unit": (recordings(units=701, samples=60), r"holds the unit 700, only 0\.\.699"),
    "label": (recordings(samples=30, classes=21), r"labels are 0\.\.20, only 0\.\.19"),
    "no labels": (without("labels"), "has no dataset labels"),
    "no times": (without("times"), "has no dataset spikes/times"),
    "no units": (without("units"), "has no dataset spikes/units"),
    "fewer labels": (without("speaker") | {"labels": np.zeros(5, int)}, "5 labels, 12 recordings"),
    "float labels": (recordings() | {"labels": np.zeros(12)}, "labels holds float64, integers are needed"),
    "table of labels": (recordings() | {"labels": np.zeros((12, 2), int)}, r"shape \(12, 2\), 1 dimensions"),
    "speakers": (recordings() | {"speaker": np.zeros(3, int)}, "3 speakers in extra/speaker for 12"),
    "names": (recordings() | {"keys": np.array([b"a", b"b"])}, "2 class names in extra/keys, 20"),
    "same names": (recordings() | {"keys": np.array([b"a"] * 20)}, "not a list of different names"),
    "latin names": (recordings() | {"keys": np.array([b"\xff%d" % k for k in range(20)])}, "not UTF-8"),
    "whole times": (recordings() | {"times": recordings()["units"]}, "spikes/times is not a list of floats"),
    "broken units": (recordings() | {"units": recordings()["times"]}, "spikes/units is not a list of integers"),
    "nobody": ({"times": recordings()["times"][:1], "labels": np.zeros(0, int)}, "holds no recordings"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, write_shd: Write, cache: Path) -> None:
    content, message = REFUSED[case]
    root = write_shd(content)
    with pytest.raises(BrfkitError, match=message) as error:
        load("shd", data_dir=root, splits=["train"])
    assert str(root / "shd" / "shd_train.h5") in str(error.value)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_spikes_need_not_ascend(write_shd: Write, cache: Path) -> None:
    shuffled = recordings()
    for n, (t, u) in enumerate(zip(shuffled["times"], shuffled["units"], strict=True)):
        order = np.random.default_rng(n).permutation(len(t))
        shuffled["times"][n], shuffled["units"][n] = t[order], u[order]
    for binning in (Binning(), PAPER, replace(Binning(), align=True)):
        plain = load("shd", data_dir=write_shd(), binning=binning).train.batch(range(12))[0].dense()
        mixed = load("shd", data_dir=write_shd(shuffled), binning=binning).train.batch(range(12))[0].dense()
        np.testing.assert_array_equal(plain, mixed)


@pytest.mark.parametrize(
    ("place", "message"),
    [("labels", "labels is a group"), ("spikes/times", "is a group"), ("extra/speaker", "is a group")],
)
def test_groups_in_place_of_datasets(place: str, message: str, write_shd: Write, cache: Path) -> None:
    root = write_shd()
    with h5py.File(root / "shd" / "shd_train.h5", "r+") as file:
        del file[place]
        file.create_group(place)
    with pytest.raises(BrfkitError, match=message):
        load("shd", data_dir=root)


def test_huge_declared_shapes_and_other_files(write_shd: Write, cache: Path, tmp_path: Path) -> None:
    root = write_shd()
    path = root / "shd" / "shd_train.h5"
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (1 << 40,), "u2", chunks=(1 << 16,))
    with pytest.raises(BrfkitError, match=r"labels, of shape .* declares"):
        load("shd", data_dir=root)
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file.create_dataset("labels", (12,), "u2", external=[(str(tmp_path / "elsewhere"), 0, 24)])
    with pytest.raises(BrfkitError, match="lies in another file"):
        load("shd", data_dir=root)


def test_a_heap_that_the_hdf5_library_would_read_for_ever(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    path = root / "shd" / "shd_train.h5"
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    while content[at : at + 2] != bytes(2):  # the free space behind the last object
        at += 16 + (int.from_bytes(content[at + 8 : at + 16], "little") + 7) // 8 * 8
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(BrfkitError, match="variable-length data cannot be distinguished"):
        load("shd", data_dir=root)


@pytest.mark.parametrize("binning", ["paper", Binning(width=0.01)])
def test_binning_only_where_it_belongs(binning: Any, write_mnist: Write) -> None:
    with pytest.raises(BrfkitError, match="tones takes no binning"):
        load("tones", binning=binning)
    with pytest.raises(BrfkitError, match="smnist takes no binning"):
        load("smnist", data_dir=write_mnist(), binning=binning)
    with pytest.raises(BrfkitError, match="has a test part"):
        load("tones", test_fraction=0.1)


def spoiled(count: int) -> dict[str, Any]:
    """Recordings of which some spikes have no finite time."""
    content = recordings(samples=60)
    filled = [n for n, row in enumerate(content["times"]) if len(row) > 20]
    for k in range(count):
        content["times"][filled[k % len(filled)]][k // len(filled)] = (np.nan, np.inf, -np.inf)[k % 3]
    return content


def test_a_few_times_that_are_not_finite_are_dropped_counted_and_told_once(
    write_shd: Write, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = spoiled(20)
    root = write_shd(content)
    total = sum(map(len, content["times"]))
    part = load("shd", data_dir=root, splits=["train"]).train
    x, _ = part.batch(range(len(part)))
    assert len(x.indices) == total - 20
    assert [r.message for r in caplog.records] == [
        f"{root / 'shd' / 'shd_train.h5'}: 20 of {total} spikes have no finite time and are left out"
    ]
    caplog.clear()
    load("shd", data_dir=root, splits=["train"])
    assert not caplog.records


def test_more_than_one_in_a_hundred_is_an_error(write_shd: Write, cache: Path) -> None:
    with pytest.raises(BrfkitError, match="spikes have no finite time; is the file damaged"):
        load("shd", data_dir=write_shd(spoiled(100)), splits=["train"])
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e3), ("us", 1e6)])
def test_times_in_another_unit_are_found_out(unit: Any, factor: float, write_shd: Write, cache: Path) -> None:
    content = recordings()
    seconds = [row.astype(np.float64) for row in content["times"]]
    content["times"] = [(row * factor).astype(np.float64) for row in seconds]
    root = write_shd(content)
    for _ in range(2):  # before the cache is made, and from it
        with pytest.raises(BrfkitError, match=rf"they look like {unit} \(--time-unit {unit}\)"):
            load("shd", data_dir=root, splits=["train"])
    found = load("shd", data_dir=root, splits=["train"], binning=Binning(unit=unit)).train
    with pytest.raises(BrfkitError, match="they look like"):
        load("shd", data_dir=root, splits=["train"], binning=Binning())
    same = load("shd", data_dir=write_shd(recordings() | {"times": seconds}), splits=["train"]).train
    (x, _), (y, _) = found.batch(range(12)), same.batch(range(12))
    np.testing.assert_array_equal(x.indptr, y.indptr)
    np.testing.assert_array_equal(x.indices, y.indices)


def test_recordings_that_share_their_spikes_are_refused(write_shd: Write, cache: Path) -> None:
    """256 references to one object of a heap would be read 256 times."""
    root = write_shd(recordings())
    path = root / "shd" / "shd_train.h5"
    with h5py.File(path, "r+") as file:
        places = []
        for name, dtype in (("times", np.float16), ("units", np.uint16)):
            del file[f"spikes/{name}"]
            data = file.create_dataset(f"spikes/{name}", (256,), h5py.vlen_dtype(dtype))
            data[0] = np.zeros(10_000, dtype)
            places.append(data.id.get_offset())
        del file["labels"], file["extra/speaker"]
        file["labels"] = np.zeros(256, int)
    content = bytearray(path.read_bytes())
    for at in places:
        content[at : at + 16 * 256] = content[at : at + 16] * 256
    path.write_bytes(content)
    with pytest.raises(BrfkitError, match="more spikes than the file has bytes for"):
        load("shd", data_dir=root, splits=["train"])


def test_bins_too_many_to_hold(write_shd: Write, cache: Path) -> None:
    root = write_shd(recordings(samples=30_000 // 10))
    with pytest.raises(BrfkitError, match="take wider"):
        load("shd", data_dir=root, binning=Binning(width=1e-6))


def test_recordings_of_the_tests_are_read_back(tmp_path: Path) -> None:
    with h5py.File(write_recordings(tmp_path / "a.h5", recordings())) as file:
        np.testing.assert_array_equal(file["spikes/times"][5], recordings()["times"][5])
