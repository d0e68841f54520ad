"""What a request costs above the engine, in numbers that no machine changes.

The bounds are what was measured when they were written, or a little more. Who makes one larger
should know what for.
"""

import asyncio
import gc
import socket
import sys
import tracemalloc
import uuid
from collections import Counter
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest

import asgi_quicktunnel
from asgi_quicktunnel.connection import ConnectionPlan, HaConnection
from asgi_quicktunnel.model import EdgeAddress, Registration, RequestHead, RequestKind
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.protocol.datastream import AnswerReader, encode_request
from asgi_quicktunnel.protocol.registration import RegistrationServer
from asgi_quicktunnel.transport.engine import ClientSettings

from tests_support.frame_engine import FrameEngine, frame, frames_over, parts
from tests_support.raw_edge import CREDENTIALS, IDENTITY

pytestmark = pytest.mark.anyio
PACKAGE = asgi_quicktunnel.__path__[0]
HEADERS = [(b"x-header-%d" % number, b"value %d" % number) for number in range(20)]
HEAD = encode_request(
    RequestHead(RequestKind.HTTP, b"https://a.example/", "GET", b"a.example", HEADERS)
)
BODY = b"x" * 100
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"100")],
}
MANY_START_AT_ONCE = sys.version_info >= (3, 12)


async def answer(scope, receive, send):
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


class Visitor:
    """The other end of a connection: a UDP socket."""

    def __init__(self, sock, engine):
        self.sock = sock
        self.engine = engine
        self._next = 1

    async def ask(self, count):
        """So many requests at once, and their whole answers."""
        loop = asyncio.get_running_loop()
        waiting = set()
        for _ in range(count):
            waiting.add(self._next)
            self.sock.send(frame(self._next, HEAD, end=True))
            self._next += 4
        while waiting:
            stream_id, data, end = parts(await loop.sock_recv(self.sock, 65535))
            if stream_id == 0:  # what the registration had left to say
                continue
            reader = AnswerReader()
            assert reader.receive_data(data).status == 200
            assert (reader.rest, end) == (BODY, True)
            waiting.remove(stream_id)

    async def register(self, registering):
        """Answer on the control stream until the connection is registered."""
        loop = asyncio.get_running_loop()
        server = RegistrationServer()
        datagram, address = await loop.sock_recvfrom(self.sock, 65535)
        self.sock.connect(address)
        requests = []
        while not requests:
            requests = server.receive_data(parts(datagram)[1])
            for request in requests:
                server.accept(request.answer, Registration(uuid.UUID(int=2), "mem01"))
            self.sock.send(frame(0, server.data_to_send()))
            if not requests:
                datagram = await loop.sock_recv(self.sock, 65535)
        await registering


@asynccontextmanager
async def visitor(app=answer):
    """Who asks over a registered connection that serves `app` on a `FrameEngine`."""
    engine = FrameEngine()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        plan = ConnectionPlan(
            credentials=CREDENTIALS,
            identity=IDENTITY,
            settings=ClientSettings("a.example", b""),
            engine=frames_over(engine),
            origin=AsgiOrigin(app, emit=lambda event: None),
        )
        connection = HaConnection(plan, 0, EdgeAddress("127.0.0.1", sock.getsockname()[1]))
        here = Visitor(sock, engine)
        with anyio.fail_after(60):
            await connection.dial()
            await here.register(asyncio.create_task(connection.register()))
            serving = asyncio.create_task(connection.serve())
            try:
                yield here
            finally:
                await connection.aclose()
                await serving


@asynccontextmanager
async def known_visitor():
    """The same, after requests like those that follow."""
    async with visitor() as here:
        for _ in range(3):
            await here.ask(1)
        await here.ask(32)
        here.engine.calls.clear()
        yield here


@contextmanager
def counted():
    """What this package calls meanwhile: its own functions, under "python", and others by name."""
    calls = Counter()

    def note(code_frame, event, argument):
        if event == "call" and code_frame.f_code.co_filename.startswith(PACKAGE):
            calls["python"] += 1
        elif event == "c_call" and code_frame.f_code.co_filename.startswith(PACKAGE):
            calls[argument.__qualname__] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def system_calls(calls):
    """Those of them that go to the kernel, by name."""
    return {
        name.removeprefix("socket."): count
        for name, count in calls.items()
        if name.startswith("socket.")
    }


async def test_a_request_costs_the_engine_as_few_calls_as_can_be():
    """One read and one write a request; a wake-up is one call, however many requests it brings, and
    so is a transmit of 16 answers. Tasks that start at once leave one look behind all transmits.
    """
    looks = 1 if MANY_START_AT_ONCE else 2
    async with known_visitor() as here:
        await here.ask(32)
        twice = {"datagrams_to_send": 2, "next_timeout": looks, "poll_events": 1 + looks}
        assert here.engine.calls == {"receive_datagrams": 1, "read": 32, "write": 32, **twice}
        here.engine.calls.clear()
        await here.ask(1)
        once = {"datagrams_to_send": 1, "next_timeout": 1, "poll_events": 2}
        assert here.engine.calls == {"receive_datagrams": 1, "read": 1, "write": 1, **once}


