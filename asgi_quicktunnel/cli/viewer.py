"""The diagnostics of a tunnel that has no ASGI server around it: one of their own, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_quicktunnel.diagnostics import Diagnostics
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["USUAL_PORT", "viewer"]


@contextlib.asynccontextmanager
async def viewer(tunnel: QuickTunnel, port: int | None) -> AsyncIterator[str | None]:
    """Serve the diagnostics of `tunnel` meanwhile; their address, or None when they are off.

    Args:
        tunnel: started or not.
        port: of 127.0.0.1, 0 for any; None takes `USUAL_PORT`, or any if that is taken.

    Raises:
        ConfigError: that port can't be used.
    """
    path = tunnel.config.diagnostics_path
    if path is None:
        yield None
        return
    listener = _listen(port)
    app = _only(Diagnostics(path, lambda: tunnel), path)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to the command around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _only(diagnostics: Diagnostics, path: str) -> ASGIApp:
    """The diagnostics, and a way to them from the address alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if diagnostics.claims(scope):
            await diagnostics(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/":
            await RedirectResponse(path)(scope, receive, send)
        else:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)

    return app


def _listen(port: int | None) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", USUAL_PORT if port is None else port))
    except OSError as exc:
        if port is None:
            return socket.create_server(("127.0.0.1", 0))
        reason = exc.strerror or exc
        raise ConfigError(
            f"--diagnostics-port {port} can't be used ({reason}); 0 takes any free one"
        ) from exc


USUAL_PORT = 4040  # where other tunnels show what came through
