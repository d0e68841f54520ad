"""The server of a demo: uvicorn in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn

from asgi_quicktunnel.demo.examples import DemoError
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["GRACE_PERIOD", "POLL", "public_url_of", "serving"]


@contextlib.asynccontextmanager
async def serving(app: QuickTunnelASGI, port: int) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """Serve the app until the block ends; the server, and its URL on this machine.

    Args:
        app: the example.
        port: local TCP port, 0 for any.

    Raises:
        DemoError: the port is taken, or uvicorn does not start.
    """
    listener = _listen(port)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_PERIOD)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if running.done():
                raise DemoError("uvicorn could not start the example app; its log says why")
            await asyncio.sleep(POLL)
        yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            await running
        listener.close()


async def public_url_of(app: QuickTunnelASGI) -> str:
    """The public URL, once it works.

    Raises:
        QuickTunnelError: the tunnel can't start.
    """
    await app.state.quicktunnel.wait_ready()
    url: str = app.state.public_url
    return url


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        reason = exc.strerror or exc
        raise DemoError(f"port {port} can't be used ({reason}); --port takes another") from exc


GRACE_PERIOD = 1  # s; who ends a demo wants it ended
POLL = 0.05  # s; uvicorn tells of its start and its end by attributes alone
