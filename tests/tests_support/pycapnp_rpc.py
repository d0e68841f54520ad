"""pycapnp's own two-party RPC at the other end of a socket pair."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

import capnp

import asgi_quicktunnel.protocol

__all__ = ["SessionRunner", "joined", "tunnel"]


@cache
def tunnel():
    """pycapnp's module of tunnel.capnp, in a parser of its own."""
    folder = Path(asgi_quicktunnel.protocol.__file__).parent / "schemas"
    return capnp.SchemaParser().load(str(folder / "tunnel.capnp"))


@asynccontextmanager
async def joined(session):
    """A kj loop, pycapnp's end of a socket pair, and a session of ours run on the other."""
    async with capnp.kj_loop():
        ours, theirs = socket.socketpair()
        stream = await capnp.AsyncIoStream.create_unix_connection(sock=theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        runner = SessionRunner(session, reader, writer)
        # A socket that is closed before all was read of it says so by a reset.
        with suppress(ConnectionResetError):
            try:
                yield stream, runner
            finally:
                stream.close()
                writer.close()
                await writer.wait_closed()


class SessionRunner:
    """Moves the bytes of one session of ours."""

    def __init__(self, session, reader, writer) -> None:
        self.session = session
        self._reader = reader
        self._writer = writer

    async def send(self) -> None:
        """Send what there is to send."""
        self._writer.write(self.session.data_to_send())
        await self._writer.drain()

    async def events(self, count: int) -> list:
        """Go on until so many events came."""
        events = []
        while len(events) < count:
            await self.send()
            data = await self._reader.read(65536)
            if not data:
                break
            events += self.session.receive_data(data)
        await self.send()
        return events

    async def serve(self, report) -> None:
        """Go on until the other end closes, and report each event before sending."""
        with suppress(ConnectionResetError):
            while data := await self._reader.read(65536):
                for event in self.session.receive_data(data):
                    report(event)
                await self.send()
