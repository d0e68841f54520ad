"""The command `asgi-quicktunnel`."""

from asgi_quicktunnel.cli.commands import main

__all__ = ["main"]
