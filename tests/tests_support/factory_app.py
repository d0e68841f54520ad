"""Apps for servers that are given a factory or a file."""

from fastapi import FastAPI

from asgi_quicktunnel import QuickTunnelASGI


def create_app():
    """A wrapped app, made when the server asks for it."""
    app = FastAPI()

    @app.get("/")
    async def page() -> str:
        return "made on demand"

    return QuickTunnelASGI(app)
