"""The exception that brfkit raises for user-correctable errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")
_SWITCHES = ("force", "resume", "keep-weights")


class BrfkitError(Exception):
    """Bad input, a missing file, an impossible setting: one line that says what is wrong and how to correct it.

    The command line prints it as ``Error: …`` and exits with 1; library users catch it.
    """


def python_words(text: str) -> str:
    """A message with the names of Python's arguments where it has options: ``--data-dir`` is ``data_dir``, and
    ``--force`` is ``force=True``."""

    def word(option: re.Match[str]) -> str:
        name = option.group(1).replace("-", "_")
        return f"{name}=True" if option.group(1) in _SWITCHES else name

    return _OPTION.sub(word, text)


@lru_cache(maxsize=256)
def for_python(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function of the library as ``brfkit.<name>`` offers it: messages are in Python's words."""

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        try:
            return function(*args, **given)
        except BrfkitError as error:
            if error.args and isinstance(error.args[0], str):
                error.args = (python_words(error.args[0]), *error.args[1:])
            raise

    call.__module__, call.__qualname__ = "brfkit", name  # where pickle finds it again
    return call
