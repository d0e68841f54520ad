"""An edge on a real UDP port that registers a connector and then sends whatever a test wants."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import anyio

from asgi_quicktunnel.connection import ConnectionPlan, HaConnection
from asgi_quicktunnel.model import Credentials, EdgeAddress, Registration, RequestHead, RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.protocol.datastream import AnswerReader, encode_request
from asgi_quicktunnel.protocol.registration import (
    DEFAULT_FEATURES,
    ClientIdentity,
    RegisterRequested,
    RegistrationServer,
)
from asgi_quicktunnel.transport.driver import EngineDriver
from asgi_quicktunnel.transport.udp import UdpListener

from tests_support.engine_pair import settings
from tests_support.engines import engine

CREDENTIALS = Credentials(uuid.UUID(int=1), "account", b"s" * 32, "raw.example")

IDENTITY = ClientIdentity(b"c" * 16, "asgi-quicktunnel/1", "linux_amd64", DEFAULT_FEATURES)


class RawEdge:
    """One UDP port; keeps the drivers of whoever connects and registers everyone."""

    def __init__(self, host="127.0.0.1", *, accept=None, **changes):
        self.client_settings, server_settings = settings(**changes)
        self._acceptor = (accept or engine()).acceptor(server_settings)
        self._listener = UdpListener(host, 0, self._on_datagrams)
        self._host = host
        self._drivers = {}
        self._tasks = set()
        self.drivers = []
        self.seen = []
        self.silent = False

    @property
    def address(self):
        return EdgeAddress(self._host, self._listener.port)

    @property
    def driver(self):
        """The driver of the last connection."""
        return self.drivers[-1]

    async def __aenter__(self):
        await self._listener.start()
        return self

    async def __aexit__(self, *exc):
        for driver in self.drivers:
            driver.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    def _on_datagrams(self, batch):
        if self.silent:
            return
        for data, sender in batch:
            accepted, answer = self._acceptor.accept(
                data, sender, now=asyncio.get_running_loop().time()
            )
            if answer is not None:
                self._listener.send([answer], sender)
            if accepted is None:
                continue
            if accepted not in self._drivers:
                self._drivers[accepted] = driver = EngineDriver(
                    accepted,
                    send_datagrams=lambda datagrams, sender=sender: self._send(datagrams, sender),
                    on_stream=self._on_stream,
                    keep_alive=None,
                )
                self.drivers.append(driver)
            self._drivers[accepted].datagrams_received([data])

    def _send(self, datagrams, sender):
        if not self.silent:
            self._listener.send(datagrams, sender)

    def _on_stream(self, stream):
        task = asyncio.create_task(self._control(stream))
        self._tasks.add(task)

    async def _control(self, stream):
        server = RegistrationServer()
        while data := await stream.receive():
            for request in server.receive_data(data):
                self.seen.append(request)
                if isinstance(request, RegisterRequested):
                    server.accept(request.answer, Registration(uuid.UUID(int=2), "raw01"))
                else:
                    server.done(request.answer)
            await stream.send(server.data_to_send())

    async def send_raw(self, data, *, end=False):
        """Open a stream with these first bytes."""
        stream = self.driver.open_stream()
        await stream.send(data)
        if end:
            await stream.send_eof()
        return stream

    async def ask(self, dest="/", *, method="GET", headers=(), body=b"", end=True, kind=None):
        """One request; its status, headers and body."""
        head = RequestHead(
            kind or RequestKind.HTTP, dest.encode(), method, b"raw.example", tuple(headers)
        )
        stream = await self.send_raw(encode_request(head) + body, end=end)
        return await answer_of(stream)


async def answer_of(stream):
    """The head of an answer and its whole body."""
    reader = AnswerReader()
    head = None
    while head is None:
        data = await stream.receive()
        assert data, "the stream ended before an answer"
        head = reader.receive_data(data)
    body = reader.rest
    while data := await stream.receive():
        body += data
    return head, body


@asynccontextmanager
async def connected(app, *, events=None, **changes):
    """A raw edge and a connection registered on it that serves `app`."""
    events = [] if events is None else events
    async with RawEdge(**changes) as edge:
        plan = ConnectionPlan(
            credentials=CREDENTIALS,
            identity=ClientIdentity(
                b"c" * 16, "asgi-quicktunnel/1", "linux_amd64", DEFAULT_FEATURES
            ),
            settings=edge.client_settings,
            engine=engine(),
            origin=AsgiOrigin(app, emit=events.append),
            timeout=10,
        )
        connection = HaConnection(plan, 0, edge.address)
        with anyio.fail_after(10):
            await connection.dial()
            await connection.register()
        serving = asyncio.create_task(connection.serve())
        try:
            with anyio.fail_after(60):
                yield edge, connection
        finally:
            await connection.aclose()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
