"""The ASGI app in this process as the origin of a tunnel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Scope

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.events import Emit
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.answer import Answer
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.event_stream import HeldBackNotice
from asgi_quicktunnel.origin.http import HttpCycle
from asgi_quicktunnel.origin.own_answer import decline, prove_readiness
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.scope import (
    RequestFields,
    http_scope,
    is_for_connector,
    read_fields,
    shown_path,
    websocket_scope,
)
from asgi_quicktunnel.origin.websocket import WebSocketCycle
from asgi_quicktunnel.origin.websocket_link import WebSocketSettings
from asgi_quicktunnel.protocol.websocket import WebSocket
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["AsgiOrigin"]

logger = logging.getLogger(__name__)


class AsgiOrigin:
    """Hands each visitor's request to an ASGI app, without a hop between.

    Attributes:
        app: what answers.
        public_url: the tunnel's, once it is known; becomes `scope["server"]`.
        state: copied, shallowly and anew, into the state of each request.
        readiness_nonce: while it is set, a request that proves the public URL by it is answered
            here; neither the app nor anybody who counts requests hears of it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        emit: Emit,
        state: MutableMapping[str, Any] | None = None,
        root_path: str = "",
        websocket: WebSocketSettings | None = None,
    ) -> None:
        """Prepare to serve.

        Args:
            app: called once per request, concurrently.
            emit: gets one `RequestDone` per request.
            state: shared with whoever fills it, such as the relay of the app's lifespan.
            root_path: ASGI's, where the app is mounted.
            websocket: limits and times of WebSockets; None for the defaults.
        """
        self.app = app
        self.public_url: str | None = None
        self.state: MutableMapping[str, Any] = {} if state is None else state
        self.readiness_nonce: str | None = None
        self._emit = emit
        self._root_path = root_path
        self._websocket = websocket or WebSocketSettings()
        self._under_way: set[Answer | WebSocketCycle] = set()
        self._draining = False
        self._held_back = HeldBackNotice()

    async def serve(self, stream: RequestStream, facts: ConnectionFacts) -> None:
        """Answer one request and end its stream, or reset it; raises only for cancellation."""
        try:
            head = stream.head
            if self.readiness_nonce and await prove_readiness(stream, self.readiness_nonce):
                return
            report = RequestReport(self._emit, head, facts)
            if is_for_connector(head):
                await self._serve_page(_NOT_FOUND, stream, report)
            elif head.kind is RequestKind.HTTP:
                try:
                    fields = read_fields(head.headers)
                    scope = self._scope(head, fields, facts)
                except RemoteProtocolError as exc:
                    await self._refuse(exc, stream, report)
                else:
                    await self._serve_http(self.app, scope, fields.body_length, stream, report)
            elif head.kind is RequestKind.WEBSOCKET:
                await self._serve_websocket(stream, facts, report)
            else:
                await decline(stream, report)
        except Exception:
            logger.exception("a request could not be served")
            stream.reset()

    async def drain(self) -> None:
        """Close WebSockets with 1012 and end event-streams, now and from now on."""
        self._draining = True
        await asyncio.gather(*(exchange.drain() for exchange in tuple(self._under_way)))

    async def aclose(self) -> None:
        """Serve as before from now on; there is nothing to close, the app is its owner's."""
        self._draining = False

    async def _serve_http(
        self,
        app: ASGIApp,
        scope: Scope,
        body_length: int | None,
        stream: RequestStream,
        report: RequestReport,
    ) -> None:
        told = self._tell_held_back
        answer = Answer(stream, report, method=scope["method"], on_event_stream=told)
        cycle = HttpCycle(stream, answer, report, body_length=body_length)
        self._under_way.add(answer)
        try:
            if self._draining:
                await answer.drain()
            await cycle.run(app, scope)
        finally:
            self._under_way.discard(answer)

    def _tell_held_back(self, dest: bytes) -> None:
        self._held_back.tell(shown_path(dest), self.public_url)

    async def _serve_websocket(
        self, stream: RequestStream, facts: ConnectionFacts, report: RequestReport
    ) -> None:
        head = stream.head
        try:
            scope = websocket_scope(self._scope(head, read_fields(head.headers), facts))
            socket = WebSocket(head.headers, max_message_size=self._websocket.max_message_size)
        except RemoteProtocolError as exc:
            await self._refuse(exc, stream, report)
            return
        cycle = WebSocketCycle(stream, socket, report, self._websocket)
        self._under_way.add(cycle)
        try:
            if self._draining:
                await cycle.drain()
            await cycle.run(self.app, scope)
        finally:
            self._under_way.discard(cycle)

    async def _serve_page(
        self, page: ASGIApp, stream: RequestStream, report: RequestReport
    ) -> None:
        """An answer of our own, to a request whose scope nobody reads."""
        scope = {"type": "http", "method": stream.head.method}
        await self._serve_http(page, scope, 0, stream, report)

    async def _refuse(
        self, error: RemoteProtocolError, stream: RequestStream, report: RequestReport
    ) -> None:
        """What no app should see."""
        logger.warning("request refused: %s", error)
        page = PlainTextResponse(f"Bad Request: {error}", 400)
        await self._serve_page(page, stream, report)

    def _scope(self, head: RequestHead, fields: RequestFields, facts: ConnectionFacts) -> Scope:
        return http_scope(
            head,
            fields,
            facts=facts,
            public_url=self.public_url,
            state=self.state,
            root_path=self._root_path,
        )


_NOT_FOUND = PlainTextResponse("Not Found", 404)
