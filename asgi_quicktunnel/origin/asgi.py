"""The ASGI app in this process as the origin of a tunnel."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any, NamedTuple

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Scope

from asgi_quicktunnel.errors import ConnectionLost, RemoteProtocolError, StreamReset
from asgi_quicktunnel.events import Emit, RequestDone
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.http import HttpCycle
from asgi_quicktunnel.origin.scope import (
    http_scope,
    is_for_connector,
    printable,
    read_fields,
    shown_path,
)
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["AsgiOrigin"]

logger = logging.getLogger(__name__)


class AsgiOrigin:
    """Hands each visitor's request to an ASGI app, without a hop between.

    Attributes:
        app: what answers.
        public_url: the tunnel's, once it is known; becomes `scope["server"]`.
        state: copied, shallowly and anew, into the state of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        emit: Emit,
        state: MutableMapping[str, Any] | None = None,
        root_path: str = "",
    ) -> None:
        """Prepare to serve.

        Args:
            app: called once per request, concurrently.
            emit: gets one `RequestDone` per request.
            state: shared with whoever fills it, such as the relay of the app's lifespan.
            root_path: ASGI's, where the app is mounted.
        """
        self.app = app
        self.public_url: str | None = None
        self.state: MutableMapping[str, Any] = {} if state is None else state
        self._emit = emit
        self._root_path = root_path

    async def serve(self, stream: RequestStream, facts: ConnectionFacts) -> None:
        """Answer one request and end its stream, or reset it; raises only for cancellation."""
        try:
            head = stream.head
            if is_for_connector(head):
                await self._serve_http(_NOT_FOUND, stream, facts)
            elif head.kind is RequestKind.HTTP:
                await self._serve_http(self.app, stream, facts)
            else:
                await self._decline(stream, facts, _DECLINED[head.kind])
        except Exception:
            logger.exception("a request could not be served")
            stream.reset()

    async def _serve_http(
        self, app: ASGIApp, stream: RequestStream, facts: ConnectionFacts
    ) -> None:
        report = _Report(self._emit, stream.head, facts)
        call = self._prepare(app, stream.head, facts)
        cycle = HttpCycle(
            stream,
            method=call.scope["method"],
            body_length=call.body_length,
            on_end=lambda ended: report.done(ended.status, ended.received, ended.sent),
        )
        await cycle.run(call.app, call.scope)

    def _prepare(self, app: ASGIApp, head: RequestHead, facts: ConnectionFacts) -> _Call:
        """How to call the app, or a page that refuses a request which no app should see."""
        try:
            fields = read_fields(head.headers)
            scope = http_scope(
                head,
                fields,
                facts=facts,
                public_url=self.public_url,
                state=self.state,
                root_path=self._root_path,
            )
        except RemoteProtocolError as exc:
            logger.warning("request refused: %s", exc)
            refusal = PlainTextResponse(f"Bad Request: {exc}", 400)
            return _Call(refusal, {"type": "http", "method": head.method}, 0)
        return _Call(app, scope, fields.body_length)

    async def _decline(self, stream: RequestStream, facts: ConnectionFacts, reason: str) -> None:
        """Answer with an error reply, which the visitor sees as a 502 page (protocol.md §6.4)."""
        report = _Report(self._emit, stream.head, facts)
        try:
            await stream.respond(ResponseHead(502, error=reason))
            await stream.send_eof()
        except (StreamReset, ConnectionLost):
            stream.reset()
            report.done(None)
        else:
            report.done(502)


class _Report:
    """Tells whoever listens how one request ended."""

    __slots__ = ("_emit", "_facts", "_head", "_started")

    def __init__(self, emit: Emit, head: RequestHead, facts: ConnectionFacts) -> None:
        self._emit = emit
        self._head = head
        self._facts = facts
        self._started = time.monotonic()

    def done(self, status: int | None, received: int = 0, sent: int = 0) -> None:
        self._emit(
            RequestDone(
                conn_index=self._facts.conn_index,
                method=printable(self._head.method),
                path=shown_path(self._head.dest),
                status=status,
                elapsed=time.monotonic() - self._started,
                received=received,
                sent=sent,
            )
        )


class _Call(NamedTuple):
    """An app, the scope to call it with, and the length of the body (None: up to the end)."""

    app: ASGIApp
    scope: Scope
    body_length: int | None


_NOT_FOUND = PlainTextResponse("Not Found", 404)
_DECLINED = {
    RequestKind.TCP: "this connector serves HTTP; it has no use for a TCP stream",
    RequestKind.WEBSOCKET: "this connector does not serve WebSockets",
}
