"""From what the user said to a full configuration: defaults, preset, file, single settings, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brfkit.checkpoints.native import Checkpoint
from brfkit.data.registry import ARRAYS, dataset_spec
from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_folder, is_path
from brfkit.neurons import NEURONS, neuron_argument, neuron_name
from brfkit.runs.config import LSTM, Config, DataConfig, NetworkConfig
from brfkit.runs.config_files import merge, parse_toml, read_config_file
from brfkit.runs.presets import find_preset, preset_dataset, read_preset
from brfkit.runs.settings import short
from brfkit.task import Task

CUSTOM = "custom"  # preset of custom data sets
_WHOLE = {"neuron", "hidden", "readout", "dt", "options", "init"}  # keys of a whole network section


def resolve(
    dataset: str | None = None,
    neuron: str | None = None,
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    labels_per_step: bool | None = None,
) -> Config:
    """The configuration of a run.

    Args:
        dataset, neuron: choose the preset; None takes them from the file, else ``tones`` and the preset's neuron. The
            path of a file is made absolute, so that the run can be evaluated from another folder.
        preset: name of a preset to take in place of the one that they choose; what it says of them holds, also by its
            name (``ecg-brf`` is for ``ecg``).
        file: ``.toml`` or ``.json`` with sections.
        overrides: sections whose keys come last.
        labels_per_step: of custom data; None looks.
    """
    sections = read_config_file(file) if file is not None else {}
    overrides = overrides or {}
    start = {} if preset is None else read_preset(preset)
    named = {} if preset is None else {"data": {"dataset": preset_dataset(preset)}}
    given = (overrides, sections, start, named)
    dataset = _named(dataset, given, "data", "dataset") or "tones"
    neuron = None if neuron is None else neuron_argument(neuron)  # the user's own word, which may be a file
    neuron = _named(neuron, given, "network", "neuron") or _first_layer_neuron(given)
    dataset = str(Path(dataset).expanduser().resolve()) if is_path(dataset) else dataset.lower()
    neuron = None if neuron is None else neuron_name(neuron)
    whole = _mapping(sections, "network").keys() >= _WHOLE  # a stored or printed configuration says everything
    if preset is None and not whole:
        _, start = find_preset(dataset, neuron)
        if is_path(dataset) or dataset == ARRAYS:
            start = _custom(dataset, neuron, merge(sections, overrides), labels_per_step)
    merged = _over_layers(_over_layers(start, sections), overrides)
    merged = merge(merged, {"data": {"dataset": dataset}, "network": {"neuron": neuron} if neuron else {}})
    return Config.from_dict(merged)


def _custom(dataset: str, neuron: Any, given: Mapping[str, Any], labels_per_step: bool | None) -> dict[str, Any]:
    """The preset of custom data without what does not go with the neuron, the given settings, or the labels."""
    start = read_preset(CUSTOM)
    network = _mapping(given, "network")
    init = dict(_mapping(network, "init"))
    for layer in network.get("layers") or ():
        init |= _mapping(layer, "init") if isinstance(layer, Mapping) else {}
    name = str(neuron or NetworkConfig().neuron)
    known = NEURONS.get(name)
    if network.get("start_from") is not None or "w_in" in init or name == LSTM:
        del start["network"]["w_in_init"]
    has_omega = known is not None and any(p.name == "omega" for p in known.parameters)
    if network.get("start_from") is not None or "omega" in init or not has_omega:
        del start["network"]["omega_init"]
    try:
        if labels_per_step is None and "task" not in given and not is_folder(dataset):
            labels_per_step = dataset_spec(dataset).labels_per_step
    except BrfkitError:  # which reading the data will raise again, with the options that belong to it
        labels_per_step = False
    if labels_per_step or "task" in given:
        del start["task"]
    return start


def _over_layers(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings put over others. Layers one by one take the place of ``hidden``, and the other way round; files among
    the layers' neurons are loaded, as those of ``network.neuron`` are."""
    network, below = over.get("network"), base.get("network")
    layers = network.get("layers") if isinstance(network, Mapping) else None
    if isinstance(layers, list | tuple) and isinstance(network, Mapping):
        named = [
            {**one, "neuron": neuron_name(one["neuron"])}
            if isinstance(one, Mapping) and isinstance(one.get("neuron"), str)
            else one
            for one in layers
        ]
        over = {**over, "network": {**network, "layers": named}}
    dropped = "hidden" if layers else "layers" if isinstance(network, Mapping) and "hidden" in network else None
    if dropped is not None and isinstance(below, Mapping):
        base = {**base, "network": {name: value for name, value in below.items() if name != dropped}}
    return merge(base, over)


def published(dataset: str, neuron: str) -> Config:
    """The published settings for a data set and neuron; there being none is a :class:`BrfkitError`."""
    name, preset = find_preset(dataset, neuron)
    if name is None:
        raise BrfkitError(f"there is no published setting for {dataset} with {neuron} neurons")
    return Config.from_dict(merge(preset, {"data": {"dataset": dataset}}))


def trained_on(checkpoint: Checkpoint, dataset: str | None) -> tuple[DataConfig, Task]:
    """What a network is evaluated on and where loss and accuracy are taken: as trained, or as published.

    Raises:
        BrfkitError: the checkpoint does not say what it was trained on and no data set is given.
    """
    stored = checkpoint.meta.get("config")
    if stored is not None:
        config = Config.from_dict(stored)
        data = config.data if dataset in (None, config.data.dataset) else config.data.elsewhere(str(dataset))
        return data, config.task
    if dataset is None:
        raise BrfkitError("this checkpoint does not say what it was trained on; use --dataset")
    config = published(dataset, checkpoint.network.layers[0].neuron)
    return config.data, config.task


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Sections from ``section.key=value`` strings; values are written as in TOML, text also without quotes."""
    sections: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".", 2)
        if not equals or len(keys) < 2 or not all(keys):
            raise BrfkitError(f"{setting!r} is not of the form section.key=value")
        try:
            value = parse_toml(f"value = {text}")["value"]
        except BrfkitError:  # text without quotes, or a list without brackets
            value = text.strip()
        nested: Any = value
        for key in reversed(keys):
            nested = {key: nested}
        sections = merge(sections, nested)
    return sections


def _named(given: str | None, parts: Sequence[Mapping[str, Any]], section: str, key: str) -> str | None:
    """What was given, or the first of the parts to name it."""
    for value in (given, *(_get(part, section, key) for part in parts)):
        if value is None:
            continue
        if not isinstance(value, str):
            raise BrfkitError(f"{section}.{key} must be text, not {short(value)}")
        if not value.strip() or "\0" in value:
            raise BrfkitError(f"{section}.{key} is empty" if "\0" not in value else f"{section}.{key} holds a NUL")
        return value
    return None


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def _first_layer_neuron(parts: Sequence[Mapping[str, Any]]) -> str | None:
    """The neuron of the first hidden layer, where layers are described one by one."""
    for part in parts:
        layers = _get(part, "network", "layers")
        if isinstance(layers, list | tuple) and layers:
            first = layers[0]
            found = first.get("neuron") if isinstance(first, Mapping) else getattr(first, "neuron", None)
            return found if isinstance(found, str) and found else None
    return None


def _get(sections: Mapping[str, Any], section: str, key: str) -> Any:
    values = sections.get(section)
    return values.get(key) if isinstance(values, Mapping) else None
