"""Standard streams that are closed, go to a reader who has left, or cannot show every character."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class _Tolerant(io.TextIOWrapper):
    """Text whose reader may leave: what is written afterwards goes nowhere, and the command goes on."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._silence()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._silence()

    def _silence(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable whatever they are.

    Closed ones go nowhere, and no file that is opened later takes their number. Characters that an encoding does not
    have, Greek letters on some terminals, are replaced.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _usable(sys.stdout, 1)
    sys.stderr = _usable(sys.stderr, 2)


def _usable(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        return os.fdopen(number, "w", encoding="utf-8", errors="replace", closefd=False)
    if type(stream) is not io.TextIOWrapper:
        return stream  # a notebook's, or a test's
    line_buffering, encoding = stream.line_buffering, stream.encoding
    stream.flush()
    return _Tolerant(stream.detach(), encoding=encoding, errors="replace", line_buffering=line_buffering)
