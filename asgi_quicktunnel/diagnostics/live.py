"""The WebSocket that keeps a page up to date."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_quicktunnel.diagnostics.feed import Feed
from asgi_quicktunnel.diagnostics.status import describe
from asgi_quicktunnel.diagnostics.traffic import describe_traffic
from asgi_quicktunnel.events import TunnelState
from asgi_quicktunnel.inspector.store import RequestStore

if TYPE_CHECKING:
    from starlette.requests import Request

    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["Live"]


class Live:
    """Tells each page that asks what the tunnel does, until either ends.

    A page gets at most four rounds of messages a second and one status; each message is sent when
    the one before it has left, so a slow page gets fewer and larger ones, and no queue. When the
    tunnel stops, or another takes its place, the WebSocket ends with 1012, and a page comes back.

    Args:
        path: the diagnostics'.
        tunnel: gives the tunnel of the moment, or None.
    """

    def __init__(self, path: str, tunnel: Callable[[], QuickTunnel | None]) -> None:
        self._path = path
        self._tunnel = tunnel

    def routes(self) -> list[BaseRoute]:
        """What is answered here."""
        return [
            WebSocketRoute(self._path + "/live", self._serve),
            # A server without WebSockets hands an upgrade on as a plain request.
            Route(self._path + "/live", _need_websocket),
        ]

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        has_ended = False
        async with anyio.create_task_group() as group:
            group.start_soon(_wait_left, websocket, group.cancel_scope)
            has_ended = await self._tell(websocket)
            group.cancel_scope.cancel()
        if has_ended:
            with contextlib.suppress(*_LEFT):
                await websocket.close(_SERVICE_RESTART)

    async def _tell(self, websocket: WebSocket) -> bool:
        """Send what is so, then what changes; whether it is the tunnel that ended."""
        tunnel = self._tunnel()
        store = None if tunnel is None else tunnel.inspector
        feed = Feed()
        was_running = _is_running(tunnel)
        try:
            while True:
                status_due = anyio.current_time() + _STATUS_INTERVAL
                await _send(websocket, feed.on_status(describe(tunnel)))
                await _send(websocket, feed.on_traffic(describe_traffic(tunnel)))
                while anyio.current_time() < status_due:
                    await _send(websocket, feed.on_requests(store))
                    await _wait_changed(store, feed.revision, status_due)
                is_running = _is_running(tunnel)
                if self._tunnel() is not tunnel or (was_running and not is_running):
                    return True
                was_running = is_running
        except _LEFT:
            return False


def _is_running(tunnel: QuickTunnel | None) -> bool:
    return tunnel is not None and tunnel.state is not TunnelState.STOPPED


async def _send(websocket: WebSocket, messages: Iterable[dict[str, Any]]) -> None:
    for message in messages:
        with anyio.fail_after(_SENDING):
            await websocket.send_text(json.dumps(message, separators=(",", ":")))


async def _wait_changed(store: RequestStore | None, revision: int | None, until: float) -> None:
    """Wait for the next round: at least an interval, and for a change, but not beyond `until`."""
    await anyio.sleep(max(0.0, min(_INTERVAL, until - anyio.current_time())))
    with anyio.move_on_after(max(0.0, until - anyio.current_time())):
        if store is None or revision is None:
            await anyio.sleep_forever()
        else:
            await store.wait_changed(revision)


async def _wait_left(websocket: WebSocket, scope: anyio.CancelScope) -> None:
    """Until the page is gone; what it says is not listened to."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()


async def _need_websocket(request: Request) -> PlainTextResponse:
    return PlainTextResponse("This is a WebSocket.", status_code=426, headers=_UPGRADE)


_INTERVAL = 0.25  # s between two rounds
_STATUS_INTERVAL = 1.0  # s
_SENDING = 30.0  # s until a page that does not read is given up
_SERVICE_RESTART = 1012  # RFC 6455 §7.4.1 and IANA's registry
_UPGRADE = {"upgrade": "websocket", "connection": "upgrade"}
# What sending to a page that is gone comes to, server by server.
_LEFT = (TimeoutError, OSError, RuntimeError, WebSocketDisconnect)
