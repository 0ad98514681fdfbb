"""The command line: what a person types, in words and tables; the rooms below do the work."""

from smartcharge.cli.app import main

__all__ = ["main"]
