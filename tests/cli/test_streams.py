"""Streams that are closed, read by someone who leaves, or of another encoding; signals; odd names and folders."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brfkit.cli.signals import signals_received
from tests.cli.conftest import environment

SIZES = ("--hidden", "8", "--epochs", "1", "--limit-train", "20", "--limit-test", "10", "--batch-size", "20")
TRAIN = ("train", "--dataset", "tones", *SIZES, "--threads", "1")
BRFKIT = f"'{sys.executable}' -m brfkit"


def shell(text, folder, **variables):
    done = subprocess.run(
        text, shell=True, cwd=folder, env=environment() | variables, capture_output=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    from brfkit.cli import run

    folder = tmp_path_factory.mktemp("streams") / "run"
    assert run([*TRAIN, "--run-dir", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "1>&- 2>&- <&-"])
def test_closed_streams(run_folder, tmp_path, closed):
    code, out, _ = shell(f"{BRFKIT} evaluate {run_folder} --json --threads 1 {closed}", tmp_path)
    assert code == 0
    assert closed != "2>&-" or json.loads(out)["samples"] == 500


def test_a_reader_who_leaves_does_not_end_a_training(tmp_path):
    shell(f"{BRFKIT} {' '.join(TRAIN)} --run-dir run 2>&1 | head -1", tmp_path)
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "cp1252"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_encodings_without_greek_letters(tmp_path, variables):
    for command in ("neurons brf", "simulate --steps 10", "frequency --help"):
        code, out, err = shell(f"{BRFKIT} {command}", tmp_path, **variables)
        assert (code, err) == (0, b""), (command, err)
        assert out


def test_a_home_that_cannot_be_written(tmp_path, run_folder):
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "c"), "MPLCONFIGDIR": str(home / "m")}
    code, out, err = shell(f"{BRFKIT} evaluate {run_folder} --threads 1 --json", tmp_path, **variables)
    assert code == 0, err
    assert json.loads(out)["samples"] == 500
    assert b"Traceback" not in err


def test_a_deleted_working_directory(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code, out, err = shell(f"rmdir {gone}; {BRFKIT} neurons", gone)
    assert (code, out) == (1, b"")
    assert err.decode().splitlines()[-1].startswith("Error: the current folder does not exist any more")


@pytest.mark.parametrize("name", ["run[/x]", "run [bold]", "$x_{", "r\x1b[2Jn"])
def test_odd_run_folders(command, tmp_path, name):
    result = command(*TRAIN, "--run-dir", tmp_path / name)
    assert result.code == 0, result.err
    assert "\x1b" not in result.out + result.err
    shown = name.replace("\x1b", "\\x1b")
    assert "".join(shown.split()) in "".join(result.out.split())  # the table breaks lines where the path is long
    assert (tmp_path / name / "result.json").exists()


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    name = os.fsencode(tmp_path) + b"/r\xffn"
    done = subprocess.run(
        [sys.executable, "-m", "brfkit", *TRAIN, "--run-dir", name], capture_output=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"r\\xffn" in done.stdout


def test_text_of_errors_is_shown_not_obeyed(command):
    result = command("evaluate", "no\x1b[2Jsuch.npz")
    assert result.code == 1
    assert "\x1b" not in result.err
    assert "no\\x1b[2Jsuch.npz" in result.err


def test_a_second_signal_waits_for_what_the_first_began():
    with signals_received() as received:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # does nothing
    assert (received.first, received.count) == (signal.SIGTERM, 2)
    assert (received.exit_code, received.text) == (143, "Terminated.")
    assert signal.getsignal(signal.SIGTERM) is not received.handle


def test_the_end_of_a_file_is_no_interrupt(command, monkeypatch):
    def broken(*args):
        raise EOFError("nothing there")

    monkeypatch.setattr("brfkit.runs.presets.preset_names", broken)
    monkeypatch.setattr("brfkit.runs.resolve.find_preset", broken)
    result = command("train", "--dataset", "tones")
    assert result.code == 1
    assert "EOFError" in result.err


def test_resume_needs_a_run(command, tmp_path):
    result = command("train", "--resume", "--run-dir", tmp_path / "typo")
    assert result.code == 1
    assert "typo holds no run to go on with" in result.err
    assert not (tmp_path / "typo").exists()


def test_a_finished_run_is_extended(command, run_folder, tmp_path):
    import shutil

    folder = shutil.copytree(run_folder, tmp_path / "longer")
    less = command("train", "--resume", "--run-dir", folder, "--lr", "0.5", "--epochs", "2")
    assert less.code == 1
    assert "training.learning_rate is 0.05 there and 0.5 here" in less.err
    more = command("train", "--resume", "--run-dir", folder, "--epochs", "3", "--threads", "1", "--json")
    assert more.code == 0, more.err
    assert "note: training.epochs was 1 and is 3 from here on" in more.err
    assert json.loads(more.out)["epochs"] == 3
    assert json.loads((folder / "config.json").read_text())["training"]["epochs"] == 3
    extended = json.loads((folder / "run.json").read_text())["extended"]
    assert extended == [{"after_epoch": 1, "training.epochs": [1, 3]}]
    epochs = {int(line.split(",")[0]) for line in (folder / "metrics.csv").read_text().splitlines()[1:]}
    assert epochs == {0, 1, 2, 3}
    fewer = command("train", "--resume", "--run-dir", folder, "--epochs", "2")
    assert "has trained 3 epochs; training.epochs cannot be 2" in fewer.err


def test_an_interrupt_says_how_to_go_on(command, run_folder, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("brfkit.training.run.train", interrupted)
    result = command("train", "--resume", "--run-dir", run_folder)
    assert result.code == 130
    assert f"is complete up to epoch 1; brfkit train --run-dir {run_folder} --resume goes on" in result.err
    assert result.err.splitlines()[-1] == "Interrupted."


def test_data_in_another_folder_are_found_again(command, tmp_path, monkeypatch):
    import numpy as np

    rng = np.random.default_rng(0)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    x, y = rng.normal(size=(20, 5, 2)).astype(np.float32), np.arange(20) % 2
    np.savez(tmp_path / "here" / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.chdir(tmp_path / "here")
    made = command("train", "--dataset", "own.npz", "--hidden", "4", "--epochs", "1", "--run-dir", "run")
    assert made.code == 0, made.err
    monkeypatch.chdir(tmp_path / "there")
    found = command("evaluate", Path("..") / "here" / "run", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["samples"] == 20
    monkeypatch.chdir(tmp_path / "here")  # and a run of a version that kept the path as it was typed
    config = json.loads(Path("run/config.json").read_text())
    config["data"]["dataset"] = "own.npz"
    Path("run/config.json").write_text(json.dumps(config))
    again = command("train", "--resume", "--run-dir", "run")
    assert again.code == 0, again.err
