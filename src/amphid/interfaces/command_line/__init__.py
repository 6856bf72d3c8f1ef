"""The command `amphid`."""

from amphid.interfaces.command_line.entry import main

__all__ = ["main"]
