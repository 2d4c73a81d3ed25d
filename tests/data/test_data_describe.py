"""What is told about data sets, samples set aside, and pictures."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brfkit.data import DenseSplit, dataset_names, describe, holdout, load
from brfkit.errors import BrfkitError
from brfkit.plotting.samples import figure

from .made import own_dense, own_events, recordings, write_own

Write = Callable[..., Path]


@pytest.mark.parametrize("name", dataset_names())
def test_every_data_set_can_be_described(name: str, tmp_path: Path) -> None:
    told = describe(name, tmp_path)
    assert told.state == ("generated" if name == "tones" else "missing")
    assert (told.bytes, told.samples) == (0, None)
    assert json.loads(json.dumps(told.as_dict()))["name"] == name
    assert all(file.url.startswith("https://") and file.path is None for file in told.files)


def test_states(write_shd: Write, cache: Path) -> None:
    root = write_shd()
    told = describe("shd", root)
    assert told.state == "different"
    assert told.bytes == sum((root / "shd" / f"shd_{s}.h5").stat().st_size for s in ("train", "test"))
    assert describe("shd", root, checksums=False).state == "unchecked"
    read = describe("shd", root, read=True)
    counts = [len(t) for t in recordings()["times"]]
    assert read.samples == {"train": 12, "test": 12}
    assert read.published_samples == {"train": 8156, "test": 2264}
    assert read.spikes_per_sample == {"train": np.mean(counts), "test": np.mean(counts)}
    (root / "shd" / "shd_test.h5").unlink()
    told = describe("shd", root, read=True)
    assert told.state == "missing"
    assert told.samples == {"train": 12}
    (root / "shd" / "shd_test.h5.gz").write_bytes(b"\x1f\x8b" + bytes(30))
    assert describe("shd", root).state == "damaged"


def test_real_states(real_mnist: Path) -> None:
    told = describe("smnist", real_mnist, read=True)
    assert told.state == "ok"
    assert told.samples == told.published_samples


def test_own_files(tmp_path: Path) -> None:
    path = write_own(tmp_path / "a.npz", own_events())
    told = describe(str(path))
    assert (told.state, told.bytes, told.samples) == ("own", path.stat().st_size, {"train": 6, "test": 2})
    assert told.events
    with pytest.raises(BrfkitError, match="cannot be read"):
        describe(str(tmp_path / "b.npz"))


def grouped(groups: list[int] | None) -> DenseSplit:
    n = 100 if groups is None else len(groups)
    return DenseSplit(np.zeros((n, 1, 1)), np.zeros(n, np.int64), groups=None if groups is None else np.array(groups))


def test_holdout_of_samples() -> None:
    kept, aside = holdout(grouped(None), 0.1, seed=1)
    assert (len(kept), len(aside)) == (90, 10)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, aside])), np.arange(100))
    np.testing.assert_array_equal(aside, holdout(grouped(None), 0.1, seed=1)[1])
    assert not np.array_equal(aside, holdout(grouped(None), 0.1, seed=2)[1])
    assert [len(part) for part in holdout(grouped([0, 0]), 0.999)] == [1, 1]


def test_holdout_of_blocks() -> None:
    for seed in range(5):
        kept, aside = holdout(DenseSplit(np.zeros((100, 1, 1)), np.zeros(100, int)), 0.2, seed=seed, blocks=10)
        assert len(aside) == 20
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, aside])), np.arange(100))
        blocks = np.unique(aside // 10)  # whole blocks of ten
        np.testing.assert_array_equal(aside, (blocks[:, None] * 10 + np.arange(10)).ravel())
    kept, aside = holdout(grouped(None), 0.5, blocks=10**6)  # no more blocks than samples
    assert len(kept) + len(aside) == len(grouped(None))
    with pytest.raises(BrfkitError, match="in one block"):
        holdout(grouped(None), 0.5, blocks=1)


def test_holdout_of_groups() -> None:
    groups = np.repeat([3, 7, 9, 20], [40, 10, 30, 20])
    chosen = set()
    for seed in range(30):
        kept, aside = holdout(grouped(groups.tolist()), 0.1, seed=seed, by_group=True)
        assert set(groups[kept]) | set(groups[aside]) == {3, 7, 9, 20}
        assert not set(groups[kept]) & set(groups[aside])
        chosen |= set(groups[aside].tolist())
    assert chosen == {3, 7, 9, 20}
    kept, aside = holdout(grouped(groups.tolist()), 0.99, by_group=True)
    assert len(kept) > 0


@pytest.mark.parametrize(
    ("groups", "fraction", "by_group", "message"),
    [
        (None, 0.0, False, "between 0 and 1"),
        (None, 1.0, False, "between 0 and 1"),
        (None, 0.1, True, "which group"),
        ([1, 1, 1], 0.1, True, "of one group"),
        ([1], 0.5, False, "cannot be divided"),
    ],
)
def test_refused_holdouts(groups: list[int] | None, fraction: float, by_group: bool, message: str) -> None:
    with pytest.raises(BrfkitError, match=message):
        holdout(grouped(groups), fraction, by_group=by_group)
    with pytest.raises(BrfkitError, match="seed"):
        holdout(grouped(None), 0.1, seed=-1)


def drawn(data: object, **options: object) -> list[str]:
    """Draws and saves; returns the titles and axis labels."""
    picture = figure(data, **options)  # type: ignore[arg-type]
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=50)
    assert buffer.tell() > 1000
    words = [text.get_text() for text in picture.texts]
    for axes in picture.axes:
        words += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
        words += [tick.get_text() for tick in axes.get_yticklabels()]
    return words


def test_pictures(write_shd: Write, write_mnist: Write, write_ecg: Write, cache: Path, tmp_path: Path) -> None:
    write_shd(), write_ecg()
    root = write_mnist()
    words = drawn(load("shd", data_dir=root), samples=[0, 1, 4, 5])
    assert {"test 4, “four”, speaker 1", "channel (0: highest frequency)", "time (s), bins of 4 ms"} <= set(words)
    assert "channel (0: lowest frequency)" in drawn(load("shd", data_dir=root, binning="paper"), samples=[2])
    assert {"train 3, “3”", "pixel value"} <= set(drawn(load("smnist", data_dir=root), split="train", samples=[3]))
    assert "step (one pixel each, in the permuted order)" in drawn(load("psmnist", data_dir=root))
    assert {"lead 2 down", "label", "time (s)"} <= set(drawn(load("ecg", data_dir=root), samples=[1]))
    assert "time t = step · δ, δ = 0.01" in drawn(load("tones", limit_test=3))
    for content in (own_dense(), own_dense(per_step=True), own_events()):
        assert any(
            "step" in word or "time" in word
            for word in drawn(load(str(write_own(tmp_path / "a.npz", content))), samples=[0])
        )


def test_a_permuted_image_is_drawn_as_it_was(write_mnist: Write) -> None:
    root = write_mnist()
    pictures = [figure(load(name, data_dir=root), samples=[2]) for name in ("smnist", "psmnist")]
    images = [picture.axes[0].images[0].get_array() for picture in pictures]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("samples", [[], [500], range(13), [0.5]])
def test_samples_that_cannot_be_drawn(samples: list[int]) -> None:
    with pytest.raises(BrfkitError, match="sample"):
        figure(load("tones"), samples=samples)


def test_what_is_imported_late() -> None:
    late = ("torch", "matplotlib", "requests", "h5py", "scipy", "wfdb")
    script = f"import sys, brfkit.data; print([m for m in {late} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "given"), [("shd", None), ("shd", "full"), ("tones", None)])
def test_data_are_shown_in_the_steps_that_train_uses(name, given):
    from brfkit.cli.commands.data import _binning
    from brfkit.data.binning import binning_named
    from brfkit.runs.datasets import get_binning
    from brfkit.runs.resolve import resolve

    found = _binning(name, given)
    if name == "tones":
        assert found is None
    elif given is None:
        assert found == get_binning(resolve("shd").data) == binning_named("paper")
    else:
        assert found == binning_named("full")
