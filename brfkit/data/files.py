"""Where the files of a data set lie."""

from __future__ import annotations

import os
from pathlib import Path

from brfkit.data.base import DataFile
from brfkit.errors import BrfkitError
from brfkit.io.paths import cache_dir
from brfkit.io.streams import readable

ENVIRONMENT_VARIABLE = "BRFKIT_DATA_DIR"


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds one folder per data set.

    `data_dir` if given, else the environment variable ``BRFKIT_DATA_DIR``, else ``data`` in the user's cache folder.
    The folder need not exist.
    """
    chosen = data_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return cache_dir() / "data"


def locate(folder: Path, file: DataFile, dataset: str) -> Path:
    """The path of `file` in `folder` under its name or one of its other names.

    Raises:
        BrfkitError: it is not there.
    """
    path = find(folder, file)
    if path is None:
        raise BrfkitError(
            f"{dataset}: {file.name} is not in {folder}; run `brfkit data fetch {dataset}`, put the file there, "
            f"or set --data-dir or {ENVIRONMENT_VARIABLE}"
        )
    return path


def find(folder: Path, file: DataFile) -> Path | None:
    """Like `locate`, with None for a missing file."""
    for name in (file.name, *file.also):
        with readable(folder / name):
            if (folder / name).is_file():
                return folder / name
    return None
