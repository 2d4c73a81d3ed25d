"""Commands run in this process where only their words matter, and in one of their own where exit codes do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from brfkit.cli import run

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """This process's environment with the package on the path, wherever the command is run."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """``--threads`` sets those of torch for the whole process."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    yield
    if "torch" in sys.modules and before is not None:
        sys.modules["torch"].set_num_threads(before)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command in this process, as the entry point does."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def process() -> Callable[..., Outcome]:
    """Runs a command in a process of its own."""

    def call(*arguments: str, **kwargs: object) -> Outcome:
        done = subprocess.run(  # type: ignore[call-overload]
            [sys.executable, "-m", "brfkit", *map(str, arguments)],
            capture_output=True, text=True, env=environment(), timeout=120, **kwargs,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command and lets it run; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "brfkit", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        started.append(child)
        return child

    yield call
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()
