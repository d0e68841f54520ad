"""The diagnostics as an ASGI app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_quicktunnel.diagnostics.access import SAFE_METHODS, AccessToken, PageToken
from asgi_quicktunnel.diagnostics.live import Live
from asgi_quicktunnel.diagnostics.local import is_local
from asgi_quicktunnel.diagnostics.page import Page
from asgi_quicktunnel.diagnostics.requests import RequestRoutes
from asgi_quicktunnel.diagnostics.status import describe, describe_readiness
from asgi_quicktunnel.diagnostics.traffic import describe_traffic

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["Diagnostics"]


class Diagnostics:
    """Answers local visitors below one path; whoever else comes is to be handed to the app.

    What changes something needs `page_token`, which `GET /token` gives: a page of another site can
    neither read it nor send a header of ours.

    Args:
        path: such as "/_quicktunnel".
        tunnel: gives the tunnel of the moment, or None.
        access_token: what visitors from other hosts show to be answered too; None: nobody is.

    Attributes:
        page_token: of this process.
    """

    def __init__(
        self,
        path: str,
        tunnel: Callable[[], QuickTunnel | None],
        *,
        access_token: str | None = None,
    ) -> None:
        self.page_token = PageToken()
        self._path = path
        self._tunnel = tunnel
        self._access_token = AccessToken(access_token) if access_token is not None else None
        self._app = Starlette(
            routes=[
                Route(path + "/status", self._status),
                Route(path + "/ready", self._ready),
                Route(path + "/traffic", self._traffic),
                Route(path + "/metrics", self._metrics),
                Route(path + "/token", self._token),
                *RequestRoutes(tunnel).below(path + "/requests"),
                *Page(path, tunnel, self.page_token).routes(),
                *Live(path, tunnel).routes(),
            ]
        )
        self._app.router.redirect_slashes = False

    def claims(self, scope: Scope) -> bool:
        """Whether this "http" or "websocket" request is answered here rather than by the app.

        The path counts only in its plain spelling: what a proxy or a filter in front of the app
        read there has to be what is read here.
        """
        path = _route_path(scope)
        if path != self._path and not path.startswith(self._path + "/"):
            return False
        raw_path = scope.get("raw_path")
        if raw_path is not None and raw_path != scope["path"].encode(errors="surrogateescape"):
            return False
        if self._may_be_shared(scope):
            return False
        return is_local(scope) or (
            self._access_token is not None and self._access_token.admits(scope)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that `claims` accepted."""

        async def send_private(message: Message) -> None:
            if message["type"].endswith("http.response.start"):
                message = {**message, "headers": [*message["headers"], *_PRIVATE]}
            await send(message)

        app = self._responder(scope)
        # A copy: what the router writes is not for those who hold the scope outside.
        inner = {**scope, "path": _route_path(scope), "root_path": ""}
        await app(inner, receive, send_private)

    def _responder(self, scope: Scope) -> ASGIApp:
        """What answers: the routes, or something that comes before them."""
        access_token = self._access_token
        method = scope.get("method", "GET")  # a WebSocket has none
        if access_token is not None and access_token.is_in_query(scope):
            path = scope["path"].removesuffix(_route_path(scope)) + self._path
            headers = {"set-cookie": access_token.cookie(scope, path)}
            access_token.hide(scope)
            if method in ("GET", "HEAD"):
                headers["location"] = access_token.clean_location(scope)
                return Response(status_code=303, headers=headers)
        if method not in SAFE_METHODS and not self.page_token.matches(Headers(scope=scope)):
            error = f"this needs the header X-Quicktunnel-Token; GET {self._path}/token gives it"
            return JSONResponse({"version": 1, "error": error}, status_code=403)
        return self._app

    def _may_be_shared(self, scope: Scope) -> bool:
        """Whether a CORS middleware around us would let others read the answer.

        Within a framework's stack one may stand around us and add its headers to the answer of any
        request that has an Origin, also our own. What our page sends with its token is answered all
        the same: a browser asks for leave at each answer, and this one goes to our page. So are its
        files, with which browsers name the origin too (Chromium, of a script that is a module):
        they are the same for everybody, and anybody can read them in this package.
        """
        if scope["type"] != "http" or "app" not in scope:
            return False
        if _route_path(scope).startswith(self._path + "/static/"):
            return False
        headers = Headers(scope=scope)
        return "origin" in headers and not (
            scope["method"] not in SAFE_METHODS and self.page_token.matches(headers)
        )

    async def _status(self, request: Request) -> JSONResponse:
        return JSONResponse(describe(self._tunnel()))

    async def _ready(self, request: Request) -> JSONResponse:
        readiness = describe_readiness(self._tunnel())
        return JSONResponse(readiness, status_code=readiness["status"])

    async def _traffic(self, request: Request) -> JSONResponse:
        return JSONResponse(describe_traffic(self._tunnel()))

    async def _metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        text, content_type = await run_in_threadpool(_render_metrics, self._tunnel(), accept)
        return Response(text, headers={"content-type": content_type})

    async def _token(self, request: Request) -> JSONResponse:
        return JSONResponse({"version": 1, "token": self.page_token.value})


def _render_metrics(tunnel: QuickTunnel | None, accept: str) -> tuple[bytes, str]:
    # Not above: its library is for who asks for metrics, and takes a while to load.
    from asgi_quicktunnel.diagnostics.metrics import render_metrics

    return render_metrics(tunnel, accept)


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
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
