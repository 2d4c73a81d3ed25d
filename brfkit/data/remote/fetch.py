"""Downloading the files of a data set, every one checked against its published MD5."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from brfkit.data.base import DataFile
from brfkit.data.files import data_folder
from brfkit.data.registry import check_file, dataset_spec
from brfkit.data.remote.download import DownloadFailed, RetryPolicy, download, without_password
from brfkit.errors import BrfkitError
from brfkit.io.streams import content_md5, file_digest

ALIASES = {"mnist": "smnist", "fashion-mnist": "sfmnist", "fmnist": "sfmnist", "qtdb": "ecg"}
"""Names of families of data sets that share their files."""


@dataclass(frozen=True)
class Fetched:
    """A file of a data set after `fetch`.

    Attributes:
        name: the file's usual name.
        path: where it lies.
        bytes: its size.
        state: ``"fetched"``, or ``"present"`` if it was there already.
    """

    name: str
    path: Path
    bytes: int
    state: Literal["fetched", "present"]


def fetch(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    mirror: str | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
    force: bool = False,
    policy: RetryPolicy | None = None,
) -> list[Fetched]:
    """Downloads what is missing of a data set.

    A download that broke off is resumed from its ``.part`` file. A file appears under its own name only once it is
    whole and has the published MD5, as served or unpacked.

    Args:
        name: one of `dataset_names()`, or of `ALIASES`.
        data_dir: folder that holds one folder per data set; see `data_folder` for the default.
        mirror: address of a folder that holds the files under their usual names, asked in place of the known servers.
        progress: called with the file's name, the bytes there are and, if known, how many there will be.
        force: replace files whose content is not the published one.
        policy: timeouts and attempts.

    Returns:
        One entry for each file; none for generated data.

    Raises:
        BrfkitError: an unknown name; an existing file with other content; no server gave the file; it cannot
            be written.
    """
    facts = dataset_spec(ALIASES.get(name, name))
    if mirror is not None and urlsplit(mirror).scheme not in ("http", "https"):
        raise BrfkitError(
            "the mirror must be an address that begins with https:// or http://, not "
            f"{without_password(mirror, mirror)!r}"
        )
    folder = data_folder(data_dir) / str(facts.folder)
    done = []
    for file in facts.files:
        found = check_file(file, folder)
        if found.path is not None and found.state == "ok":
            done.append(Fetched(file.name, found.path, found.path.stat().st_size, "present"))
            continue
        if found.path is not None and not force:
            raise BrfkitError(
                f"{found.path} is there with other content than the published file ({found.md5}); "
                "--force replaces it, --data-dir takes another folder"
            )
        path = _fetch_file(facts.name, file, folder, mirror, progress, policy or RetryPolicy())
        for other in {file.name, *file.also, *(f"{url.rsplit('/', 1)[1]}.part" for url, _ in addresses(file, None))}:
            if folder / other != path:
                (folder / other).unlink(missing_ok=True)
        done.append(Fetched(file.name, path, path.stat().st_size, "fetched"))
    return done


def _fetch_file(
    dataset: str,
    file: DataFile,
    folder: Path,
    mirror: str | None,
    progress: Callable[[str, int, int | None], None] | None,
    policy: RetryPolicy,
) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrfkitError(f"the folder {folder} cannot be made: {error.strerror}; --data-dir takes another") from error
    reasons = []
    for url, md5 in addresses(file, mirror):
        target = folder / url.rsplit("/", 1)[1]
        part = target.with_name(target.name + ".part")

        def report(done: int, total: int | None, name: str = target.name) -> None:
            if progress is not None:
                progress(name, done, total)

        try:
            _download_checked(url, part, md5, file, policy, report)
            part.replace(target)
            return target
        except DownloadFailed as error:
            reasons.append(f"{urlsplit(url).netloc.rpartition('@')[2]}: {error}")
        except OSError as error:
            raise BrfkitError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            with suppress(OSError):
                if part.stat().st_size == 0:
                    part.unlink()
    raise BrfkitError(
        f"{dataset}: {file.name} could not be downloaded ({'; '.join(dict.fromkeys(reasons))}); put "
        f"{file.url.rsplit('/', 1)[1]} into {folder}, or name another server with --mirror URL"
    )


def addresses(file: DataFile, mirror: str | None) -> list[tuple[str, str]]:
    """Where a file can be fetched, in order, each with the MD5 of what is served there."""
    known = [(file.url, file.url_md5), *file.mirrors]
    if mirror is None:
        return known
    names = {url.rsplit("/", 1)[1]: md5 for url, md5 in reversed(known)}
    served = dict.fromkeys(url.rsplit("/", 1)[1] for url, _ in known)
    return [(f"{mirror.rstrip('/')}/{name}", names[name]) for name in served]


def _download_checked(
    url: str, part: Path, md5: str, file: DataFile, policy: RetryPolicy, report: Callable[[int, int | None], None]
) -> None:
    """Leaves the right content in `part`, or raises DownloadFailed; a wrong file that was resumed is fetched anew."""
    resumed = part.exists()
    while True:
        try:
            download(url, part, policy, report)
        except DownloadFailed:
            # A server that declares more bytes than it has never comes to an end; the content may be right.
            if part.exists() and _matches(part, md5, file):
                return
            raise
        if _matches(part, md5, file):
            return
        found = file_digest(part)
        part.unlink()
        if not resumed:
            raise DownloadFailed(f"the content has MD5 {found}, {md5} is published")
        resumed = False


def _matches(path: Path, md5: str, file: DataFile) -> bool:
    """Whether the file has the MD5 that was published for it, as served or unpacked."""
    if file_digest(path) == md5:
        return True
    with suppress(BrfkitError):
        return file.md5 is not None and content_md5(path) == file.md5
    return False
