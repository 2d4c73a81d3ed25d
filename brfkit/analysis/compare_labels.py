"""Names for groups of runs: the neuron, and whatever else is needed to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ABSENT = object()
# Settings that people know by a shorter name.
_SHORT = {
    "training.learning_rate": "lr", "training.batch_size": "batch", "training.tbptt": "TBPTT",
    "training.clip_norm": "clip", "network.dt": "δ",
}  # fmt: skip


def label_groups(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for each configuration: the neuron, the data set where there are several, and for those that are still
    alike every setting in which they differ.

    Args:
        configs: sections of plain values; no two alike but for what does not count.
    """
    flat = [_flatten(config) for config in configs]
    datasets = {config["data.dataset"] for config in flat}
    labels = []
    for config in flat:
        start = str(config["network.neuron"]) + (f" on {config['data.dataset']}" if len(datasets) > 1 else "")
        same = [
            other for other in flat
            if (other["network.neuron"], other["data.dataset"]) == (config["network.neuron"], config["data.dataset"])
        ]  # fmt: skip
        keys = sorted({key for other in same for key in other})
        differ = [key for key in keys if any(other.get(key, _ABSENT) != config.get(key, _ABSENT) for other in same)]
        parts = [_part(key, config[key]) for key in differ if key in config and key != "training.seed"]
        labels.append(", ".join([start, *filter(None, parts)]))
    return [label if labels.count(label) == 1 else f"{label} ({i + 1})" for i, label in enumerate(labels)]


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _part(key: str, value: Any) -> str:
    """One setting in few words; nothing for what is off or left to its default."""
    name = _SHORT.get(key, key.split(".", 1)[1].removeprefix("options.").removeprefix("init.").replace("_", " "))
    if key.startswith("network.options."):
        return "" if value else f"no {name}"
    if value is None or value is False:
        return ""
    if value is True:
        return name
    if isinstance(value, list):
        return f"{name} {'-'.join(f'{v:g}' if isinstance(v, int | float) else str(v) for v in value)}"
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
