"""What every `AnswerStream` promises: the one on QUIC, and the one in memory that tests use."""

from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.errors import ProtocolError, StreamReset
from asgi_quicktunnel.model import RequestHead, RequestKind, ResponseHead
from asgi_quicktunnel.protocol.datastream import encode_response

from tests_support.raw_connector import registered
from tests_support.scripted_connector import ScriptedConnector

pytestmark = pytest.mark.anyio

HEAD = RequestHead(RequestKind.HTTP, b"http://h/", "POST", b"h", [(b"x-a", b"1")])


class QuicEnd:
    """The connector's end of a request on QUIC, with the words of a `ScriptedStream`."""

    def __init__(self, request):
        self.head = request.head
        self._stream = request.stream
        self.read = self._stream.receive
        self.read_all = request.body
        self.write = self._stream.send
        self.stop = self._stream.stop
        self.reset = self._stream.reset

    async def respond(self, status, *headers):
        await self._stream.send(encode_response(ResponseHead(status, headers)))


@asynccontextmanager
async def over_quic(script):
    """A connection of a real edge."""

    async def serve(request):
        await script(QuicEnd(request))
        if not request.stream.is_disconnected:
            await request.stream.send_eof()

    async with LocalEdge() as edge, registered(edge, serve):
        yield edge.connections[0]


@asynccontextmanager
async def in_memory(script):
    """A connection that a `ScriptedConnector` imitates."""
    async with anyio.create_task_group() as tasks:
        yield ScriptedConnector(tasks, script)
        tasks.cancel_scope.cancel()


@pytest.fixture(params=[over_quic, in_memory])
def connection_to(request):
    @asynccontextmanager
    async def connect(script):
        with anyio.fail_after(10):
            async with request.param(script) as connection:
                yield connection

    return connect


async def receive_all(answer):
    received = b""
    while data := await answer.receive():
        received += data
    return received


async def test_request_and_answer(connection_to):
    """Head, body and end travel both ways."""

    async def echo(end):
        assert (end.head.dest, end.head.method) == (HEAD.dest, "POST")
        beginning = await end.read()
        await end.respond(200, (b"x-b", b"2"))
        await end.write(beginning + await end.read_all())

    async with connection_to(echo) as connection:
        answer = await connection.open_request(HEAD, end=False)
        await answer.send(b"one ")
        head = await answer.receive_head()
        await answer.send(b"two")
        await answer.send_eof()
        await answer.send_eof()
        assert (head.status, list(head.headers), head.error) == (200, [(b"x-b", b"2")], None)
        assert await receive_all(answer) == b"one two"
        answer.abandon()
        answer.abandon()


async def test_a_whole_request_in_its_head(connection_to):
    """With `end` the connector sees the end at once."""

    async def read(end):
        assert await end.read() == b""
        await end.respond(204)

    async with connection_to(read) as connection:
        answer = await connection.open_request(HEAD, end=True)
        assert (await answer.receive_head()).status == 204
        assert await answer.receive() == b""
        answer.abandon()


async def test_the_connector_resets(connection_to):
    """Before the head and after it, whoever reads is told."""

    async def before(end):
        end.reset()

    async def after(end):
        await end.respond(200)
        end.reset()

    async with connection_to(before) as connection:
        answer = await connection.open_request(HEAD, end=False)
        with pytest.raises(StreamReset):
            await answer.receive_head()
        answer.abandon()
    async with connection_to(after) as connection:
        answer = await connection.open_request(HEAD, end=False)
        with pytest.raises(StreamReset):
            await receive_head_and_all(answer)
        answer.abandon()


async def receive_head_and_all(answer):
    await answer.receive_head()
    await receive_all(answer)


async def test_the_connector_ends_without_an_answer(connection_to):
    """It is no answer."""

    async def vanish(end):
        pass

    async with connection_to(vanish) as connection:
        answer = await connection.open_request(HEAD, end=False)
        with pytest.raises(ProtocolError):
            await answer.receive_head()
        answer.abandon()


async def test_the_connector_reads_no_more(connection_to):
    """Sending fails; the answer still arrives."""

    async def early(end):
        end.stop()
        await end.respond(413)
        await end.write(b"too much")

    async def send_on(answer):
        while True:
            await answer.send(b"x" * 1000)

    async with connection_to(early) as connection:
        answer = await connection.open_request(HEAD, end=False)
        with pytest.raises(StreamReset):
            await send_on(answer)
        assert (await answer.receive_head()).status == 413
        assert await receive_all(answer) == b"too much"
        answer.abandon()


async def test_the_edge_gives_up(connection_to):
    """The connector can neither read nor write."""
    given_up = anyio.Event()

    async def hold(end):
        await end.respond(200)
        with pytest.raises(StreamReset):
            await write_on(end)
        given_up.set()

    async def write_on(end):
        while True:
            await end.write(b"x" * 1000)

    async with connection_to(hold) as connection:
        answer = await connection.open_request(HEAD, end=False)
        await answer.receive_head()
        answer.abandon()
        await given_up.wait()
