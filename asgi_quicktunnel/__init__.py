"""A public HTTPS address for a running ASGI app, from inside its own process."""
