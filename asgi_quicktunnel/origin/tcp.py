"""A server behind a TCP port or a unix socket as the origin of a tunnel."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from asgi_quicktunnel.errors import ConnectionLost, RemoteProtocolError, StreamReset
from asgi_quicktunnel.events import Emit
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.origin.event_stream import HeldBackNotice
from asgi_quicktunnel.origin.own_answer import decline, prove_readiness, send_page
from asgi_quicktunnel.origin.pool import OriginPool, PoolStatistics
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.scope import is_for_connector, shown_path
from asgi_quicktunnel.origin.tcp_exchange import TcpExchange
from asgi_quicktunnel.origin.tcp_request import TcpRequest
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["ProxySettings", "TcpOrigin"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What all exchanges of one origin have in common.

    Attributes:
        host_header: replaces the Host that visitors asked for, or None.
        response_timeout: seconds that the origin may be silent before its answer, or None.
    """

    host_header: str | None = None
    response_timeout: float | None = 95.0


class TcpOrigin:
    """Hands each visitor's request to a server that speaks HTTP/1.1.

    Args:
        pool: connections to that server.
        emit: gets one `RequestDone` per request.
        settings: None for the defaults.

    Attributes:
        public_url: the tunnel's, once it is known.
        readiness_nonce: as that of `AsgiOrigin`.
    """

    def __init__(
        self, pool: OriginPool, *, emit: Emit, settings: ProxySettings | None = None
    ) -> None:
        self.public_url: str | None = None
        self.readiness_nonce: str | None = None
        self._pool = pool
        self._emit = emit
        self._settings = settings or ProxySettings()
        self._under_way: set[TcpExchange] = set()
        self._draining = False
        self._held_back = HeldBackNotice()

    async def serve(self, stream: RequestStream, facts: ConnectionFacts) -> None:
        """Answer one request and end its stream, or reset it; raises only for cancellation."""
        try:
            if self.readiness_nonce and await prove_readiness(stream, self.readiness_nonce):
                return
            report = RequestReport(self._emit, stream.head, facts)
            if is_for_connector(stream.head):
                await _serve_page(stream, report, 404, "Not Found")
            elif stream.head.kind is RequestKind.TCP:
                await decline(stream, report)
            else:
                await self._forward(stream, report, facts.replay_of)
        except Exception:
            logger.exception("a request could not be served")
            stream.reset()

    async def drain(self) -> None:
        """Close WebSockets with 1012 and end event-streams, now and from now on."""
        self._draining = True
        await asyncio.gather(*(exchange.drain() for exchange in tuple(self._under_way)))

    async def aclose(self) -> None:
        """Close the connections to the origin; harmless when repeated."""
        self._pool.close()
        self._draining = False

    def statistics(self) -> PoolStatistics:
        """A snapshot of the connections to the origin."""
        return self._pool.statistics()

    async def _forward(
        self, stream: RequestStream, report: RequestReport, replay_of: str | None
    ) -> None:
        settings, pool = self._settings, self._pool
        try:
            request = TcpRequest.of(
                stream.head,
                authority=pool.address.authority,
                host_header=settings.host_header,
                replay_of=replay_of,
            )
        except RemoteProtocolError as exc:
            logger.warning("request refused: %s", exc)
            await _serve_page(stream, report, 400, f"Bad Request: {exc}")
            return
        exchange = TcpExchange(
            stream,
            request,
            report,
            pool,
            response_timeout=settings.response_timeout,
            on_event_stream=self._tell_held_back,
        )
        self._under_way.add(exchange)
        try:
            if self._draining:
                await exchange.drain()
            await exchange.run()
        finally:
            self._under_way.discard(exchange)

    def _tell_held_back(self, dest: bytes) -> None:
        self._held_back.tell(shown_path(dest), self.public_url)


async def _serve_page(stream: RequestStream, report: RequestReport, status: int, text: str) -> None:
    try:
        await send_page(stream, report, status, text.encode(), b"text/plain; charset=utf-8")
    except (StreamReset, ConnectionLost):
        stream.reset()
    report.done()
