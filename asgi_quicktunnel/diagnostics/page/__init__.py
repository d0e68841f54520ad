"""The page of the diagnostics, and what it loads."""

from asgi_quicktunnel.diagnostics.page.html import Page

__all__ = ["Page"]
