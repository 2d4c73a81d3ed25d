"""Several processes on one study."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sweeps.test_study import SMALL, SPACE

pytest.importorskip("optuna")


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brfkit", "sweep", "study.toml", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def write_study(folder: Path, trials: int) -> None:
    (folder / "study.toml").write_text(f'[study]\ntrials = {trials}\nsampler = "random"\n{SMALL}{SPACE}')


def test_two_workers_share_one_study(tmp_path: Path):
    write_study(tmp_path, 4)
    process = start(tmp_path, "--workers", "2", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()
    result = json.loads(out)
    assert (result["trials"], result["complete"]) == (4, 4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_workers_lose_no_finished_trial(tmp_path: Path):
    """Twenty kills at random moments; afterwards every trial that had ended is there, and the study is complete."""
    write_study(tmp_path, 40)
    rng = random.Random(0)
    ended = 0
    for _ in range(20):
        process = start(tmp_path)
        time.sleep(rng.uniform(2.0, 8.0))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        shown = _show(tmp_path)
        assert shown["complete"] >= ended
        ended = shown["complete"]
    process = start(tmp_path, "--json")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()
    result = json.loads(out)
    assert (result["trials"], result["complete"]) == (40, 40)


def _show(folder: Path) -> dict[str, int]:
    if not (folder / "sweeps" / "study" / "journal.log").is_file():
        return {"complete": 0}
    command = [sys.executable, "-m", "brfkit", "sweep", "show", "study.toml", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found
