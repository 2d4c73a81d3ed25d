"""How far packed data may be believed: what a few bytes claim to unpack to."""

from __future__ import annotations

from brfkit.errors import BrfkitError

MAX_RATIO = 1100
"""Deflate packs at most 1032 to 1; what declares more is not there."""

SLACK = 1 << 16

_DENSE_RATIO = 200
_DENSE_BYTES = 1 << 30


def check_ratio(declared: int, stored: int, where: str, *, packed: bool = True) -> None:
    """Refuse data that declare more than is there, or that are next to nothing but zeros by the gibibyte.

    Args:
        declared: bytes after unpacking.
        stored: bytes in the file.
        where: what to call them in an error.
        packed: whether they are compressed at all.

    Raises:
        BrfkitError: see above.
    """
    if declared > (MAX_RATIO if packed else 1) * stored + SLACK:
        raise BrfkitError(f"{where} declares {declared} bytes, {stored} are stored")
    if declared > _DENSE_BYTES and declared > _DENSE_RATIO * stored:
        raise BrfkitError(
            f"{where} unpacks from {stored / 2**20:,.1f} MiB to {declared / 2**30:,.1f} GiB, nearly all of it "
            "the same; store such data as events, or without compression"
        )
