"""A connector in memory: what the front talks to where no QUIC is wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from asgi_quicktunnel.emulator.violations import Rule
from asgi_quicktunnel.errors import ConnectionLost, RemoteProtocolError, StreamReset
from asgi_quicktunnel.model import RequestHead, ResponseHead

__all__ = ["ScriptedConnector", "ScriptedStream"]

Script = Callable[["ScriptedStream"], Awaitable[None]]


class ScriptedStream:
    """One request and its answer; an `AnswerStream` to the edge, the other methods to the script.

    Every `send` and `write` waits until it was taken, so backpressure is as strict as can be.
    """

    def __init__(self, head: RequestHead, *, end: bool) -> None:
        self.head = head
        self.ended_with_head = end
        self.ended = anyio.Event()  # the edge said that the request is complete
        self.abandoned = anyio.Event()  # the edge gave up before anything was complete
        self.violations: list[Rule] = []
        self._heads: list[ResponseHead] = []
        self._to_connector, self._from_edge = anyio.create_memory_object_stream[bytes](0)
        self._to_edge, self._from_connector = anyio.create_memory_object_stream[bytes](0)
        self._reset = False
        self._stopped = False
        self._answer_ended = False
        if end:
            self._end()

    # The edge's side.

    async def receive_head(self) -> ResponseHead:
        await self._next()
        if not self._heads:
            raise RemoteProtocolError("the stream ended without an answer")
        return self._heads.pop()

    async def receive(self) -> bytes:
        return await self._next()

    async def send(self, data: bytes) -> None:
        if self._stopped:
            raise StreamReset("the connector reads no more")
        try:
            await self._to_connector.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise StreamReset("the connector reads no more") from None

    async def send_eof(self) -> None:
        self._end()

    def abandon(self) -> None:
        if not (self.ended.is_set() and self._answer_ended):
            self.abandoned.set()
        self._to_connector.close()
        self._from_connector.close()

    def report(self, rule: Rule, detail: str) -> None:
        self.violations.append(rule)

    # The script's side.

    async def read(self) -> bytes:
        """The next bytes of the request; b"" at its end."""
        try:
            return await self._from_edge.receive()
        except anyio.EndOfStream:
            return b""

    async def read_all(self) -> bytes:
        body = b""
        while data := await self.read():
            body += data
        return body

    async def respond(self, status: int, *headers: tuple[bytes, bytes], error: str | None = None):
        self._heads.append(ResponseHead(status, headers, error=error))
        await self.write(b"head")

    async def write(self, data: bytes) -> None:
        try:
            await self._to_edge.send(data)
        except anyio.BrokenResourceError:
            raise StreamReset("the edge reads no more") from None

    def stop(self) -> None:
        """Read no more of the request."""
        self._stopped = True
        self._from_edge.close()

    def reset(self) -> None:
        self._reset = True
        self.close()

    def close(self) -> None:
        """End the answer, and stop reading."""
        self._answer_ended = True
        self._to_edge.close()
        self._from_edge.close()

    async def _next(self) -> bytes:
        try:
            return await self._from_connector.receive()
        except anyio.EndOfStream:
            if self._reset:
                raise StreamReset("the connector reset the stream") from None
            return b""

    def _end(self) -> None:
        self.ended.set()
        self._to_connector.close()


class ScriptedConnector:
    """A registered connection that runs a script for every request.

    Attributes:
        script: called with each request; may be replaced at any time.
        streams: all requests so far.
        lost: whether the connection is gone.
    """

    def __init__(self, tasks: anyio.abc.TaskGroup, script: Script) -> None:
        self.script = script
        self.streams: list[ScriptedStream] = []
        self.lost = False
        self._tasks = tasks

    async def open_request(self, head: RequestHead, *, end: bool) -> ScriptedStream:
        if self.lost:
            raise ConnectionLost("the connection ended")
        stream = ScriptedStream(head, end=end)
        self.streams.append(stream)
        self._tasks.start_soon(self._run, stream)
        return stream

    async def _run(self, stream: ScriptedStream) -> None:
        try:
            await self.script(stream)
        except StreamReset:
            pass
        finally:
            stream.close()
