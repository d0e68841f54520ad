"""The public front: HTTP/1.1 and TLS for visitors, on one port."""

from __future__ import annotations

import secrets
import socket
import ssl
import struct
from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from asgi_quicktunnel.emulator.base import AnswerStream
from asgi_quicktunnel.emulator.exchange import Exchange, FinPolicy, Outcome, send_page
from asgi_quicktunnel.emulator.http1 import (
    BadRequest,
    HttpConnection,
    VisitorGone,
    receive_or_end,
)
from asgi_quicktunnel.emulator.listen import Peeked
from asgi_quicktunnel.emulator.pages import NO_TUNNEL, TOO_MANY_REQUESTS, Page, refusal
from asgi_quicktunnel.emulator.request import Visitor, has_body, host_name, request_head
from asgi_quicktunnel.emulator.tunnels import Tunnel, Tunnels
from asgi_quicktunnel.emulator.visitor_tls import VisitorTls
from asgi_quicktunnel.errors import ConnectionLost, LocalProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind

__all__ = ["VISITOR_ADDRESS", "Front", "FrontSettings"]

VISITOR_ADDRESS = "203.0.113.7"  # protocol.md §6.8, sample


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """How the front treats visitors.

    Attributes:
        fin: when a request without body is ended towards the connector: "held" until the answer
            is complete, or "early", with its head.
        max_in_flight: requests of one tunnel answered at once; more get 429 (protocol.md §12).
        visitor_address: who visitors on this machine are said to be.
        colo: the site that visitors reach.
    """

    fin: FinPolicy = "held"
    max_in_flight: int = 200
    visitor_address: str = VISITOR_ADDRESS
    colo: str = "lis01"


class Front:
    """Takes visitors' connections and sends their requests to registered connectors."""

    def __init__(self, tunnels: Tunnels, tls: VisitorTls, settings: FrontSettings) -> None:
        self._tunnels = tunnels
        self._tls = tls
        self._settings = settings

    async def handle(self, socket_stream: SocketStream) -> None:
        """Serve one visitor's connection until it is over."""
        beginning = await receive_or_end(socket_stream)
        stream: ByteStream = Peeked(socket_stream, beginning)
        scheme = "http"
        if beginning[:1] == _TLS_HANDSHAKE:
            scheme = "https"
            try:
                stream = await TLSStream.wrap(
                    stream,
                    server_side=True,
                    ssl_context=self._tls.context,
                    standard_compatible=False,  # many visitors close without a word
                )
            except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream):
                return
        peer = socket_stream.extra(SocketAttribute.remote_address, None)  # noqa: S610 - not Django's
        if peer is None:  # it is gone already
            return
        visitor = Visitor.at(
            peer[0],
            loopback_as=self._settings.visitor_address,
            scheme=scheme,
            colo=self._settings.colo,
        )
        http = HttpConnection(stream)
        while (outcome := await self._serve_one(http, stream, visitor)) is Outcome.REUSABLE:
            pass
        if outcome is Outcome.CUT and http.ends_by_closing:
            # A visitor of HTTP/1.0 takes an ordinary close for the end of the answer.
            raw = socket_stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def _serve_one(
        self, http: HttpConnection, stream: ByteStream, visitor: Visitor
    ) -> Outcome:
        """Read and answer one request."""
        try:
            request = await http.next_request()
            if request is None:
                return Outcome.OVER
            head = request_head(request, visitor, ray=secrets.token_hex(8))
        except BadRequest as exc:
            return await self._refuse(http, refusal(exc.status), "", fatal=True)
        except VisitorGone:
            return Outcome.OVER
        tunnel = self._tunnels.get(host_name(head.host))
        if tunnel is None or not tunnel.serving:
            return await self._refuse(http, NO_TUNNEL, head.method)
        if tunnel.in_flight >= self._settings.max_in_flight:
            return await self._refuse(http, TOO_MANY_REQUESTS, head.method)
        tunnel.in_flight += 1
        try:
            try:
                answer = await self._open(tunnel, head)
            except LocalProtocolError:  # longer than what connectors take
                return await self._refuse(http, refusal(431), head.method)
            if answer is None:
                return await self._refuse(http, NO_TUNNEL, head.method)
            exchange = Exchange(http, head, answer)
            await exchange.run(stream)
        finally:
            tunnel.in_flight -= 1
        return await exchange.conclude()

    async def _open(self, tunnel: Tunnel, head: RequestHead) -> AnswerStream | None:
        """Send the request to the connection whose turn it is; None when all are gone."""
        end = self._settings.fin == "early" and head.kind is RequestKind.HTTP and not has_body(head)
        while (connection := tunnel.choose()) is not None:
            try:
                return await connection.open_request(head, end=end)
            except ConnectionLost:
                tunnel.withdraw(connection)
        return None

    async def _refuse(
        self, http: HttpConnection, page: Page, method: str, *, fatal: bool = False
    ) -> Outcome:
        try:
            await send_page(http, page, method, close=fatal)
            if not fatal and await http.finish():
                return Outcome.REUSABLE
        except VisitorGone:
            return Outcome.OVER
        await http.linger()
        return Outcome.OVER


_TLS_HANDSHAKE = b"\x16"  # RFC 8446 §5.1, the first byte of a ClientHello's record
