"""Settings from files, and settings put over others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brfkit.io.documents import parse_toml, read_json, read_toml

__all__ = ["merge", "parse_toml", "read_config_file"]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of ``base`` with the keys of ``over`` put in their place, ``options`` and ``init`` key by key."""
    out: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def read_config_file(path: str | Path) -> dict[str, Any]:
    """Sections from a ``.toml`` or ``.json`` file (the ``config.json`` of a run folder is one).

    Raises:
        BrfkitError: the file cannot be read, or holds what no configuration can (:mod:`brfkit.io.documents`).
    """
    path = Path(path)
    return read_json(path) if path.suffix == ".json" else read_toml(path)
