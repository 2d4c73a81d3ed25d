"""Study files and spaces: what is read, what is refused and how."""

from __future__ import annotations

from typing import Any

import pytest

from brfkit.errors import BrfkitError
from brfkit.neurons import Uniform
from brfkit.runs.config_files import parse_toml
from brfkit.sweeps.space import parse_space, settings_of, suggest
from brfkit.sweeps.study_file import parse_study

pytest.importorskip("optuna")

BASE = '[base]\ndataset = "tones"\n'


def study(text: str) -> Any:
    return parse_study(parse_toml(text), "s")


class First:
    """A trial that takes the lower bound or the first choice."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return low

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return low

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[0]


def test_dotted_nested_and_quoted_keys_are_the_same():
    expected = parse_space({"training.learning_rate": {"low": 0.1, "high": 1.0}})
    assert parse_space({"training": {"learning_rate": {"low": 0.1, "high": 1.0}}}) == expected
    assert parse_space(parse_toml("training.learning_rate = {low = 0.1, high = 1.0}")) == expected


def test_kinds_follow_the_setting_and_not_how_the_bounds_are_written():
    (rate,) = parse_space({"training.learning_rate": {"low": 1, "high": 2}})
    (batch,) = parse_space({"training.batch_size": {"low": 1, "high": 2}})
    assert (rate.integer, batch.integer) == (False, True)


def test_numbers_of_initial_distributions():
    spec = study(BASE + '[space]\n"network.init.omega.low" = {low = 3, high = 9}\n"network.init.omega.width" = [2, 4]')
    values = suggest(spec.dimensions, First(), spec.fixed())
    assert spec.config(values, 5).network.init["omega"] == Uniform(3.0, 5.0)
    assert spec.config(values, 5).training.seed == 5
    high = settings_of({"network.init.omega.high": 70.0}, spec.base_config())
    low = spec.base_config().network.init.get("omega")
    assert high["network"]["init"]["omega"] == ["uniform", low.low if isinstance(low, Uniform) else 5.0, 70.0]


def test_constants_are_numbers():
    spec = study(BASE + '[space]\n"network.constants.gamma" = {low = 0.5, high = 0.9}')
    assert spec.config({"network.constants.gamma": 0.7}, 5).network.constants == {"gamma": 0.7}


def test_conditions_decide_which_settings_exist():
    text = BASE + (
        '[space]\n"training.optimizer" = ["sgd", "adam"]\n'
        '"training.weight_decay" = {low = 0.1, high = 0.2, when = {"training.optimizer" = "adam"}}\n'
        '"training.batch_size" = {choices = [4, 8], when = {"training.optimizer" = "sgd"}}\n'
    )
    values = suggest(study(text).dimensions, First(), {})
    assert values == {"training.optimizer": "sgd", "training.batch_size": 4}


def test_choices_may_be_lists():
    spec = study(BASE + '[space]\n"network.hidden" = [[8], [8, 8]]')
    assert spec.config(suggest(spec.dimensions, First(), {})).network.hidden == (8,)


REFUSED = [
    ("", "no table [space]"),
    ("[space]", "is empty"),
    ('[space]\n"training.rate" = [1]', "has no setting 'rate'"),
    ('[space]\n"trainings.epochs" = [1]', "unknown section 'trainings'"),
    ('[space]\n"training.epochs" = 3', "must be a list of choices"),
    ('[space]\n"training.epochs" = []', "at least one value"),
    ('[space]\n"training.epochs" = [1, 1]', "a value twice"),
    ('[space]\n"training.epochs" = {low = 3, high = 2}', "low must be below high"),
    ('[space]\n"training.epochs" = {low = 1.5, high = 2}', "a whole number"),
    ('[space]\n"training.epochs" = {low = 1}', "high must be a finite number"),
    ('[space]\n"training.epochs" = {low = 0, high = 2, log = true}', "above 0"),
    ('[space]\n"training.epochs" = {low = 1, high = 2, base = 10}', "no key 'base'"),
    ('[space]\n"training.learning_rate" = {low = nan, high = 2}', "finite number"),
    ('[space]\n"training.optimizer" = {low = 1, high = 2}', "is not a number"),
    ('[space]\n"training.optimizer" = ["adamm"]', "adamm"),
    ('[space]\n"network.init.omega.low" = {low = 90, high = 95}\n"network.init.omega.mean" = [1]', "one distribution"),
    ('[space]\n"training.epochs" = [1]\n[studdy]', "unknown table [studdy]"),
    ('[space]\n"training.epochs" = [1]\n[study]\ntrial = 3', "unknown key study.trial"),
    ('[space]\n"training.epochs" = [1]\n[study]\ntrials = 0', "at least 1"),
    ('[space]\n"training.epochs" = [1]\n[study]\ntrials = "many"', "whole number"),
    ('[space]\n"training.epochs" = [1]\n[study]\nsampler = "best"', "study.sampler must be one of"),
    ('[space]\n"training.epochs" = [1]\n[study]\nobjectives = ["accuracy"]', "study.objectives must be one of"),
    ('[space]\n"training.epochs" = [1]\n[study]\nseeds = "a"', "list of seeds"),
    ('[space]\n"training.epochs" = [1]\n[study]\nseeds = [1, 1]', "seed twice"),
    (
        '[space]\n"training.epochs" = [1]\n[study]\npruner = "median"\n'
        'objectives = ["validation_loss", "spikes_per_sample"]',
        "no trial can be pruned",
    ),
    ('[study]\nsampler = "grid"\n[space]\n"training.learning_rate" = {low = 0.1, high = 1}', "a grid needs"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_wrong_studies_are_refused_with_their_key(text: str, message: str):
    with pytest.raises(BrfkitError, match=None) as error:
        study(BASE + text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_base_that_does_not_exist_is_refused():
    with pytest.raises(BrfkitError, match=r"unknown key base\.data_set"):
        study('[base]\ndata_set = "tones"\n[space]\n"training.epochs" = [1]')
