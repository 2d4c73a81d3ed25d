"""Downloading one file over HTTP, resumed where it broke off.

Written out here because the libraries for it (pooch and the like) keep nothing of a download that breaks off, and the
files of SSC are over a gigabyte. Requests makes the connections; its checks of certificates stay on.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are and, if the server says, how many there will be."""

_CHUNK = 1 << 18


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts, attempts and limits of a download.

    Attributes:
        connect: seconds until the connection is made.
        silence: seconds without a byte.
        window: seconds over which the rate is measured.
        slowest: bytes per second below which a connection counts as stalled.
        attempts: connections to one address.
        pause: seconds between two of them, doubled every time.
        largest: bytes of a file at most.
    """

    connect: float = 15.0
    silence: float = 30.0
    window: float = 60.0
    slowest: float = 256.0
    attempts: int = 6
    pause: float = 0.5
    largest: int = 1 << 33


class DownloadFailed(Exception):
    """Why an address did not give the file, in a few words."""


class _Broken(Exception):
    """The connection broke or stalled; another may go on from there."""


def download(url: str, part: Path, policy: RetryPolicy, progress: Progress) -> None:
    """Completes the file `part` with what `url` serves, and goes on where an earlier download broke off.

    What is there stays there when this fails, except on a full disk.

    Raises:
        DownloadFailed: no connection, a refusal, or no end of broken connections.
        BrfkitError: the file cannot be written, or another process is writing it.
    """
    reason = ""
    for attempt in range(policy.attempts):
        if attempt:
            time.sleep(policy.pause * 2 ** (attempt - 1))
        try:
            with _opened(part) as out:
                _attempt(url, out, policy, progress)
            return
        except _Broken as error:
            reason = str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                part.unlink(missing_ok=True)
            raise BrfkitError(f"{part} cannot be written: {error.strerror or one_line(error)}") from error
    raise DownloadFailed(f"{reason}, {policy.attempts} times")


def _opened(part: Path) -> IO[bytes]:
    """The file opened at its end, for this process alone; a link in its place is not followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(part, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BrfkitError(f"{part} is a link, which is not followed; delete it") from None
        raise
    out = os.fdopen(number, "r+b", buffering=0)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        out.close()
        raise BrfkitError(f"{part} is no ordinary file, or has a second name; delete it")
    try:
        import fcntl

        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows, whose files are not locked here; the checksum finds what that mixes up
        pass
    except BlockingIOError as error:
        out.close()
        raise BrfkitError(f"{part} is being written by another process; wait for it to end") from error
    return out


def _attempt(url: str, out: IO[bytes], policy: RetryPolicy, progress: Progress) -> None:
    import requests
    from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

    have = out.seek(0, os.SEEK_END)
    # identity: a file that is a gzip must arrive as one.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=(policy.connect, policy.silence)) as response:
            total = _begin(response, out, have)
            if total is not None and total > policy.largest:
                raise DownloadFailed(f"the file would be {total} bytes large")
            if response.status_code != 416:
                _receive(response.raw, out, total, policy, progress)
    except requests.exceptions.SSLError as error:
        raise DownloadFailed("the server's TLS certificate was not accepted") from error
    except requests.exceptions.Timeout as error:
        raise _Broken("the server does not answer") from error
    except requests.exceptions.ConnectionError as error:
        if isinstance(getattr(error.args[0] if error.args else None, "reason", None), NewConnectionError):
            raise DownloadFailed("no connection") from error
        raise _Broken("the connection broke") from error
    except requests.exceptions.RequestException as error:
        raise DownloadFailed(without_password(one_line(error), url)) from error
    except ReadTimeoutError as error:
        raise _Broken("the connection stalled") from error
    except HTTPError as error:
        raise _Broken("the connection broke") from error


def without_password(text: str, url: str) -> str:
    """`text` without what `url` says of a user, wherever it stands."""
    user, _, _ = urlsplit(url).netloc.rpartition("@")
    password = user.partition(":")[2]
    for secret in (user, unquote(user), password, unquote(password)):
        if secret:
            text = text.replace(f"{secret}@", "").replace(secret, "***")
    return text


def _begin(response: requests.Response, out: IO[bytes], have: int) -> int | None:
    """Whether the answer is to be appended, and the size that the whole file will have."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found and int(found[1]) == have:
            return None if found[2] == "*" else int(found[2])
        out.truncate(0)
        raise _Broken("the server sends another part of the file than asked for")
    if response.status_code == 200:
        out.truncate(0)  # also where the server does not know how to go on from the middle
        return int(length) if length.isdecimal() else None
    if response.status_code == 416 and have:
        return None  # nothing is left to be sent; the checksum tells whether that is right
    if response.status_code >= 500 or response.status_code in (408, 429):
        raise _Broken(f"the server answers {response.status_code}")
    raise DownloadFailed(f"the server answers {response.status_code}")


def _receive(raw: Any, out: IO[bytes], total: int | None, policy: RetryPolicy, progress: Progress) -> None:
    # read1 returns what has arrived, so that a trickle is noticed; old releases of urllib3 do not have it.
    read = getattr(raw, "read1", None) or (lambda size, **options: raw.read(4096, **options))
    size = out.seek(0, os.SEEK_END)
    since, size_then = time.monotonic(), size
    progress(size, total)
    while part := read(_CHUNK, decode_content=False):
        size += len(part)
        if size > policy.largest:
            out.truncate(0)
            raise DownloadFailed(f"the file does not end after {policy.largest} bytes")
        out.write(part)
        progress(size, total)
        passed = time.monotonic() - since
        if passed > policy.window:
            if size - size_then < policy.slowest * passed:
                raise _Broken("the connection stalled")
            since, size_then = time.monotonic(), size
    if total is not None and size < total:
        raise _Broken(f"the connection broke after {size} of {total} bytes")
