"""Prints what the fuzzers did: files of each format, how many were refused."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    for name, rounds, refused in (v for r in reports for k, v in r.user_properties if k == "fuzz"):
        terminalreporter.write_line(f"{name}: {rounds} damaged files, {refused} refused, {rounds - refused} accepted")
