"""Files that were damaged or made to harm: one clear line or the right result, nothing odd on the terminal."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

from brfkit.checkpoints.lstm import LstmNetwork, load_lstm
from brfkit.cli import run
from brfkit.errors import BrfkitError
from brfkit.io.text import markup, visible
from brfkit.runs.config import TrainingConfig
from brfkit.training.optimiser import make_optimizer, restore_optimizer
from tests.fuzz.formats import FORMATS


@pytest.fixture
def damaged(reference_dir: Path) -> Path:
    folder = reference_dir / "damaged"
    if not folder.is_dir():
        pytest.skip("there are no damaged files in the reference folder")
    return folder


def plain(text: str) -> bool:
    """Whether a terminal would only print it."""
    return not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def refusal(outcome) -> str:
    assert outcome.code == 1
    assert outcome.out == ""
    assert plain(outcome.err)
    line = outcome.err.strip()
    assert "\n" not in line
    assert line.startswith("Error: ")
    assert "unexpected" not in line
    return line


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("surface_2", "path has shape (3, 5) and 7 epochs"),
        ("surface_3", "negative loss"),
        ("surface_4", "checkpoint_sha256 is ['uniform', 1, 2], not text"),
        ("surface_6", "path_shares are not 2 shares"),
        ("surface_7", "neuron is ['uniform', 1, 2], not text"),
    ],
)
def test_damaged_surfaces(command, damaged, tmp_path, name, complaint):
    line = refusal(command("landscape", damaged / f"{name}.h5", "--plot", tmp_path / "x.png"))
    assert complaint in line
    assert not list(tmp_path.iterdir())


def test_names_in_a_surface_are_shown_and_not_obeyed(command, damaged):
    outcome = command("landscape", damaged / "escape_surface.h5")
    assert outcome.code == 0
    assert plain(outcome.out + outcome.err)
    assert r"x\x1b[2Jy: brf on \x1b]0;owned\x07\x1b[2J\x1b[31mred" in outcome.out
    assert "[link=file:///etc/passwd]click[/link]" in outcome.out
    outcome = command("landscape", damaged / "escape_surface.h5", "--json")
    assert outcome.out.isprintable() or plain(outcome.out)
    assert json.loads(outcome.out)["checkpoint"] == "x\x1b[2Jy"


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "--dataset", "tones"),
        ("inspect", "--dataset", "tones"),
        ("robustness", "--perturbation", "input-noise", "--dataset", "tones"),
    ],
)
def test_names_in_a_checkpoint_must_be_printable(command, damaged, arguments):
    name, *options = arguments
    line = refusal(command(name, damaged / "escape_checkpoint.npz", "--dataset", "tones", *options))
    assert "layer 0 of the network has a name that cannot be printed" in line


def test_a_checkpoint_whose_configuration_is_no_object(command, damaged):
    line = refusal(command("evaluate", damaged / "ckpt_config_not_object.npz", "--dataset", "tones"))
    assert "config is False, not an object" in line


def test_a_published_file_with_a_huge_loss(command, damaged):
    line = refusal(command("evaluate", damaged / "pt_loss_huge_int.pt", "--dataset", "ecg", "--neuron", "brf"))
    assert "loss is not a finite number" in line


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("resume_1", "the state of the optimiser has no optimizer/1/exp_avg_sq"),
        ("resume_2", "the meta text has no meta"),
        ("resume_3", "optimizer/2/step is float32 of shape (10,)"),
    ],
)
def test_a_run_is_not_resumed_from_a_damaged_optimiser(command, damaged, tmp_path, name, complaint):
    folder = tmp_path / "run"
    shutil.copytree(damaged / name, folder, copy_function=shutil.copyfile)
    folder.chmod(0o700)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    outcome = command("train", "--resume", "--run-dir", folder, "--config", folder / "config.json")
    assert complaint in refusal(outcome)
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["resume_1", "resume_3"])
def test_the_state_of_an_optimiser_is_compared_with_its_parameters(damaged, name):
    _, _, extra = load_lstm(damaged / name / "last.npz")
    like = LstmNetwork(4, (8,), 10)
    parameters = [torch.nn.Parameter(torch.from_numpy(value)) for value in like.initialise(0).values()]
    optimizer = make_optimizer(TrainingConfig(optimizer="adam"), parameters)
    complaint = "has no optimizer/1/exp_avg_sq" if name == "resume_1" else r"optimizer/2/step is float32 of shape"
    with pytest.raises(BrfkitError, match=complaint):
        restore_optimizer(optimizer, extra, {})
    assert not optimizer.state


def test_markup_in_class_names_is_shown_as_it_is(command, damaged):
    outcome = command("data", "info", damaged / "markup_classnames.npz")
    assert outcome.code == 0
    assert plain(outcome.out + outcome.err)
    with np.load(damaged / "markup_classnames.npz") as file:
        names = [str(name) for name in file["class_names"]]
    shown = re.sub(r"\s+", "", outcome.out)
    for name in names:
        assert re.sub(r"\s+", "", name) in shown


def test_visible_text():
    assert visible("größer τ Δ") == "größer τ Δ"
    assert visible("a\x1b[31mb\x07\n\u202ec\udcff\x9b\x7f\u2028") == r"a\x1b[31mb\x07\x0a\u202ec\xff\x9b\x7f\u2028"
    assert visible("a\nb", keep="\n") == "a\nb"
    assert markup("[red]x[/red]\x1b") == r"\[red]x\[/red]\x1b"


def test_an_error_that_names_a_file_cannot_write_to_the_terminal(capfd, tmp_path):
    name = tmp_path / "a\x1b]0;owned\x07.npz"
    name.write_bytes(b"nothing")
    assert run(["evaluate", str(name), "--dataset", "tones"]) == 1
    assert r"a\x1b]0;owned\x07.npz" in capfd.readouterr().err


def test_one_damaged_run_does_not_lose_the_others(command, tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
        FORMATS["run folder"].bases(folder)
    (folders[1] / "run.json").write_text('{"parameters": {}, "steps": "\\u001b[2J"}')
    (folders[2] / "run.json").write_text('{"parameters": 1, "parameters": 2}')
    outcome = command("compare", *folders, "--json")
    assert outcome.code == 0, outcome.err
    assert plain(outcome.err)
    assert "parameters is {}, not an integer" in outcome.err
    assert "'parameters' is there twice" in outcome.err
    assert len(json.loads(outcome.out)["left_out"]) == 2
