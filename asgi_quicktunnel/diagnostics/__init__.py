"""What local visitors see of the tunnel."""

from asgi_quicktunnel.diagnostics.routes import Diagnostics

__all__ = ["Diagnostics"]
