"""``brfkit doctor``: it tells what is there and what is missing, and never fails itself."""

from __future__ import annotations

import json
import os
import sys
import types

import numba
import numpy as np
import pytest

from brfkit import doctor
from brfkit.backends import BACKENDS, available_backends
from brfkit.cli import run
from brfkit.cli.commands.doctor import lines


@pytest.fixture
def no_trials(monkeypatch):
    monkeypatch.setattr(doctor, "trial", lambda name: {"works": True, "seconds": 0.1})


def test_the_report(no_trials, monkeypatch, tmp_path):
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BRFKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BRFKIT_THREADS", "3")
    (tmp_path / "data" / "ecg").mkdir(parents=True)
    found = doctor.examine()
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["numba"] == numba.__version__
    assert found["backends"] == available_backends()
    assert set(found["trials"]) == {name for name in BACKENDS if found["backends"][name] == "ok"}
    assert found["cpu"]["threads"] == 3
    assert found["cpu"]["numba_threading_layer"] in (None, *doctor.THREADING_LAYERS)
    assert found["folders"]["cache_writable"]
    assert found["folders"]["data_sets"] == ["ecg"]
    assert set(found["cuda"]) == {"driver", "cuda_of_driver", "devices", "problem", "cupy"}
    json.dumps(found)


def test_a_trial_runs_a_network(monkeypatch):
    assert doctor.trial("reference")["works"]
    monkeypatch.setattr(doctor, "get_backend", lambda name: 1 / 0)
    assert doctor.trial("numba") == {"works": False, "problem": "ZeroDivisionError: division by zero"}


def test_json_is_one_object(no_trials, capsys):
    assert run(["doctor", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["backends"]["numba"] == "ok"
    assert out.count("\n") == 1


def test_what_to_install_stands_in_the_report_for_people(no_trials, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert run(["doctor"]) == 0
    assert "pip install 'brfkit[cuda12]'" in capsys.readouterr().out


class Broken(types.ModuleType):
    """A CuPy that is there and whose libraries are not."""

    def __getattr__(self, name: str) -> types.SimpleNamespace:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(f"libcudart.so.12 not found\nwhile loading {name}")


def test_a_broken_cupy_shows_its_own_error(no_trials, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", Broken("cupy"))
    found = doctor.examine()
    assert found["backends"]["cupy"] == "no CUDA device works here (libcudart.so.12 not found)"
    assert "libcudart.so.12 not found while loading cuda" in found["cuda"]["cupy"]["nvrtc"]
    assert dict(lines(found))["CuPy"].startswith("runtime not usable: RuntimeError")


def test_a_cupy_that_cannot_be_imported_shows_its_own_error(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libnvrtc is of another version')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    problem = available_backends()["cupy"]
    assert problem.startswith("CuPy cannot be imported (libnvrtc is of another version); install it with pip install")
    assert doctor.cuda()["cupy"]["problem"] == "ImportError: libnvrtc is of another version"


def test_a_folder_that_cannot_be_written(no_trials, monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(file / "cache"))
    assert not doctor.folders()["cache_writable"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="access rights of POSIX")
def test_a_kernel_cache_that_is_refused(no_trials, monkeypatch, tmp_path):
    monkeypatch.setenv("BRFKIT_CACHE_DIR", str(tmp_path))
    assert doctor.folders()["compiled_code"] == {"kernels": "ok", "cuda": "ok"}
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    reason = "can be written by other users (chmod go-w)"
    assert doctor.folders()["compiled_code"] == {"kernels": reason, "cuda": "ok"}
    assert dict(lines(doctor.examine()))["cache/kernels"] == f"not used: {reason}"
