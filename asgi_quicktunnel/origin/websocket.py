"""One WebSocket between a request stream and an ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging

from starlette.types import ASGIApp, Message, Scope

from asgi_quicktunnel.errors import ConnectionLost, LocalProtocolError, StreamReset
from asgi_quicktunnel.model import ResponseHead
from asgi_quicktunnel.origin.answer import Answer, AnswerTypes
from asgi_quicktunnel.origin.call import call_app
from asgi_quicktunnel.origin.fields import check_fields
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.websocket_link import VisitorLeft, WebSocketLink, WebSocketSettings
from asgi_quicktunnel.protocol.websocket import Closure, WebSocket
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["WebSocketCycle"]

logger = logging.getLogger(__name__)


class _Phase(enum.Enum):
    """What the app has done so far."""

    CONNECTING = enum.auto()  # nothing
    DENYING = enum.auto()  # it began an HTTP response
    OPEN = enum.auto()  # it accepted
    CLOSED = enum.auto()  # it closed, or denied
    LEFT = enum.auto()  # nothing, and the visitor did not wait


class WebSocketCycle:
    """One WebSocket, as the app sees it through `receive` and `send`.

    `websocket.disconnect` comes when all messages were received, and again to whoever asks again.
    Its code and reason are those of the first Close, the visitor's or ours, else 1006.
    """

    __slots__ = (
        "_answered",
        "_connect_told",
        "_denial",
        "_draining",
        "_link",
        "_phase",
        "_report",
        "_settings",
        "_socket",
        "_stream",
        "_watcher",
    )

    def __init__(
        self,
        stream: RequestStream,
        socket: WebSocket,
        report: RequestReport,
        settings: WebSocketSettings,
    ) -> None:
        """Prepare one WebSocket.

        Args:
            stream: the visitor's; ended or reset when `run` returns.
            socket: the protocol, whose handshake was checked.
            report: gets the status and the bytes of both directions, frames included.
            settings: limits and times.
        """
        self._stream = stream
        self._socket = socket
        self._report = report
        self._settings = settings
        self._phase = _Phase.CONNECTING
        self._connect_told = False
        self._denial = Answer(stream, report, method="GET", types=_DENIAL_TYPES)
        self._link: WebSocketLink | None = None
        self._draining = False
        self._answered: asyncio.Event | None = None  # made when something waits for it
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the app answer and converse; whatever it does, the stream is at its end afterwards.

        Raises:
            asyncio.CancelledError: this task was cancelled; what was under way was reset.
        """
        try:
            returned = await call_app(app, scope, self.receive, self.send, expected=(VisitorLeft,))
            await self._conclude(returned=returned)
        finally:
            if self._watcher is not None:
                self._watcher.cancel()
            (self._link or self._denial).give_up()

    async def _conclude(self, *, returned: bool) -> None:
        """Do what the app should have done."""
        if self._link is not None:
            if self._phase is _Phase.OPEN and self._link.closure is None:
                with contextlib.suppress(VisitorLeft):
                    await self._close(Closure(1000 if returned else 1011, ""))
            await self._link.wait_over()
        elif self._phase is _Phase.CONNECTING:
            if returned:
                logger.error("ASGI callable returned without answering the WebSocket handshake.")
            await self._denial.send_error_page()
        elif self._phase is _Phase.DENYING and returned:
            logger.error("ASGI callable returned without completing response.")

    async def drain(self) -> None:
        """Close with 1012, "service restart", also what is accepted from now on."""
        self._draining = True
        if self._link is not None:
            await self._link.hang_up(_SERVICE_RESTART)

    async def receive(self) -> Message:
        """ASGI's `receive`: connect, the messages, then `websocket.disconnect`."""
        if not self._connect_told:
            self._connect_told = True
            return {"type": "websocket.connect"}
        if self._link is None:
            await self._wait_answered()
        if self._link is None:
            return _disconnect(_DENIED)
        message = await self._link.receive()
        if message is None:
            assert self._link.closure is not None
            return _disconnect(self._link.closure)
        return {"type": "websocket.receive", _KEY_OF[type(message)]: message}

    async def _wait_answered(self) -> None:
        """Wait until the app accepted or denied, or the visitor left before that."""
        if self._phase not in (_Phase.CONNECTING, _Phase.DENYING):
            return
        if self._answered is None:
            self._answered = asyncio.Event()
            self._watcher = asyncio.create_task(self._watch())
        await self._answered.wait()

    async def _watch(self) -> None:
        await self._stream.disconnected()
        if not self._denial.is_over:
            self._denial.give_up()
            self._enter(_Phase.LEFT)

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        if self._answered is not None and phase is not _Phase.DENYING:
            self._answered.set()

    async def send(self, message: Message) -> None:
        """ASGI's `send`; waits while the visitor is slow.

        Raises:
            VisitorLeft: the visitor is gone; an OSError.
            RuntimeError: a message out of order, or what HTTP or WebSocket does not allow.
            TypeError: bytes that are none, or text that is none.
        """
        kind = message["type"]
        if self._phase is _Phase.OPEN:
            await self._send_open(kind, message)
        elif self._phase is _Phase.CONNECTING:
            await self._send_first(kind, message)
        elif self._phase is _Phase.DENYING:
            await self._deny(message)
        elif self._phase is _Phase.LEFT:
            raise VisitorLeft("the visitor left before the handshake was answered")
        else:
            raise RuntimeError(f"ASGI message '{kind}' can't follow the end of the WebSocket.")

    async def _send_open(self, kind: str, message: Message) -> None:
        assert self._link is not None
        if kind == "websocket.send":
            data = message.get("bytes")
            if data is None:
                data = message.get("text")
                if not isinstance(data, str):
                    raise TypeError("ASGI message 'websocket.send' needs bytes or text.")
            elif not isinstance(data, bytes):
                data = bytes(memoryview(data))
            await self._link.send(data)
        elif kind == "websocket.close":
            code = message.get("code")
            await self._close(Closure(1000 if code is None else code, message.get("reason") or ""))
        else:
            raise RuntimeError(
                f"An accepted WebSocket takes 'websocket.send' and 'websocket.close', not '{kind}'."
            )

    async def _close(self, closure: Closure) -> None:
        assert self._link is not None
        self._phase = _Phase.CLOSED
        try:
            await self._link.close(*closure)
        except LocalProtocolError as exc:
            self._phase = _Phase.OPEN
            raise RuntimeError(f"Invalid close of a WebSocket: {exc}.") from exc
        except VisitorLeft:
            self._phase = _Phase.OPEN
            raise

    async def _send_first(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            await self._deny({"type": _DENIAL_TYPES.start, "status": 403, "headers": _EMPTY_TEXT})
            await self._deny({"type": _DENIAL_TYPES.body})
        elif kind == _DENIAL_TYPES.start:
            await self._deny(message)
        else:
            raise RuntimeError(
                "A WebSocket handshake is answered by 'websocket.accept', 'websocket.close' or "
                f"'{_DENIAL_TYPES.start}', not '{kind}'."
            )

    async def _accept(self, message: Message) -> None:
        fields = list(message.get("headers") or ())
        if subprotocol := message.get("subprotocol"):
            fields.insert(0, (b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        headers = self._socket.accept_headers
        for name, value in check_fields(fields).headers:
            if name in _NOT_THE_APPS:
                raise RuntimeError(
                    f"The header {name!r} of an accepted WebSocket is not the app's."
                )
            if name != b"content-length":  # a 101 has no content; RFC 9110 §8.6
                headers.append((name, value))
        if self._watcher is not None:
            self._watcher.cancel()
        self._report.status = 101
        try:
            await self._stream.respond(ResponseHead(101, headers))
        except _GONE as exc:
            self._report.status = None
            self._denial.give_up()
            self._enter(_Phase.LEFT)
            raise VisitorLeft(str(exc)) from exc
        self._link = WebSocketLink(self._stream, self._socket, self._report, self._settings)
        self._enter(_Phase.OPEN)
        if self._draining:
            await self.drain()

    async def _deny(self, message: Message) -> None:
        """Pass a message of the response on to the visitor, as HTTP does."""
        await self._denial.send(message)
        if not self._denial.has_begun:
            self._enter(_Phase.LEFT)
        elif message["type"] == _DENIAL_TYPES.body and not message.get("more_body", False):
            self._enter(_Phase.CLOSED)
        else:
            self._enter(_Phase.DENYING)


def _disconnect(closure: Closure) -> Message:
    return {"type": "websocket.disconnect", "code": closure.code, "reason": closure.reason}


_GONE = (StreamReset, ConnectionLost)
_DENIED = Closure(1006, "")  # as uvicorn says to an app that did not accept
_SERVICE_RESTART = 1012  # IANA, WebSocket Close Code Number Registry
_KEY_OF = {str: "text", bytes: "bytes"}
_NOT_THE_APPS = frozenset({b"sec-websocket-accept", b"sec-websocket-extensions"})
_EMPTY_TEXT = [(b"content-length", b"0"), (b"content-type", b"text/plain; charset=utf-8")]
_DENIAL_TYPES = AnswerTypes(
    start="websocket.http.response.start", body="websocket.http.response.body", file=None
)
