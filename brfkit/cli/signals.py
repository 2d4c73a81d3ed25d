"""Ctrl-C and SIGTERM: one handler for all commands."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NAMES = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated."}


class Received:
    """The signals that came while a command ran.

    Attributes:
        first: the one that ends the command; None where there was none.
        count: how many there were.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.count = 0

    @property
    def text(self) -> str:
        return _NAMES[signal.Signals(self.first or signal.SIGINT)]

    @property
    def exit_code(self) -> int:
        return 128 + (self.first or signal.SIGINT)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The first ends the command, which then writes what is finished; a second waits for that, a third does not."""
        self.count += 1
        if self.count == 1:
            self.first = number
            raise KeyboardInterrupt
        if self.count > 2:
            os._exit(self.exit_code)


@contextmanager
def signals_received() -> Iterator[Received]:
    """Handle both signals for as long as the block runs. One that is ignored, as under ``nohup``, stays so."""
    received = Received()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, received.handle)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
