"""Names for groups of runs: the neuron, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ABSENT = object()
# Settings that people know by a shorter name.
_SHORT = {
    "training.learning_rate": "lr", "training.batch_size": "batch", "training.tbptt": "TBPTT",
    "training.clip_norm": "clip", "network.dt": "δ",
}  # fmt: skip

_LAYER = "layer "

# A label with more than this many characters gives way to the name of the folder.
LONGEST = 48


@dataclass(frozen=True)
class Name:
    """What a group is called.

    Attributes:
        label: the neuron, the data set where there are several, and how the group differs from others of the kind: the
            settings in which they differ or, where that would be long for one of them, the folder.
        settings: those settings in words; empty where nothing differs, or all that differs is off.
    """

    label: str
    settings: str


def name_groups(configs: Sequence[Mapping[str, Any]], folders: Sequence[str] = ()) -> list[Name]:
    """A name for each configuration.

    Args:
        configs: sections of plain values; no two alike but for what does not count.
        folders: of each, for labels that would be too long; without any, labels are as long as they have to be.
    """
    flat = [_flatten(config) for config in configs]
    several = len({config["data.dataset"] for config in flat}) > 1
    starts = [f"{_neurons(c)}{' on ' + str(c['data.dataset']) if several else ''}" for c in flat]
    settings = [
        _differences(config, [other for other, at in zip(flat, starts, strict=True) if at == start])
        for config, start in zip(flat, starts, strict=True)
    ]
    labels = [", ".join(filter(None, pair)) for pair in zip(starts, settings, strict=True)]
    if folders:
        long = {start for start, label in zip(starts, labels, strict=True) if len(label) > LONGEST}
        labels = [
            f"{start} ({folder})" if start in long and starts.count(start) > 1 else label
            for start, folder, label in zip(starts, folders, labels, strict=True)
        ]
    labels = [label if labels.count(label) == 1 else f"{label} ({i + 1})" for i, label in enumerate(labels)]
    return [Name(label, words) for label, words in zip(labels, settings, strict=True)]


def _differences(config: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> str:
    """The settings in which some configurations differ, as one of them has them."""
    keys = sorted({key for other in same for key in other} - {"training.seed", "training.keep_weights"})
    differ = [key for key in keys if any(other.get(key, _ABSENT) != config.get(key, _ABSENT) for other in same)]
    return ", ".join(filter(None, (_part(key, config[key]) for key in differ if key in config)))


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            value = {f"{_LAYER}{number}": one for number, one in enumerate(value)}
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _neurons(flat: Mapping[str, Any]) -> str:
    """The hidden neurons, as :attr:`brfkit.runs.config.NetworkConfig.title` names them."""
    kinds: list[str] = []
    where = f"network.layers.{_LAYER}"
    while f"{where}{len(kinds)}.units" in flat:
        kinds.append(flat.get(f"{where}{len(kinds)}.neuron") or flat["network.neuron"])
    return "+".join(dict.fromkeys(kinds or [flat["network.neuron"]]))


def _part(key: str, value: Any) -> str:
    """One setting in few words; nothing for what is off or left to its default."""
    name = _SHORT.get(
        key,
        key.split(".", 1)[1]
        .removeprefix("options.")
        .removeprefix("init.")
        .removeprefix("constants.")
        .removeprefix("layers.")
        .replace("_", " "),
    )
    if key.startswith("network.options."):
        return "" if value else f"no {name}"
    if value is None or value is False or value == [] or (value == 0 and key.startswith("training.")):
        return ""
    if value is True:
        return name
    if isinstance(value, list):
        return f"{name} {'-'.join(f'{v:g}' if isinstance(v, int | float) else str(v) for v in value)}"
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
