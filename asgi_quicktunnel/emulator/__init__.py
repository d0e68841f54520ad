"""The embedded edge: the addresses of a Cloudflare of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgi_quicktunnel.emulator.local import LocalEdge

__all__ = ["LocalEdge"]


def __getattr__(name: str) -> object:
    # pytest imports this package in every run through the plugin's entry point: keep that cheap.
    if name == "LocalEdge":
        from asgi_quicktunnel.emulator.local import LocalEdge

        return LocalEdge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
