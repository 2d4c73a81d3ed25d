"""Processor time, so that what else runs on the machine does not count against a limit."""

from __future__ import annotations

import os


def child_seconds() -> float:
    """Of all processes that were started by this one and have ended, with theirs."""
    times = os.times()
    return times.children_user + times.children_system
