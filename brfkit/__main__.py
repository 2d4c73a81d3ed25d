"""``python -m brfkit``."""

from brfkit.cli import main

main()
