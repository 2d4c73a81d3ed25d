"""Folders outside the project."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Folder for what can be made again: compiled kernels and downloads. ``BRFKIT_CACHE_DIR`` moves it."""
    given = os.environ.get("BRFKIT_CACHE_DIR")
    if given:
        return Path(given)
    try:
        import platformdirs
    except ImportError:  # not everywhere where kernels run
        return Path.home() / ".cache" / "brfkit"
    return Path(platformdirs.user_cache_dir("brfkit"))
