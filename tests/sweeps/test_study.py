"""Studies end to end on the embedded data set: trials, pruning, Pareto front, lost trials, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brfkit.cli import run as cli
from brfkit.errors import BrfkitError
from brfkit.experiment import sweep
from brfkit.runs.config_files import parse_toml, read_config_file
from brfkit.sweeps.results import best_config, study_result
from brfkit.sweeps.run import work
from brfkit.sweeps.storage import PROCESS, RETRIED, open_study, process_attributes, retry_lost_trials
from brfkit.sweeps.study_file import parse_study
from brfkit.sweeps.trial import Places

optuna = pytest.importorskip("optuna")

SMALL = """
[base]
dataset = "tones"
[base.data]
limit_train = 120
limit_test = 20
[base.network]
hidden = [16]
[base.training]
epochs = 1
batch_size = 10
learning_rate = 0.2
"""
SPACE = '[space]\n"training.learning_rate" = { low = 0.05, high = 0.3, log = true }\n"network.dt" = [0.005, 0.01]\n'


def spec(study: str, space: str = SPACE) -> Any:
    return parse_study(parse_toml(f"[study]\n{study}\n{SMALL}{space}"), "small")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(f'[study]\ntrials = 5\nseeds = "0-1"\n{SMALL}{SPACE}')
    return sweep(folder / "small.toml", folder / "out", backend="numba"), folder


def test_trials_are_run_folders_with_a_run_for_every_seed(finished: tuple[Any, Path]):
    result, folder = finished
    assert result.to_dict()["complete"] == 5
    for trial in result.trials:
        for seed in (0, 1):
            run = folder / "out" / "trials" / trial.folder / f"seed-{seed}"
            config = read_config_file(run / "config.json")
            assert config["training"]["seed"] == seed
            assert config["training"]["learning_rate"] == trial.params["training.learning_rate"]
            assert (run / "best.npz").is_file()
            assert (run / "result.json").is_file()


def test_objective_is_the_mean_over_seeds_at_the_best_validation_loss(finished: tuple[Any, Path]):
    result, _ = finished
    best = result.best[0]
    assert best.values["validation_accuracy"] == pytest.approx(
        sum(run["validation_accuracy"] for run in best.runs) / 2, abs=1e-12
    )
    assert best.values["validation_accuracy"] == max(t.values["validation_accuracy"] for t in result.trials)
    assert best.spread("validation_accuracy") is not None
    # Otherwise the lines above say nothing.
    assert len({run["validation_loss"] for t in result.trials for run in t.runs}) > 2


def test_a_finished_study_that_is_started_again_does_nothing(finished: tuple[Any, Path]):
    result, folder = finished
    again = sweep(folder / "small.toml", folder / "out", backend="numba")
    assert [t.number for t in again.trials] == [t.number for t in result.trials]
    assert again.seconds < 5


def test_more_trials_go_on_with_other_points(finished: tuple[Any, Path], tmp_path: Path):
    study = spec('trials = 2\nsampler = "random"')
    sweep(study, tmp_path, backend="numba")
    sweep(spec('trials = 4\nsampler = "random"'), tmp_path, backend="numba")
    rates = [t.params["training.learning_rate"] for t in study_result(study, tmp_path).trials]
    assert len(rates) == len(set(rates)) == 4


def test_the_same_study_twice_draws_the_same_points(tmp_path: Path):
    found = []
    for name in ("a", "b"):
        result = sweep(spec('trials = 2\nsampler = "random"\nseed = 3'), tmp_path / name, backend="numba")
        found.append([(dict(t.params), dict(t.values)) for t in result.trials])
    assert found[0] == found[1]


def test_grid_visits_every_point_once(tmp_path: Path):
    space = '[space]\n"network.dt" = [0.005, 0.01]\n"training.batch_size" = {low = 20, high = 30, step = 10}\n'
    result = sweep(spec('sampler = "grid"', space), tmp_path, backend="numba")
    points = {(t.params["network.dt"], t.params["training.batch_size"]) for t in result.trials}
    assert points == {(0.005, 20), (0.005, 30), (0.01, 20), (0.01, 30)}
    assert len(result.trials) == 4


def test_several_objectives_give_a_pareto_front(tmp_path: Path):
    study = spec('trials = 4\nobjectives = ["validation_loss", "spikes_per_sample"]')
    result = sweep(study, tmp_path, backend="numba")
    front = result.to_dict()["best"]["pareto"]
    for trial in front:
        assert not any(
            t.values["validation_loss"] < trial["validation_loss"]
            and t.values["spikes_per_sample"] < trial["spikes_per_sample"]
            for t in result.complete()
        )


def test_pruned_trials_are_counted_and_keep_their_runs(tmp_path: Path):
    space = '[space]\n"training.learning_rate" = [1e-9, 0.2]\n'
    study = spec('trials = 10\nsampler = "random"\npruner = "median"\nobjectives = ["validation_loss"]', space)
    study = replace(study, base={**study.base, "training": {"epochs": 2, "batch_size": 10}})
    result = sweep(study, tmp_path, backend="numba")
    assert result.count("pruned") > 0
    assert result.count("complete") + result.count("pruned") == 10
    pruned = next(t for t in result.trials if t.state == "pruned")
    assert (tmp_path / "trials" / pruned.folder / "seed-0" / "metrics.csv").is_file()


def lose(study: Any, **process: Any) -> int:
    """A running trial whose process is not there."""
    trial = study.ask()
    trial.suggest_float("training.learning_rate", 0.05, 0.3, log=True)
    trial.suggest_categorical("network.dt", [0.005, 0.01])
    trial.set_user_attr(PROCESS, {**process_attributes(), **process})
    return trial.number


def test_a_lost_trial_is_run_again_with_its_values(tmp_path: Path):
    definition = spec("trials = 3")
    study = open_study(definition, tmp_path)
    lost = lose(study, start="another process of that number")
    from brfkit.backends import get_backend

    work(definition, Places(tmp_path, get_backend("numba")))
    trials = study.get_trials(deepcopy=False)
    assert trials[lost].user_attrs[RETRIED]
    again = [t for t in trials if t.number != lost and t.params == trials[lost].params]
    assert len(again) == 1
    assert again[0].state == optuna.trial.TrialState.COMPLETE
    assert len(study_result(definition, tmp_path).trials) == 3


def test_a_lost_trial_is_queued_once_and_a_living_one_never(tmp_path: Path):
    study = open_study(spec("trials = 3"), tmp_path)
    lose(study)
    assert retry_lost_trials(study) == 0
    lose(study, host="another", time=0.0)
    assert retry_lost_trials(study) == 1
    assert retry_lost_trials(study) == 0


def test_another_study_in_the_same_folder_is_refused(tmp_path: Path):
    sweep(spec("trials = 1"), tmp_path, backend="numba")
    with pytest.raises(BrfkitError, match="has another"):
        sweep(spec("trials = 1", '[space]\n"training.batch_size" = [4]\n'), tmp_path, backend="numba")


@pytest.mark.parametrize("content", [b"not a journal\n", b'{"op_code": 99}\n', b"\x00\xff\n{}\n"])
def test_a_damaged_journal_is_one_line(content: bytes, tmp_path: Path):
    (tmp_path / "journal.log").write_bytes(content)
    with pytest.raises(BrfkitError, match=r"journal\.log (is damaged|cannot be (used|opened))"):
        sweep(spec("trials = 1"), tmp_path, backend="numba")


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nothing://x", "postgresql://me:secret@localhost/x"])
def test_a_storage_that_cannot_be_used_is_one_line_without_its_password(url: str, tmp_path: Path):
    with pytest.raises(BrfkitError) as error:
        sweep(spec("trials = 1"), tmp_path, backend="numba", storage=url)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_command_shows_a_study_and_writes_its_files(
    finished: tuple[Any, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    _, folder = finished
    files = {name: tmp_path / name for name in ("s.png", "t.csv", "s.html", "best.toml")}
    arguments = ["sweep", "show", str(folder / "out"), "--plot", str(files["s.png"]), "--csv", str(files["t.csv"])]
    arguments += ["--html", str(files["s.html"]), "--best", str(files["best.toml"]), "--json"]
    assert cli(arguments) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["complete"] == 5
    assert set(shown) >= {"study", "trials", "complete", "pruned", "failed", "best", "seconds"}
    assert files["s.png"].read_bytes().startswith(b"\x89PNG")
    assert len(files["t.csv"].read_text().splitlines()) == 6
    assert "<script" not in files["s.html"].read_text()
    result = study_result(finished[0].spec, folder / "out")
    assert parse_toml(files["best.toml"].read_text()) == json.loads(json.dumps(best_config(result)))
    assert cli([*arguments[:5], "--json"]) == 1
    assert "exists" in capfd.readouterr().err


def test_best_configuration_trains(finished: tuple[Any, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    _, folder = finished
    best = tmp_path / "best.toml"
    assert cli(["sweep", "show", str(folder / "small.toml"), "--out", str(folder / "out"), "--best", str(best)]) == 0
    capfd.readouterr()
    assert cli(["train", "--config", str(best), "--run-dir", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["epochs"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.toml"], 2, "does not exist"),
        (["show", "."], 1, "not the folder of a study"),
        ([], 2, "Usage: brfkit sweep STUDY.toml"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert cli(["sweep", *arguments]) == code
    assert message in capfd.readouterr().err
