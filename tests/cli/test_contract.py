"""What holds for every command: help, exit codes, streams, one line for an error."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys

import click
import pytest

from brfkit.cli import COMMANDS, cli
from tests.cli.conftest import environment
from tests.clock import child_seconds

HEAVY = ("torch", "numba", "matplotlib", "scipy", "h5py", "rich", "numpy")


def test_help_is_quick_and_imports_nothing_heavy():
    script = (
        "import sys; from brfkit.cli import run; code = run(['--help']); print(sorted(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    modules = done.stdout.splitlines()[-1]
    assert [name for name in HEAVY if f"'{name}'" in modules] == []
    seconds = []
    for _ in range(5):
        began = child_seconds()
        subprocess.run([sys.executable, "-m", "brfkit", "--help"], capture_output=True, env=environment(), check=True)
        seconds.append(child_seconds() - began)
    assert statistics.median(seconds) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(command, name):
    shown = command(name, "--help")
    assert shown.code == 0
    assert shown.err == ""
    examples = [line.strip() for line in shown.out.splitlines() if line.strip().startswith(f"brfkit {name}")]
    assert examples, shown.out
    assert "Usage: brfkit " + name in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_first_of_the_command(name):
    loaded = cli.get_command(None, name)  # type: ignore[arg-type]
    assert loaded is not None
    assert loaded.help.strip().splitlines()[0] == COMMANDS[name]


def all_commands():
    """Every command that does something, with the words that call it: also those within groups."""
    for name in COMMANDS:
        loaded = cli.get_command(None, name)  # type: ignore[arg-type]
        if isinstance(loaded, click.Group):
            yield from (((name, sub), command) for sub, command in loaded.commands.items())
        else:
            yield (name,), loaded


ALL = {" ".join(words): loaded for words, loaded in all_commands()}


@pytest.mark.parametrize("words", ALL)
def test_examples_name_options_that_exist(words):
    loaded = ALL[words]
    options = {flag for parameter in loaded.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    examples = [line for line in loaded.help.splitlines() if line.strip().startswith(f"brfkit {words}")]
    assert examples
    for line in examples:
        assert set(re.findall(r"--[a-z-]+", line)) <= options


@pytest.mark.parametrize("words", ALL)
def test_every_command_has_the_common_options(words):
    loaded = ALL[words]
    assert {"as_json"} <= {parameter.name for parameter in loaded.params}
    assert "--debug" in {flag for parameter in loaded.params for flag in parameter.opts}


def test_usage_errors_exit_with_2(command):
    for arguments, words in (
        (["simulat"], "Did you mean 'simulate'?"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["simulate", "--bogus"], "No such option: --bogus|No such option '--bogus'"),
        (["simulate", "--steps", "0"], "--steps"),
        (["simulate", "--steps", "many"], "--steps"),
        (["simulate", "--dt", "0"], "--dt"),
        (["simulate", "--dt", "nan"], "--dt"),
        (["simulate", "--omega", "fast"], "'fast' is no number"),
        (["simulate", "--omega", "inf"], "'inf' is no number"),
        (["simulate", "--start", "2", "--stop", "1"], "--stop 1 is not after --start 2"),
        (["simulate", "--out", "trace.txt"], "must end in .npz, .h5, .csv"),
        (["simulate", "--plot", "trace.jpg"], "must end in .png, .svg, .pdf"),
        (["simulate", "--set", "tau_mem"], "NAME=VALUE"),
        (["simulate", "--set", "theta=1,2"], "takes one number"),
        (["simulate", "--backend", "abacus"], "abacus"),
        (["simulate", "--sample", "1"], "--sample does not go without --checkpoint"),
        (["simulate", "--checkpoint", "x", "--omega", "3"], "--omega does not go with --checkpoint"),
        (["train", "--hidden", "0"], "not a size"),
        (["train", "--resume"], "--resume has no effect without --run-dir"),
        (["evaluate"], "CHECKPOINT"),
        (["neurons", "brf", "lif"], "lif"),
    ):
        result = command(*arguments)
        assert result.code == 2, (arguments, result)
        assert result.out == ""
        assert re.search(words, result.err), result.err
        assert "Traceback" not in result.err


def failures(tmp_path):
    """Commands that cannot be done, and what their one line has to name."""
    (tmp_path / "there.npz").write_bytes(b"mine")
    (tmp_path / "bad.csv").write_text("1\ntwo\n")
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 not really")
    (tmp_path / "bad.toml").write_text("[training\n")
    return (
        (["neurons", "brff"], "brff.*did you mean 'brf'"),
        (["simulate", "--neuron", "brff"], "brff"),
        (["simulate", "--omega", "100"], "omega 100.*δω < 1"),
        (["simulate", "--omega", "5:50"], "--neurons"),
        (["simulate", "--neuron", "lif", "--omega", "5"], "omega"),
        (["simulate", "--neuron", "lif", "--no-refractory"], "refractory"),
        (["simulate", "--set", "kappa=1"], "kappa"),
        (["simulate", "--backend", "reference", "--dtype", "float32"], "float64"),
        (["simulate", "--stimulus", "square"], "square"),
        (["simulate", "--stimulus", tmp_path / "none.npy"], "none.npy"),
        (["simulate", "--stimulus", tmp_path / "bad.csv"], "bad.csv.*line 2"),
        (["simulate", "--stimulus", tmp_path / "bad.npy"], "bad.npy"),
        (["simulate", "--out", tmp_path / "there.npz"], "there.npz.*--force"),
        (["simulate", "--out", tmp_path / "nowhere" / "x.npz"], "nowhere"),
        (["simulate", "--checkpoint", tmp_path], "not the folder of a run|is an empty folder"),
        (["simulate", "--checkpoint", tmp_path / "none.npz"], "none.npz"),
        (["evaluate", tmp_path / "none.pt", "--dataset", "tones"], "none.pt"),
        (["evaluate", tmp_path / "bad.pt", "--dataset", "tones"], "bad.pt"),
        (["train", "--dataset", "toness", "--run-dir", tmp_path / "r0"], "toness"),
        (["train", "--neuron", "brff", "--run-dir", tmp_path / "r1"], "brff"),
        (["train", "--config", tmp_path / "bad.toml", "--run-dir", tmp_path / "r2"], "bad.toml"),
        (["train", "--set", "training.epochz=3", "--run-dir", tmp_path / "r3"], "epochz"),
        (["train", "--dataset", "ecg", "--data-dir", tmp_path, "--run-dir", tmp_path / "r4"], "QTDB_train.mat"),
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_errors_are_one_line_and_exit_with_1(command, tmp_path, as_json):
    for arguments, words in failures(tmp_path):
        result = command(*arguments, *(["--json"] if as_json else []))
        lines = result.err.splitlines()
        assert result.code == 1, (arguments, result)
        assert result.out == ""
        assert len(lines) == 1, (arguments, lines)
        assert lines[0].startswith("Error: ")
        assert "unexpected" not in lines[0], lines
        assert re.search(words, lines[0]), (arguments, lines)
    assert (tmp_path / "there.npz").read_bytes() == b"mine"


def test_a_missing_backend_says_what_is_missing(command):
    import importlib.util

    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is here")
    result = command("simulate", "--backend", "cupy", "--json")
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(r"Error: backend cupy: .*pip install .*\n", result.err)


def test_debug_shows_where(process):
    plain = process("simulate", "--omega", "100")
    debug = process("simulate", "--omega", "100", "--debug")
    assert (plain.code, debug.code) == (1, 1)
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert "BrfkitError" in debug.err


@pytest.mark.parametrize("arguments", [["neurons"], ["neurons", "brf"], ["simulate", "--steps", "20"]])
def test_json_is_one_object_on_stdout(command, arguments):
    result = command(*arguments, "--json")
    assert result.code == 0
    assert result.err == ""
    assert isinstance(json.loads(result.out), dict)
    assert result.out.count("\n") == 1


def test_a_reader_that_goes_away_is_no_crash():
    pipe = subprocess.run(
        f"'{sys.executable}' -m brfkit neurons --json | true", shell=True, capture_output=True, text=True,
        env=environment(), check=False,
    )  # fmt: skip
    assert "Traceback" not in pipe.stderr


def test_the_version(command):
    from brfkit import __version__

    assert command("--version").out.strip().endswith(__version__)
