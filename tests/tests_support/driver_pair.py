"""Two drivers on one event loop, their datagrams passed in memory."""

import asyncio
from contextlib import asynccontextmanager

from asgi_quicktunnel.transport.driver import EngineDriver

from tests_support.engine_pair import settings
from tests_support.engines import engine


class DriverPair:
    """A connector's driver and an edge's; `accepted` holds what each let the other open."""

    def __init__(self, **changes):
        client_settings, server_settings = settings(**changes)
        self.loop = asyncio.get_running_loop()
        self.acceptor = engine().acceptor(server_settings)
        self.server = None
        self.cut = False
        self.sent = []
        self.client_accepted = asyncio.Queue()
        self.server_accepted = asyncio.Queue()
        self.client = EngineDriver(
            engine().dial(client_settings, now=self.loop.time()),
            send_datagrams=self._to_server,
            on_stream=self.client_accepted.put_nowait,
        )

    def _to_server(self, datagrams):
        self.sent.append(list(datagrams))
        if not self.cut:
            self.loop.call_soon(self._deliver, list(datagrams))

    def _deliver(self, datagrams):
        if self.server is None:
            accepted, _ = self.acceptor.accept(datagrams[0], ("192.0.2.1", 1), now=self.loop.time())
            self.server = EngineDriver(
                accepted,
                send_datagrams=self._to_client,
                on_stream=self.server_accepted.put_nowait,
                keep_alive=None,
            )
        self.server.datagrams_received(datagrams)

    def _to_client(self, datagrams):
        if not self.cut:
            self.loop.call_soon(self.client.datagrams_received, list(datagrams))

    async def stream(self):
        """A stream that the server side opened: its end and the client's."""
        theirs = self.server.open_stream()
        await theirs.send(b"?")
        ours = await self.client_accepted.get()
        assert await ours.receive() == b"?"
        return theirs, ours


@asynccontextmanager
async def driver_pair(**changes):
    """A connected pair, closed at the end."""
    pair = DriverPair(**changes)
    await pair.client.wait_connected()
    await pair.server.wait_connected()
    try:
        yield pair
    finally:
        pair.client.close()
        pair.server.close()
