"""A run with few open files, in the C locale, stopped and continued; closed streams; a read-only folder."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brfkit.checkpoints.native import load_checkpoint

from .conftest import environment

RUN = [
    sys.executable, "-m", "brfkit", "train", "--dataset", "tones", "--limit-train", "40", "--limit-test", "10",
    "--hidden", "8", "--epochs", "3",
]  # fmt: skip


def metrics(folder: Path) -> list[list[str]]:
    """Rows without the seconds."""
    return [line.split(",")[:-1] for line in (folder / "metrics.csv").read_text().splitlines()]


def test_few_open_files_the_c_locale_and_a_stop_change_nothing(tmp_path: Path) -> None:
    whole, narrow = tmp_path / "whole", tmp_path / "narrow"
    done = subprocess.run(
        [*RUN, "--run-dir", str(whole)], env=environment(), capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    plain = {k: v for k, v in environment().items() if not k.startswith(("LC_", "PYTHONUTF8", "PYTHONIOENCODING"))}
    with subprocess.Popen(
        [*RUN, "--run-dir", str(narrow)], env=plain | {"LANG": "C", "LC_ALL": "C"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)),
    ) as child:  # fmt: skip
        while not (narrow / "metrics.csv").exists() and child.poll() is None:
            time.sleep(0.01)
        if child.poll() is None:
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            child.send_signal(signal.SIGCONT)
        _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    assert b"Traceback" not in errors
    assert metrics(narrow) == metrics(whole)
    assert load_checkpoint(narrow / "last.npz").sha256 == load_checkpoint(whole / "last.npz").sha256


@pytest.mark.parametrize("stream", [1, 2])
def test_a_closed_stream_is_no_error(stream: int) -> None:
    other = subprocess.run(
        [sys.executable, "-m", "brfkit", "neurons"], env=environment(), timeout=120, check=False,
        stdout=subprocess.PIPE if stream == 2 else None, stderr=subprocess.PIPE if stream == 1 else None,
        preexec_fn=lambda: os.close(stream),
    )  # fmt: skip
    assert other.returncode == 0
    if stream == 2:
        assert b"brf" in other.stdout
    else:
        assert other.stderr == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(command, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        outcome = command("train", "--dataset", "tones", "--limit-train", "20", "--run-dir", tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "cannot be used as a run folder" in outcome.err
