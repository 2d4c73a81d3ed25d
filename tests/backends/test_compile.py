"""Compiled kernels on disk, which several processes may write at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TEXT = '''"""A kernel of this test."""
import numba

@numba.njit(cache=CACHE)
def double(x):
    return 2 * x
'''
USE = f"""
import sys
from brfkit.backends.numba_cpu.compile import compile_text
double = compile_text({TEXT!r})["double"]
if len(sys.argv) > 1:  # another process finds no file yet, and writes it while this one compiles
    from pathlib import Path
    from brfkit.backends.numba_cpu import compile
    source = Path(double.py_func.__code__.co_filename)
    source.unlink()
    assert compile._source_file({TEXT!r}) == source
assert double(21) == 42
print(sum(double.stats.cache_hits.values()), sum(double.stats.cache_misses.values()))
"""


@pytest.fixture
def use(tmp_path, monkeypatch):
    """Compiles the kernel in a new process; returns how often it came from the cache and how often it did not."""
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path))

    def call(*arguments: str) -> tuple[int, ...]:
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-c", USE, *arguments], capture_output=True, text=True, check=False, cwd=root
        )
        assert done.returncode == 0, done.stderr
        return tuple(map(int, done.stdout.split()))

    return call


def test_a_kernel_is_compiled_once_however_many_write_it(use, tmp_path):
    assert use("raced") == (0, 1)
    assert use() == (1, 0)
    assert not list((tmp_path / "kernels").glob("*.tmp"))
