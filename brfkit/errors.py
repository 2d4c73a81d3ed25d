"""The one exception that brfkit raises for anything a user can mend."""

from __future__ import annotations


class BrfkitError(Exception):
    """Bad input, a missing file, an impossible setting: one line that says what is wrong and the way out.

    The command line prints it as ``Error: …`` and exits with 1; library users catch it.
    """
