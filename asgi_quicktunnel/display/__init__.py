"""What people and programs see of a tunnel on standard output, told by its events."""

from asgi_quicktunnel.display.base import Display, DisplaySettings
from asgi_quicktunnel.display.choice import open_display

__all__ = ["Display", "DisplaySettings", "open_display"]
