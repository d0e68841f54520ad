"""The diagnostics as an ASGI app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from asgi_quicktunnel.diagnostics.local import is_local
from asgi_quicktunnel.diagnostics.status import describe, describe_readiness
from asgi_quicktunnel.diagnostics.traffic import describe_traffic

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["Diagnostics"]


class Diagnostics:
    """Answers local visitors below one path; whoever else comes is to be handed to the app.

    Args:
        path: such as "/_quicktunnel".
        tunnel: gives the tunnel of the moment, or None.
    """

    def __init__(self, path: str, tunnel: Callable[[], QuickTunnel | None]) -> None:
        self._path = path
        self._tunnel = tunnel
        self._app = Starlette(
            routes=[
                Route(path + "/status", self._status),
                Route(path + "/ready", self._ready),
                Route(path + "/traffic", self._traffic),
            ]
        )
        self._app.router.redirect_slashes = False

    def claims(self, scope: Scope) -> bool:
        """Whether this "http" or "websocket" request is answered here rather than by the app.

        The path counts only in its plain spelling: what a proxy or a filter in front of the app
        read there has to be what is read here. Inside a framework's stack a CORS middleware may
        stand around us and add its headers to the answer of any request that has an Origin, also
        our own, so such a request is not answered.
        """
        path = _route_path(scope)
        if path != self._path and not path.startswith(self._path + "/"):
            return False
        raw_path = scope.get("raw_path")
        if raw_path is not None and raw_path != scope["path"].encode(errors="surrogateescape"):
            return False
        if "app" in scope and any(name.lower() == b"origin" for name, _ in scope["headers"]):
            return False
        return is_local(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `claims` accepted."""

        async def send_private(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                message = {**message, "headers": [*message["headers"], *_PRIVATE]}
            await send(message)

        # A copy: what the router writes is not for those who hold the scope outside.
        inner = {**scope, "path": _route_path(scope), "root_path": ""}
        await self._app(inner, receive, send_private)

    async def _status(self, request: Request) -> JSONResponse:
        return JSONResponse(describe(self._tunnel()))

    async def _ready(self, request: Request) -> JSONResponse:
        readiness = describe_readiness(self._tunnel())
        return JSONResponse(readiness, status_code=readiness["status"])

    async def _traffic(self, request: Request) -> JSONResponse:
        return JSONResponse(describe_traffic(self._tunnel()))


def _route_path(scope: Scope) -> str:
    """The path below `root_path`, which most servers put before it (ASGI HTTP 2.4)."""
    path: str = scope["path"]
    root_path = scope.get("root_path", "").rstrip("/")
    if root_path and path.startswith(root_path + "/"):
        return path[len(root_path) :]
    return path


_PRIVATE = [
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
