"""The diagnostics as an ASGI app."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from asgi_quicktunnel.diagnostics.local import is_local

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.statistics import ConnectionStatistics
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["STATUS_VERSION", "Diagnostics", "describe", "describe_readiness"]


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


def describe(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /status` answers, as JSON types; version 1.

    Keys: `version` (1, changes when a key changes its meaning or goes), `state` (the value of
    `TunnelState`), `cause` (why, or null), `since` (seconds since the epoch), `url` (null before it
    works), `connector_id` (null without a tunnel), `reconnects`, `streams_total`,
    `bytes_received`, `bytes_sent` (all since the start), and `connections`, one for each that is
    registered: `conn_index`, `colo`, `address` ("ip:port"), `age` (seconds), `rtt` (seconds or
    null), `requests`, `streams_open`, `streams_refused`, `bytes_received`, `bytes_sent`,
    `packets_lost`; and `pool`, null but in proxy mode: `open`, `idle`, `created`, `reused`,
    `retried`, `failures`. Meanings as in `TunnelStatistics`, `ConnectionStatistics`,
    `TransportStatistics` and `PoolStatistics`. No secret is among them.
    """
    if tunnel is None:
        return {**_WITHOUT_TUNNEL, "connections": []}
    statistics = tunnel.statistics()
    return {
        "version": STATUS_VERSION,
        "state": statistics.state.value,
        "cause": statistics.cause,
        "since": statistics.since,
        "url": statistics.url,
        "connector_id": str(statistics.connector_id),
        "reconnects": statistics.reconnects,
        "streams_total": statistics.transferred.streams,
        "bytes_received": statistics.transferred.bytes_received,
        "bytes_sent": statistics.transferred.bytes_sent,
        "connections": [_describe_connection(each) for each in statistics.connections],
        "pool": dataclasses.asdict(statistics.pool) if statistics.pool is not None else None,
    }


def _describe_connection(connection: ConnectionStatistics) -> dict[str, Any]:
    transport = connection.transport
    return {
        "conn_index": connection.conn_index,
        "colo": connection.colo,
        "address": str(transport.address),
        "engine": transport.engine,
        "age": connection.age,
        "rtt": transport.rtt,
        "requests": connection.requests,
        "streams_open": transport.streams_open,
        "streams_refused": transport.streams_refused,
        "bytes_received": transport.bytes_received,
        "bytes_sent": transport.bytes_sent,
        "packets_lost": transport.packets_lost,
    }


def _route_path(scope: Scope) -> str:
    """The path below `root_path`, which most servers put before it (ASGI HTTP 2.4)."""
    path: str = scope["path"]
    root_path = scope.get("root_path", "").rstrip("/")
    if root_path and path.startswith(root_path + "/"):
        return path[len(root_path) :]
    return path


def describe_readiness(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /ready` answers, as cloudflared does (protocol.md §11).

    Keys: `status` (200 when the URL was announced and at least one connection serves, else 503; the
    HTTP status too), `readyConnections`, `connectorId` (null without a tunnel).
    """
    if tunnel is None:
        return {"status": 503, "readyConnections": 0, "connectorId": None}
    statistics = tunnel.statistics()
    count = len(statistics.connections)
    return {
        "status": 200 if count and statistics.url is not None else 503,
        "readyConnections": count,
        "connectorId": str(statistics.connector_id),
    }


STATUS_VERSION = 1
_WITHOUT_TUNNEL = {
    "version": STATUS_VERSION,
    "state": "stopped",
    "cause": None,
    "since": None,
    "url": None,
    "connector_id": None,
    "reconnects": 0,
    "streams_total": 0,
    "bytes_received": 0,
    "bytes_sent": 0,
    "pool": None,
}
_PRIVATE = [
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
