"""One exchange between a request stream and an origin behind a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgi_quicktunnel.errors import ConnectionLost, OriginError, StreamReset
from asgi_quicktunnel.model import RequestKind, ResponseHead
from asgi_quicktunnel.origin.own_answer import failure_page, send_page
from asgi_quicktunnel.origin.pool import OriginPool
from asgi_quicktunnel.origin.report import RequestReport
from asgi_quicktunnel.origin.scope import printable, shown_path
from asgi_quicktunnel.origin.tcp_answer import AnswerHead
from asgi_quicktunnel.origin.tcp_connection import OriginConnection
from asgi_quicktunnel.origin.tcp_pipe import TcpPipe
from asgi_quicktunnel.origin.tcp_request import TcpRequest
from asgi_quicktunnel.transport.base import RequestStream

__all__ = ["TcpExchange"]

logger = logging.getLogger(__name__)


class TcpExchange:
    """Passes one request on and its answer back, both streamed and both at once.

    When the visitor leaves, the origin's connection is closed: that is how the origin learns of it.
    """

    __slots__ = (
        "_body_left",
        "_body_taken",
        "_connection",
        "_draining",
        "_is_endless",
        "_on_event_stream",
        "_over",
        "_pipe",
        "_pool",
        "_report",
        "_request",
        "_response_timeout",
        "_silent_since",
        "_stream",
        "_timer",
        "_upload",
        "_watcher",
    )

    def __init__(
        self,
        stream: RequestStream,
        request: TcpRequest,
        report: RequestReport,
        pool: OriginPool,
        *,
        response_timeout: float | None,
        on_event_stream: Callable[[bytes], None],
    ) -> None:
        """Prepare one exchange.

        Args:
            stream: the visitor's; ended or reset when `run` returns.
            request: what is asked of the origin.
            report: gets status and bytes, and is told of the end.
            pool: where connections come from.
            response_timeout: seconds that the origin may be silent before its answer, or None.
            on_event_stream: called with the destination when the answer to a GET turns out to be
                text/event-stream.
        """
        self._stream = stream
        self._request = request
        self._report = report
        self._pool = pool
        self._response_timeout = response_timeout
        self._on_event_stream = on_event_stream
        self._connection: OriginConnection | None = None
        self._upload: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silent_since = 0.0  # since when the origin has all that there was to say
        self._body_left = request.body_length
        self._body_taken = False  # something of the body was read, which can't be read again
        self._pipe: TcpPipe | None = None
        self._is_endless = False
        self._draining = False
        self._over = False

    async def run(self) -> None:
        """Let the origin answer; whatever it does, the stream is at its end afterwards.

        Raises:
            asyncio.CancelledError: this task was cancelled; what was under way was reset.
        """
        try:
            head = await self._ask()
            await self._answer(head)
        except OriginError as exc:
            await self._on_failure(exc)
        except _GONE:
            pass
        finally:
            self._clean_up()

    async def drain(self) -> None:
        """End an event-stream, and close a WebSocket with 1012; anything else goes on."""
        self._draining = True
        if self._pipe is not None:
            await self._pipe.hang_up()
        elif self._is_endless and not self._over:
            await self._finish()
            assert self._connection is not None
            self._connection.abort(StreamReset("the event-stream was ended"))

    async def _ask(self) -> AnswerHead:
        """Send the request; once more if a kept connection turns out to have died."""
        connection = self._pool.take_kept(for_one_try=not self._request.is_repeatable)
        if connection is not None:
            try:
                return await self._ask_over(connection)
            except OriginError as exc:
                is_repeatable = self._request.is_repeatable and not self._body_taken
                if not is_repeatable or connection.has_answered or exc.status == _TOO_LATE:
                    raise
            await self._stop_upload()
            self._pool.count_retry()
        return await self._ask_over(await self._pool.dial())

    async def _ask_over(self, connection: OriginConnection) -> AnswerHead:
        request = self._request
        loop = asyncio.get_running_loop()
        self._connection = connection
        connection.ask(
            request.head, is_head=request.method == "HEAD", may_switch=request.may_switch
        )
        if request.body_length != 0:
            self._upload = loop.create_task(self._send_body(connection))
        # A task that watches for the visitor costs more than most answers take.
        self._silent_since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(_PROMPT, self._on_slow)
        return await connection.wait_head()

    async def _answer(self, head: AnswerHead) -> None:
        stream, report, connection = self._stream, self._report, self._connection
        assert connection is not None
        await stream.respond(ResponseHead(head.status, head.headers))
        report.status = head.status
        if head.status == 101:
            if self._timer is not None:
                self._timer.cancel()  # a pipe hears by itself of a visitor that leaves
            is_websocket = stream.head.kind is RequestKind.WEBSOCKET
            self._pipe = TcpPipe(stream, connection, report, is_websocket=is_websocket)
            if self._draining:
                await self._pipe.hang_up()
            await self._pipe.run()
            self._over = True
            return
        if head.is_event_stream:
            await self._begin_event_stream()
        while data := await connection.read():
            if self._over:  # a drain ended it
                return
            await stream.send(data)
            report.sent += len(data)
        await self._finish()

    async def _begin_event_stream(self) -> None:
        if self._request.method == "GET":
            self._is_endless = True
            self._on_event_stream(self._stream.head.dest)
            if self._draining:
                await self.drain()

    async def _finish(self) -> None:
        if not self._over:
            self._over = True
            await self._stream.send_eof()

    async def _send_body(self, connection: OriginConnection) -> None:
        """Pass the visitor's body on as it comes; a lie about its length ends everything."""
        if self._request.expects_continue and not await connection.wait_go_ahead(_GO_AHEAD):
            return
        is_chunked = self._body_left is None
        try:
            while self._body_left != 0:
                data = await self._stream.receive()
                self._body_taken = True
                self._silent_since = asyncio.get_running_loop().time()
                self._report.received += len(data)
                if self._body_left is None:
                    if not data:
                        break
                    await connection.write(b"%x\r\n%b\r\n" % (len(data), data))
                    continue
                if not 0 < len(data) <= self._body_left:
                    raise StreamReset(
                        f"the body is {'longer' if data else 'shorter'} than its Content-Length"
                    )
                self._body_left -= len(data)
                await connection.write(data)
            if is_chunked:
                self._body_left = 0
                await connection.write(b"0\r\n\r\n")
        except _GONE as exc:
            logger.debug("a request was given up: %s", exc)
            connection.abort(exc)

    def _on_slow(self) -> None:
        """The origin takes its time: see whether the visitor stays, and for how long we do."""
        loop = asyncio.get_running_loop()
        if self._watcher is None:
            self._watcher = loop.create_task(self._watch())
        seconds = self._response_timeout
        if seconds is None or self._report.status is not None:
            return
        due = self._silent_since + seconds
        if loop.time() < due:
            self._timer = loop.call_at(due, self._on_slow)
        elif self._connection is not None:
            label = self._pool.address
            self._connection.abort(
                OriginError(f"{label} began no answer within {seconds:g} s", status=_TOO_LATE)
            )

    async def _watch(self) -> None:
        await self._stream.disconnected()
        if self._connection is not None:
            self._connection.abort(StreamReset("the visitor left"))

    async def _on_failure(self, error: OriginError) -> None:
        self._pool.count_failure()
        head = self._stream.head
        logger.warning("%s %s: %s", printable(head.method), shown_path(head.dest), error)
        if self._report.status is None:
            text, kind = failure_page(head, error)
            try:
                await send_page(self._stream, self._report, error.status, text, kind)
            except _GONE:
                return
            self._over = True

    async def _stop_upload(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
            await asyncio.wait({self._upload})
            self._upload = None

    def _clean_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._watcher, self._upload):
            if task is not None:
                task.cancel()
        if self._connection is not None and self._pipe is None:
            if self._body_left == 0 and self._over:
                self._pool.give_back(self._connection)
            else:
                self._connection.abort()
        if not self._over:
            self._over = True
            self._stream.reset()
        self._report.done()


_GONE = (StreamReset, ConnectionLost)
_TOO_LATE = 504
_PROMPT = 0.1  # s; most answers begin and end within
_GO_AHEAD = 1.0  # s; protocol.md §6.2