@pytest.mark.skipif("sys.platform != 'linux'", reason="elsewhere each datagram is a call")
async def test_a_request_costs_few_system_calls():
    """A wake-up reads until nothing is left, or what it is used to when all are alike; 16 answers
    leave in one call.
    """
    async with known_visitor() as here:
        with counted() as calls:
            await here.ask(32)
        assert system_calls(calls) == {
            "recvmsg_into": 33,
            "sendmsg": 2,
        }
        with counted() as calls:
            await here.ask(1)
        assert system_calls(calls) == {
            "recvmsg_into": 2,
            "send": 1,
        }
        for _ in range(20):
            await here.ask(1)
        with counted() as calls:
            await here.ask(1)
        assert system_calls(calls) == {
            "recvmsg_into": 1,
            "send": 1,
        }


async def test_a_request_costs_few_calls_of_python():
    """What the interpreter does for a request: calls of our functions, and of others from them."""
    async with known_visitor() as here:
        with counted() as calls:
            await here.ask(32)
        assert calls["python"] <= 94 * 32
        assert calls.total() <= 200 * 32
        with counted() as calls:
            await here.ask(1)
        assert calls["python"] <= 110
        assert calls.total() <= 230


async def test_a_lone_answer_is_sent_before_its_task_ends():
    """A visitor alone need not wait for what the app does after the last byte; of several answers
    16 leave together, so that the edge has them while the next are made.
    """
    transmits = []

    async def app(scope, receive, send):
        before = here.engine.calls["datagrams_to_send"]
        await answer(scope, receive, send)
        transmits.append(here.engine.calls["datagrams_to_send"] - before)

    async with visitor(app) as here:
        await here.ask(1)
        assert transmits == [1]
        transmits.clear()
        await here.ask(40)
        assert transmits == [*([0] * 15), 1, *([0] * 15), 1, *([0] * 8)]


async def test_a_request_is_one_task():
    """Nothing else is spawned for it, nor is anything told of its end."""
    made = []

    def note(loop, coro, **options):
        made.append(asyncio.Task(coro, loop=loop, **options))
        return made[-1]

    async with known_visitor() as here:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(note)
        await here.ask(32)
        loop.set_task_factory(None)
    assert len(made) == 32
    assert {task.get_coro().__qualname__ for task in made} == {"HaConnection._answer"}


async def test_a_request_leaves_nothing_behind():
    """Its memory is free without the garbage collector, all of it, and was little."""
    async with known_visitor() as here:
        gc.collect()
        gc.disable()
        try:
            before = sys.getallocatedblocks()
            for _ in range(10):
                await here.ask(32)
            assert gc.collect() == 0
            assert (sys.getallocatedblocks() - before) / 320 < 0.25
        finally:
            gc.enable()
        tracemalloc.start()
        try:
            await here.ask(32)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            await here.ask(32)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (peak - before) / 32 < 6000  # bytes


async def test_a_large_body_is_not_copied_on_its_way_out():
    """The engine gets the very bytes that the app sent, and views of them when it takes them in
    parts.
    """
    chunks = [bytes([number]) * (1 << 20) for number in range(3)]
    done = asyncio.Event()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        done.set()
        await receive()

    async with visitor(app) as here:
        here.engine.keeps = True
        here.engine.room = 100_000
        here.sock.send(frame(9, HEAD, end=True))
        await done.wait()
        written = here.engine.written
        copied = [data for data, _ in written if not _is_of(data, chunks)]
        assert sum(accepted for _, accepted in written) >= 3 << 20
        assert sum(map(len, copied)) < 200  # the head


async def test_a_body_is_not_copied_on_its_way_in():
    """The app gets the very bytes that the engine gave, but for those behind the head."""
    head = RequestHead(RequestKind.HTTP, b"/", "POST", b"a.example", [(b"content-length", b"6000")])
    got = []
    done = asyncio.Event()

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            got.append(message["body"])
            more = message["more_body"]
        done.set()

    async with visitor(app) as here:
        here.engine.keeps = True
        here.sock.send(frame(9, encode_request(head)))
        for number in range(6):
            here.sock.send(frame(9, bytes([number]) * 1_000, end=number == 5))
        await done.wait()
        assert b"".join(got) == b"".join(bytes([number]) * 1_000 for number in range(6))
        assert all(any(body is data for data in here.engine.read_out) for body in got)


def _is_of(data, chunks):
    """Whether this is one of the chunks, or a view of one."""
    whole = data.obj if isinstance(data, memoryview) else data
    return any(whole is chunk for chunk in chunks)
