"""Listening on TCP for as long as the edge runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

__all__ = ["Peeked", "serve_tcp"]

logger = logging.getLogger(__name__)

Handler = Callable[[SocketStream], Awaitable[None]]


async def serve_tcp(host: str, port: int, handler: Handler, tasks: TaskGroup) -> int:
    """Accept connections until the task group is cancelled.

    Args:
        host: address or name to bind.
        port: 0 for any.
        handler: one task for each connection; whatever it raises ends that connection alone.
        tasks: where to run.

    Returns:
        The port.

    Raises:
        OSError: it can't be bound.
    """
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)

    async def guarded(stream: SocketStream) -> None:
        async with stream:
            try:
                await handler(stream)
            except Exception:
                logger.exception("a connection from %s failed", stream)

    tasks.start_soon(_accept, listener, guarded)
    return int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - not Django's


async def _accept(listener: MultiListener[SocketStream], handler: Handler) -> None:
    async with listener:
        await listener.serve(handler)


class Peeked(ByteStream):
    """A stream of which the beginning was read, and is given back."""

    def __init__(self, stream: ByteStream, beginning: bytes) -> None:
        self._stream = stream
        self._beginning = beginning

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the stream beneath."""
        return self._stream.extra_attributes

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """As `ByteStream`; the beginning first."""
        if not self._beginning:
            return await self._stream.receive(max_bytes)
        data, self._beginning = self._beginning[:max_bytes], self._beginning[max_bytes:]
        return data

    async def send(self, item: bytes) -> None:
        """As `ByteStream`."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """As `ByteStream`."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """As `ByteStream`."""
        await self._stream.aclose()
