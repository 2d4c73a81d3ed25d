"""Data of one step, of one bin, or with one test sample: `inspect` and `report` run to their end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brfkit.cli import run

CLASSES = 2


def dense(path, steps, test):
    rng, content = np.random.default_rng(0), {}
    for part, samples in (("train", 24), ("test", test)):
        content |= {f"x_{part}": rng.normal(size=(samples, steps, 3)), f"y_{part}": np.arange(samples) % CLASSES}
    np.savez(path, **content)
    return []


def events(path):
    rng, content = np.random.default_rng(0), {"bin_width": 0.02, "steps": 50, "channels": 3}
    for part, samples in (("train", 24), ("test", 6)):
        content |= {f"times_{part}": rng.uniform(0, 1, 5 * samples), f"units_{part}": rng.integers(0, 3, 5 * samples)}
        content |= {f"offsets_{part}": 5 * np.arange(samples + 1), f"y_{part}": np.arange(samples) % CLASSES}
    np.savez(path, **content)
    return ["--bins", "1"]


KINDS = {
    "one step": lambda path: dense(path, 1, 6),
    "one bin": events,
    "one sample": lambda path: dense(path, 30, 1),
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    options = KINDS[request.param](folder / "data.npz")
    words = ["train", "--dataset", folder / "data.npz", "--hidden", "5", "--epochs", "1", "--run-dir", folder / "run"]
    assert run([*map(str, words), *options, "--threads", "1"]) == 0
    return request.param, folder / "run"


def test_inspect(trained, tmp_path, capfd):
    kind, folder = trained
    capfd.readouterr()
    arguments = ["inspect", str(folder), "--threads", "1", "--json"]
    assert run([*arguments, "--out", str(tmp_path / "a")]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    drawn = [name for name in found["files"] if name.startswith("sample-")]
    assert drawn == (["sample-0.png"] if kind == "one sample" else ["sample-0.png", "sample-1.png"])
    assert ("only 1 sample; drawn: 0" in err) == (kind == "one sample")
    assert ("spectrum.png" in found["files"]) == (kind == "one sample")  # one step has no frequency but 0
    assert sorted(found["files"]) == sorted(path.name for path in (tmp_path / "a").iterdir())
    if kind == "one sample":  # what is asked for is not left out without a word
        assert run([*arguments, "--out", str(tmp_path / "b"), "--show", "0,1"]) == 1
        assert "there is no sample 1" in capfd.readouterr().err


def test_report(trained, tmp_path, capfd):
    _, folder = trained
    capfd.readouterr()
    quick = ["--samples", "4", "--repeats", "1", "--perturbation", "spike-deletion", "--threads", "1", "--json"]
    assert run(["report", str(folder), "--out", str(tmp_path / "a.html"), *quick]) == 0
    found = json.loads(capfd.readouterr().out)
    assert set(found["skipped"]) == {"landscape"}, found["skipped"]
    assert found["sections"] == ["run", "curves", "inspect", "robustness", "gradients"]
