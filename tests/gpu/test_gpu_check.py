"""``make gpu-check``, as far as it goes without a device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_check
from brfkit.backends import available_backends
from brfkit.errors import BrfkitError

ROOT = Path(__file__).parents[2]
TIMES = {"plain_ms": 150.0, "ours_ms": 0.75, "ratio": 200.0, "lowest": 190.0, "highest": 210.0}
MEMORY = {"plain_mib": 100.0, "ours_mib": 10.0, "ratio": 10.0}
RESULT = {"shape": "shd", "train": TIMES, "inference": TIMES, "memory": MEMORY, "kernels_ms": {"scan 128": 0.1}}


@pytest.mark.skipif(available_backends()["cupy"] == "ok", reason="there is a CUDA device here")
def test_without_a_device_it_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: backend cupy: ")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_gradients_of_many_blocks(shim):
    backend = shim(processors=3)
    assert gpu_check.gradient_error(backend, 33, 10, 12, "float64") < gpu_check.TOLERANCE
    assert any(name == "scan_vjp" and blocks > 2 for name, blocks, _, _ in backend.device.launches)


def test_a_wrong_gradient_is_found(shim, monkeypatch):
    """A sum over the first block only, as it once happened elsewhere, is far beyond the tolerance."""
    from brfkit.backends.cupy_gpu.helpers import Helpers

    whole = Helpers.sum_rows
    monkeypatch.setattr(Helpers, "sum_rows", lambda self, m: whole(self, m[:4] if m.shape[0] == 10 else m))
    assert gpu_check.gradient_error(shim(processors=3), 33, 10, 12, "float64") > 1e4 * gpu_check.TOLERANCE


def test_the_networks_of_the_sanitizer_go_through_every_kernel(shim, monkeypatch):
    backend = shim(processors=2, shared_bytes=100 * 1024)
    monkeypatch.setattr(gpu_check, "get_backend", lambda *_, **__: backend)
    gpu_check.small("cuda:0")
    names = {name for name, *_ in backend.device.launches}
    helpers = {
        "gather_events",
        "gather_spikes",
        "unpack_spikes",
        "spread_events",
        "arrange",
        "sum_rows",
        "count_spikes",
    }
    assert names == {"derive", "derive_vjp", "scan", "scan_vjp", *helpers}


def test_stages_and_report(monkeypatch, tmp_path, capsys):
    """One stage that fails hides no other, there is no benchmark then, and a report is not overwritten."""

    def skipped(device: str) -> dict:
        raise gpu_check.Skipped("not here")

    def failing(device: str) -> dict:
        raise BrfkitError("relative error 1e+00\nwith 3 units")

    stages = {"tests": lambda device: {"summary": "3 passed"}, "sanitizer": skipped, "gradients": failing}
    stages["benchmark"] = lambda device: {"results": [RESULT]}
    monkeypatch.setattr(gpu_check, "STAGES", stages)
    monkeypatch.setattr(gpu_check, "available_backends", lambda: {"cupy": "ok"})
    arguments = ["--stages", "tests,sanitizer,gradients,benchmark", "--out", str(tmp_path / "report.json")]
    assert gpu_check.main(arguments) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert {name: stage["state"] for name, stage in report["stages"].items()} == {
        "tests": "ok", "sanitizer": "skipped", "gradients": "failed", "benchmark": "skipped",
    }  # fmt: skip
    assert report["stages"]["gradients"]["why"] == "BrfkitError: relative error 1e+00 with 3 units"
    assert report["results"] == []
    assert gpu_check.main(arguments) == 1
    assert "report.json exists; --force overwrites it" in capsys.readouterr().err
    capsys.readouterr()
    assert gpu_check.main(["--stages", "tests,benchmark", "--out", str(tmp_path / "other.json")]) == 0
    assert "200x" in capsys.readouterr().out


def test_the_table():
    text = gpu_check.table([RESULT])
    assert "shd      train          150.00      0.750     200x  190-210" in text
    assert "scan 128 0.100" in text


def test_unknown_stages(capsys):
    with pytest.raises(SystemExit) as stop:
        gpu_check.main(["--stages", "nonsense"])
    assert stop.value.code == 2
    assert "unknown stage nonsense" in capsys.readouterr().err
