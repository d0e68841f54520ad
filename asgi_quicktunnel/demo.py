"""The demo: the example app under uvicorn, public through the embedded edge."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import uvicorn

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["DemoError", "run_demo"]

Say = Callable[[str], None]


class DemoError(QuickTunnelError):
    """The demo can't run here; the message says what is missing."""


async def run_demo(*, check: bool, port: int, say: Say) -> int:
    """Run the demo until Ctrl-C, or its check.

    Args:
        check: fetch a page and post a body through the public URL, then end.
        port: local TCP port, 0 for any.
        say: prints one line.

    Returns:
        The exit status: 0, or 1 when the check failed.

    Raises:
        QuickTunnelError: the tunnel or the demo can't start.
    """
    async with LocalEdge() as edge:
        app = _load_example(edge)
        async with _serving(app, port) as (server, local_url):
            public_url = await _public_url(app)
            if check:
                return await _check(edge, public_url, say)
            _explain(public_url, local_url, say)
            while not server.should_exit:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(_POLL)
            say("stopping")
    return 0


def _load_example(edge: LocalEdge) -> QuickTunnelASGI:
    path = next((path for path in _EXAMPLES if path.is_file()), None)
    if path is None:
        raise DemoError("the example app is not part of this installation")
    config = edge.config()
    os.environ.update(
        QUICKTUNNEL_SERVICE_URL=config.service_url,
        QUICKTUNNEL_EDGE=config.edge or "",
        QUICKTUNNEL_CA_FILE=config.ca_file or "",
        QUICKTUNNEL_STRICT="1",
        QUICKTUNNEL_GRACE_PERIOD=str(_GRACE_PERIOD),
    )
    spec = importlib.util.spec_from_file_location("asgi_quicktunnel_demo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as exc:
        raise DemoError(
            f"the example app needs {exc.name}: pip install 'asgi-quicktunnel[demo]'"
        ) from exc
    app: QuickTunnelASGI = module.app
    return app


@contextlib.asynccontextmanager
async def _serving(app: QuickTunnelASGI, port: int) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    listener = _listen(port)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE_PERIOD)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                raise DemoError("uvicorn could not start the example app; its log says why")
            await asyncio.sleep(_POLL)
        yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            await serving
        listener.close()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        reason = exc.strerror or exc
        raise DemoError(f"port {port} can't be used ({reason}); --port takes another") from exc


async def _public_url(app: QuickTunnelASGI) -> str:
    await app.state.quicktunnel.wait_ready()
    url: str = app.state.public_url
    return url


def _explain(public_url: str, local_url: str, say: Say) -> None:
    say(f"the example app is public at {public_url}")
    say("try:")
    say(f"  curl {public_url}/hello/world")
    say(f"  curl --data 'some text' {public_url}/echo")
    say(f"or open {public_url} in a browser,")
    say(f"and {local_url}/_quicktunnel to see what comes through; Ctrl-C ends everything")


async def _check(edge: LocalEdge, public_url: str, say: Say) -> int:
    body = os.urandom(1 << 20)
    async with edge.httpx_client() as client:
        try:
            page = await client.get(public_url + "/")
            echo = await client.post(public_url + "/echo", content=body)
        except httpx.HTTPError as exc:
            say(f"FAILED: {type(exc).__name__}: {exc}")
            return 1
    good = page.status_code == 200 and public_url in page.text
    say(f"{'ok' if good else 'FAILED'}: GET {public_url}/ answered {page.status_code}")
    same = echo.status_code == 200 and echo.content == body
    say(
        f"{'ok' if same else 'FAILED'}: POST {public_url}/echo of {len(body)} bytes answered "
        f"{echo.status_code} with {'the same' if echo.content == body else 'other'} bytes"
    )
    return 0 if good and same else 1


_GRACE_PERIOD = 1  # s; who ends a demo wants it ended
_POLL = 0.05  # s; uvicorn tells of its start and its end by attributes alone
_EXAMPLES = (
    Path(__file__).parent / "_examples" / "fastapi" / "main.py",  # installed
    Path(__file__).parent.parent / "examples" / "fastapi" / "main.py",  # a source tree
)
