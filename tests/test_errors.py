"""Messages for callers from Python name arguments, those of the command line options."""

from __future__ import annotations

import pickle

import pytest

import brfkit
from brfkit.errors import python_words


def test_options_become_arguments():
    assert python_words("use --force to start anew") == "use force=True to start anew"
    assert python_words("or set --data-dir; leave --neuron out") == "or set data_dir; leave neuron out"
    assert python_words("a -- b, x--y, --") == "a -- b, x--y, --"


def test_public_functions_speak_python(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(brfkit.BrfkitError, match="resume=True to go on") as error:
        brfkit.train("tones", run_dir=tmp_path / "run")
    assert "--" not in str(error.value)


def test_public_functions_stay_what_they_are():
    from brfkit.simulation import simulate

    assert brfkit.simulate is brfkit.simulate
    assert brfkit.simulate.__doc__ == simulate.__doc__
    assert brfkit.simulate.__wrapped__ is simulate
    for name in brfkit.__all__:
        value = getattr(brfkit, name)
        assert pickle.loads(pickle.dumps(value)) is value or name == "__version__", name
    assert isinstance(brfkit.Network, type)
