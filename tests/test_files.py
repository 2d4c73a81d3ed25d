"""Temporary files that killed processes left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from brfkit.io.atomic import DAY, atomic_path, atomic_write

HALF_WRITTEN = """
import os, signal, sys
from brfkit.io.atomic import atomic_path
with atomic_path(sys.argv[1], force=True) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
posix = pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for without ending it")


def killed_while_writing(target):
    """The temporary file of a process that was killed."""
    before = set(target.parent.iterdir())
    done = subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = set(target.parent.iterdir()) - before
    return left


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@posix
def test_the_next_writing_removes_what_a_killed_process_left(tmp_path):
    target = tmp_path / "s[1].h5"
    target.write_text("old")
    killed_while_writing(target)
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    with atomic_write(target, "w", force=True) as stream:
        stream.write("new")
    assert names(tmp_path) == [target.name]
    assert target.read_text() == "new"


@posix
def test_leftovers_of_other_targets_and_machines_stay(tmp_path):
    other = killed_while_writing(tmp_path / "other.h5")
    start, target, _, rest = killed_while_writing(tmp_path / "s.h5").name.split("-", 3)
    elsewhere = tmp_path / f"{start}-{target}-00000000-{rest}"
    elsewhere.touch()
    strange = tmp_path / f"{start}-{target}-x.h5"
    strange.touch()
    with atomic_path(tmp_path / "s.h5"):
        pass
    assert names(tmp_path) == sorted([other.name, elsewhere.name, strange.name, "s.h5"])
    os.utime(elsewhere, (time.time() - 1.1 * DAY,) * 2)
    with atomic_path(tmp_path / "s.h5", force=True):
        pass
    assert names(tmp_path) == sorted([other.name, strange.name, "s.h5"])


def test_what_is_being_written_stays(tmp_path):
    target = tmp_path / "s.h5"
    with atomic_path(target) as first:
        first.write_text("first")
        with atomic_path(target, force=True) as second:
            assert first.exists()
            second.write_text("second")
        target.unlink()
    assert target.read_text() == "first"
    assert names(tmp_path) == ["s.h5"]
