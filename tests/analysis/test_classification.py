"""Figures by class against scikit-learn's definitions, written out, and the bootstrap against theory."""

from __future__ import annotations

import numpy as np
import pytest

import brfkit
from brfkit.analysis.network.classification import MOST_CLASSES, Answers, interval
from brfkit.data import DenseSplit
from brfkit.network import recurrent_network
from brfkit.task import Task
from brfkit.trained import TrainedNetwork

TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 2, 3])


def counted(true=TRUE, predicted=PREDICTED, classes=5, batch=3):
    answers = Answers(classes)
    for first in range(0, len(true), batch):
        part = slice(first, first + batch)
        answers.add(true[part], predicted[part], np.arange(len(true[part])), len(true[part]))
    return answers.result(("a", "b", "c"))


def test_figures_by_class():
    found = counted()
    assert found.confusion.tolist() == [
        [3, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert found.recall[:3].tolist() == [75.0, 50.0, 50.0]
    assert np.isnan(found.recall[3:]).all()
    assert found.balanced_accuracy == pytest.approx(175 / 3)
    # Class 3 is predicted and never true: F1 0. Class 4 is neither and does not count.
    assert found.macro_f1 == pytest.approx(100 * (6 / 8 + 2 / 4 + 2 / 3 + 0) / 4)
    assert found.class_names == ("a", "b", "c", "3", "4")
    assert found.to_dict()["recall"] == [75.0, 50.0, 50.0, None, None]


def test_batches_do_not_matter():
    assert counted(batch=8).to_dict() == counted(batch=1).to_dict()


def test_many_classes_have_no_matrix():
    found = counted(classes=MOST_CLASSES + 1)
    assert found.confusion is None
    assert found.to_dict()["confusion"] is None
    assert found.balanced_accuracy == pytest.approx(175 / 3)


def test_nothing_answered():
    empty = np.zeros(0, np.int64)
    answers = Answers(2)
    answers.add(empty, empty, empty, 4)
    values = answers.result(()).to_dict()
    assert (values["accuracy_interval"], values["balanced_accuracy"], values["macro_f1"]) == ([None, None], None, None)


def test_interval_of_single_answers_is_that_of_a_proportion():
    correct = (np.arange(400) < 300).astype(np.int64)
    low, high = interval(correct, np.ones(400, np.int64))
    wanted = 100 * 1.96 * np.sqrt(0.75 * 0.25 / 400)  # the normal approximation
    assert low == pytest.approx(75 - wanted, abs=0.5)
    assert high == pytest.approx(75 + wanted, abs=0.5)
    assert interval(correct, np.ones(400, np.int64)) == (low, high)


def test_interval_is_over_samples_not_over_steps():
    """Samples that are right or wrong throughout are as uncertain as if they had one step."""
    correct, answers = 50 * (np.arange(400) < 300).astype(np.int64), np.full(400, 50)
    low, high = interval(correct, answers)
    assert high - low == pytest.approx(2 * 100 * 1.96 * np.sqrt(0.75 * 0.25 / 400), abs=1.0)
    unanswered = interval(np.r_[correct, 0, 0], np.r_[answers, 0, 0])
    assert unanswered == (low, high)


@pytest.mark.parametrize("where", ["every", "last", "mean", "max"])
def test_evaluate_reports_them(where):
    network = recurrent_network(2, [9], 3)
    weights = network.initialise(0)
    weights["hidden0.w_in"] *= 40
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 31)
    y[4] = -1
    x = rng.normal(size=(31, 20, 2)).astype(np.float32)
    trained = TrainedNetwork(network, weights, Task(where, where, 2), None, "small")
    result = brfkit.evaluate(trained, DenseSplit(x, y), batch_size=7)
    values, confusion = result.to_dict(), np.array(result.to_dict()["confusion"])
    assert confusion.sum() == (30 * 18 if where == "every" else 30)
    assert 100 * np.trace(confusion) / confusion.sum() == pytest.approx(result.accuracy)
    assert confusion.sum(1).tolist() == (np.bincount(y[y >= 0]) * (18 if where == "every" else 1)).tolist()
    low, high = values["accuracy_interval"]
    assert low <= result.accuracy <= high
    assert low < high
    assert values["balanced_accuracy"] == pytest.approx(np.mean(values["recall"]))
