"""Every format, damaged with fixed seeds: a result or one clear line, quickly, in little memory, nothing left behind.

`make fuzz` does the same with 3,000 files of each format and more time.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import pytest

from brfkit.errors import BrfkitError
from brfkit.io.text import visible
from brfkit.memory import peak_bytes
from tests.fuzz.formats import FORMATS, Bench

ROUNDS = int(os.environ.get("BRFKIT_FUZZ_ROUNDS", "300"))
MAX_SECONDS = 20.0
MAX_BYTES = 3 << 30


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: pytest.RecordProperty
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(cache))
    folder = tmp_path / "files"
    folder.mkdir()
    bench = Bench(name, folder)
    around = sorted(folder.rglob("*"))
    refused = 0
    for seed in range(ROUNDS):
        file, content = bench.damaged(seed)
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                bench.read(file, content)
        except BrfkitError as error:
            refused += 1
            line = visible(" ".join(str(error).split()))
            assert line.isprintable(), seed
            assert 0 < len(line) < 2000, seed
        except Exception as error:
            raise AssertionError(f"{name}, damage {seed} of {file.name}: unexpected {error!r}") from error
        assert time.perf_counter() - began < MAX_SECONDS, seed
    assert sorted(folder.rglob("*")) == around
    assert not [left for left in cache.rglob(".*") if left.is_file()]
    assert refused > ROUNDS // 5
    assert (peak_bytes() or 0) < MAX_BYTES
    record_property("fuzz", (name, ROUNDS, refused))
