"""Servers of others on loopback, in this process: what proxy mode leads to."""

import asyncio
import functools
import http.server
import socket
import threading
from contextlib import asynccontextmanager

import hypercorn.asyncio
import hypercorn.config
import uvicorn


@asynccontextmanager
async def uvicorn_at(app, *, tls=None, **options):
    """`async with uvicorn_at(app) as address`, which is one of `TunnelConfig.origin`."""
    defaults = {"port": 0, "lifespan": "off", "log_level": "warning"}
    config = uvicorn.Config(app, timeout_graceful_shutdown=1, **defaults | options)
    config.load()
    if tls is not None:
        config.ssl = tls
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not serving.done(), "uvicorn did not start"
            await asyncio.sleep(0.01)
        if "uds" in options:
            yield f"unix:{options['uds']}"
        else:
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"127.0.0.1:{port}" if tls is None else f"https://localhost:{port}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def hypercorn_at(app):
    """`async with hypercorn_at(app) as address`."""
    config = hypercorn.config.Config()
    config.loglevel = "WARNING"
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]  # it is hypercorn's from here on
    stop = asyncio.Event()
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait, mode="asgi")
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def http_server_at(directory):
    """`async with http_server_at(directory) as address`: Python's own, which speaks HTTP/1.0."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
