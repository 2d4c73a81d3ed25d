"""Settings that a user gave and that have no effect beside the others: each is an error, not a silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from brfkit.data.audio.settings import COCHLEA, MFCC, RAW, SPIKING
from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_folder, is_path
from brfkit.runs.config import LSTM, Config

_SPIKING_ONLY = ("rate_penalty", "rate_target", "spike_dropout")

Rule = tuple[str, Callable[[Config], bool], str]

_RECORDINGS = (
    "test_speakers", "test_seed", "speaker_pattern", "front_end", "sample_rate", "duration", "frame_step",
    "frame_width", "bands", "coefficients", "threshold",
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    *(
        (
            f"data.{name}",
            lambda c: not (is_path(c.data.dataset) and is_folder(c.data.dataset)),
            "unless the data set is a folder of recordings",
        )
        for name in _RECORDINGS
    ),
    ("data.test_seed", lambda c: c.data.test_fraction is None, "without a test_fraction"),
    ("data.coefficients", lambda c: c.data.front_end not in (None, MFCC), "unless the front end is mfcc"),
    ("data.threshold", lambda c: c.data.front_end not in SPIKING, "unless the front end gives spikes"),
    *(
        (f"data.{name}", lambda c: c.data.front_end == RAW, "on the front end raw")
        for name in ("frame_step", "frame_width", "bands")
    ),
    ("data.frame_width", lambda c: c.data.front_end == COCHLEA, "on the front end cochlea"),
    ("training.rate_target", lambda c: c.training.rate_penalty == 0, "without a firing-rate penalty (rate_penalty)"),
    ("data.validation_blocks", lambda c: c.data.validation != "blocks", "unless validation is blocks"),
    ("data.validation", lambda c: c.data.validation_fraction == 0, "where validation_fraction is 0"),
    (
        "training.stop_accuracy",
        lambda c: c.data.validation_fraction == 0,
        "without validation samples (validation_fraction is 0)",
    ),
    ("network.omega_init", lambda c: c.network.start_from is not None, "where weights come from start_from"),
    ("network.w_in_init", lambda c: c.network.start_from is not None, "where weights come from start_from"),
    ("network.init", lambda c: c.network.start_from is not None, "where weights come from start_from"),
    ("network.init.omega", lambda c: c.network.omega_init is not None, "where omega_init draws ω"),
    (
        "network.mask_seed",
        lambda c: not any(one.density for one in c.network.resolved_layers()),
        "on dense layers (network.density)",
    ),
    ("training.schedule", lambda c: c.training.epochs == 1, "in a run of one epoch"),
    ("network.dt", lambda c: c.network.neuron == LSTM, f"on neuron {LSTM}, which has no time step"),
    ("network.readout", lambda c: c.network.neuron == LSTM, f"on neuron {LSTM}, which has a linear readout"),
    ("network.readout_bias", lambda c: c.network.neuron == LSTM, f"on neuron {LSTM}, which always has one"),
    *(
        (f"training.{name}", lambda c: c.network.neuron == LSTM, f"on neuron {LSTM}, which has no spikes")
        for name in _SPIKING_ONLY
    ),
)


def check_used(config: Config, given: Mapping[str, Any]) -> None:
    """Refuse settings without effect.

    Args:
        config: what is run.
        given: sections with the keys that the user has set, as options or single settings; those of presets and files
            are not held against the user.

    Raises:
        BrfkitError: names the first setting that has no effect, and why.
    """
    for key, idle, why in RULES:
        section, name, *rest = key.split(".")
        values = given.get(section, {})
        value = values.get(name) if isinstance(values, Mapping) else None
        if rest:
            value = value.get(rest[0]) if isinstance(value, Mapping) else None
        if value is not None and idle(config):
            raise BrfkitError(f"{key} has no effect {why}")


def check_once(options: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse a key that an option and ``--set`` give both.

    Raises:
        BrfkitError: names it.
    """
    for section, values in options.items():
        also = settings.get(section, {})
        for name, value in values.items():
            if not isinstance(also, Mapping) or name not in also:
                continue
            inner = (
                set(value) & set(also[name]) if isinstance(value, Mapping) and isinstance(also[name], Mapping) else {""}
            )
            if inner:
                raise BrfkitError(f"{section}.{name} is given twice, by an option and by --set")
