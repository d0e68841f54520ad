"""A kept request sent to the origin once more."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses

from asgi_quicktunnel.errors import LocalProtocolError, ReplayError, StreamReset
from asgi_quicktunnel.inspector.edits import Edits
from asgi_quicktunnel.inspector.record import Record, RecordState
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.inspector.stream import RecordedStream
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.origin.base import Origin

__all__ = ["Replayer", "why_not_replayable"]


def why_not_replayable(record: Record, *, has_own_body: bool = False) -> str | None:
    """Why a request can't be sent once more, as half a sentence; None when it can.

    Args:
        record: of the original.
        has_own_body: whether it gets another body.
    """
    if record.head.kind is not RequestKind.HTTP:
        return "it is no HTTP request, and a conversation can't be repeated"
    if record.state is RecordState.OPEN:
        return "it is not over yet"
    if has_own_body or record.is_request_whole:
        return None
    return "not all of its body was read and kept"


class Replayer:
    """Sends what a store keeps to the origin itself, past the edge, and records it again.

    The app finds the id of the original in X-Quicktunnel-Replay, which no visitor can say.

    Args:
        origin: the one that is not inspected.
        store: where the originals are, and the new records go.
        timeout: seconds that one may take.
        at_once: how many may run.
    """

    def __init__(
        self, origin: Origin, store: RequestStore, *, timeout: float = 60.0, at_once: int = 8
    ) -> None:
        self._origin = origin
        self._store = store
        self._timeout = timeout
        self._at_once = at_once
        self._running: set[asyncio.Task[None]] = set()
        # Not that of the page's own request, which an app may take for another's.
        self._context = contextvars.copy_context()

    async def replay(self, record_id: str, edits: Edits) -> Record:
        """Send it and wait for the end of the answer.

        Returns:
            The new record, whose `replay_of` is `record_id`.

        Raises:
            ReplayError: it is unknown (404), can't be repeated (409), too many run (429), the
                tunnel ended meanwhile (503), or there was no whole answer in time (504).
        """
        record = self._store.get(record_id)
        if record is None:
            raise ReplayError(f"there is no request {record_id}: it had to make room", status=404)
        reason = why_not_replayable(record, has_own_body=edits.body is not None)
        if reason is not None:
            raise ReplayError(f"request {record_id} can't be sent once more: {reason}", status=409)
        if len(self._running) >= self._at_once:
            raise ReplayError(
                f"{self._at_once} requests are being sent once more; wait for one to end",
                status=429,
            )
        head, body = edits.apply(record.head, record.request_body)
        facts = dataclasses.replace(record.facts, replay_of=record.id)
        stream = self._store.begin(_ReplayStream(head, body), facts)
        await self._run(stream)
        return stream

    async def aclose(self) -> None:
        """Cut off what runs."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _run(self, stream: RecordedStream) -> None:
        serving = asyncio.get_running_loop().create_task(
            self._origin.serve(stream, stream.facts), context=self._context.copy()
        )
        self._running.add(serving)
        serving.add_done_callback(self._running.discard)
        try:
            done, _ = await asyncio.wait({serving}, timeout=self._timeout)
        finally:
            serving.cancel()
        if not done:
            await asyncio.wait({serving})
            raise ReplayError(
                f"request {stream.id} was cut off: no whole answer came within {self._timeout:g} s",
                status=504,
            )
        if serving.cancelled():
            raise ReplayError(f"request {stream.id} was cut off: the tunnel ended", status=503)


class _ReplayStream:
    """A request stream whose visitor is a kept request, and that nobody reads."""

    def __init__(self, head: RequestHead, body: bytes) -> None:
        self.head = head
        self.raw_head = None
        self._body = body
        self._at = 0
        self._responded = False
        self._is_reset = False

    async def receive(self) -> bytes:
        """The next part of the body, then b""."""
        if self._is_reset:
            raise StreamReset("the stream was reset")
        await asyncio.sleep(0)  # as over a network, others have their turn
        data = self._body[self._at : self._at + _PIECE]
        self._at += len(data)
        return data

    async def respond(self, head: ResponseHead) -> None:
        if self._responded:
            raise LocalProtocolError("the head of the answer was sent before")
        self._responded = True

    async def send(self, data: bytes) -> None:
        """Drop it: who wants it finds it in the record. Others have their turn."""
        if not self._responded:
            raise LocalProtocolError("the body of the answer was sent before its head")
        await asyncio.sleep(0)

    async def send_eof(self) -> None:
        """Nothing is left to do."""

    def reset(self, code: int = 0) -> None:
        self._is_reset = True

    async def disconnected(self) -> None:
        """Never: whoever asked for the replay waits for all of it."""
        await asyncio.get_running_loop().create_future()


_PIECE = 64 << 10  # bytes; as much as comes at once over QUIC
