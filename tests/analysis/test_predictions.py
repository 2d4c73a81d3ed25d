"""``brfkit evaluate --predictions``: the lines are what accuracy and loss are made of."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import brfkit
from brfkit.errors import BrfkitError
from brfkit.task import Task


def network(task):
    layers = (brfkit.Layer("hidden0", "brf", 5), brfkit.Layer("readout", "li", 3, recurrent=False))
    net = brfkit.Network(2, layers, 0.01)
    return brfkit.TrainedNetwork(net, net.initialise(3), task, name="net")


def table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("where", ["last", "mean", "every"])
@pytest.mark.parametrize("per_step", [False, True])
def test_the_lines_are_those_that_accuracy_counts(tmp_path, where, per_step):
    if per_step and where == "mean":
        pytest.skip("labels per step do not go with a mean over time")
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 30, (7, 12, 2)).astype(np.float32), rng.integers(0, 3, (7, 12) if per_step else 7)
    task = Task(where, where, skip_steps=2)
    file = tmp_path / "p.csv"
    found = brfkit.evaluate(network(task), (x, y), predictions=file, batch_size=3, backend="reference")
    rows = table(file)
    assert len(rows) == (70 if where == "every" else 7)
    assert [int(row["sample"]) for row in rows] == np.repeat(np.arange(7), len(rows) // 7).tolist()
    assert ("step" in rows[0]) == (where == "every")
    if where == "every":
        assert [int(row["step"]) for row in rows[:10]] == list(range(2, 12))
    right = [row["true"] == row["predicted"] for row in rows]
    assert 100.0 * np.mean(right) == pytest.approx(found.accuracy, rel=1e-12)
    names = [name for name in rows[0] if name.startswith("probability of ")]
    shares = np.array([[float(row[name]) for name in names] for row in rows])
    np.testing.assert_allclose(shares.sum(1), 1.0, atol=5e-6)  # six digits each
    assert shares.argmax(1).tolist() == [int(row["predicted"]) for row in rows]
    true = [int(row["true"]) for row in rows]
    assert -np.log(shares[np.arange(len(rows)), true]).mean() == pytest.approx(found.loss, rel=1e-4)


def test_a_file_that_is_there_stays(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text("mine")
    x, y = np.ones((2, 4, 2), np.float32), np.array([0, 2])
    net = network(Task())
    with pytest.raises(BrfkitError, match="force=True"):
        brfkit.evaluate(net, (x, y), predictions=file)
    assert file.read_text() == "mine"
    brfkit.evaluate(net, (x, y), predictions=file, force=True)
    assert len(table(file)) == 8
