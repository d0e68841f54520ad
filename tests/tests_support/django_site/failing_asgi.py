"""Uses asgi_quicktunnel.django, or would."""

raise RuntimeError("a module that fails")
