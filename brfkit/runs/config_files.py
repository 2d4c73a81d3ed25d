"""Settings from files, and settings put over others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brfkit.errors import BrfkitError


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of ``base`` with the keys of ``over`` put in their place, ``options`` and ``init`` key by key."""
    out: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merge(out[key], value) if both else value
    return out


def read_config_file(path: str | Path) -> dict[str, Any]:
    """Sections from a ``.toml`` or ``.json`` file (the ``config.json`` of a run folder is one)."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        sections = json.loads(text) if path.suffix == ".json" else parse_toml(text)
    except (OSError, ValueError) as error:  # both decoders raise kinds of ValueError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BrfkitError(f"{path} cannot be read: {reason}") from None
    if not isinstance(sections, dict):
        raise BrfkitError(f"{path} does not hold sections of keys and values")
    return sections


def parse_toml(text: str) -> dict[str, Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found,no-redef]
    return tomllib.loads(text)
