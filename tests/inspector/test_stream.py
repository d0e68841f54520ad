"""A request stream that is watched."""

import asyncio
import gc
import weakref

import pytest

from asgi_quicktunnel.errors import LocalProtocolError, StreamReset
from asgi_quicktunnel.inspector.record import PART_COST, Passed, RecordState
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestKind, ResponseHead

from tests_support.fake_stream import FakeStream
from tests_support.recorded import exchange, request
from tests_support.visit import FACTS

pytestmark = pytest.mark.anyio


def watched(head=None, store=None, **options):
    stream = FakeStream(head or request("POST"), **options)
    return stream, (store or RequestStore()).begin(stream, FACTS)


async def test_everything_is_handed_on():
    """The stream beneath sees what an origin does, and the origin what the visitor does."""
    stream, record = watched()
    assert record.head is stream.head
    stream.feed(b"question")
    stream.feed_eof()
    assert await record.receive() == b"question"
    assert await record.receive() == b""
    head = ResponseHead(200, [(b"a", b"b")])
    await record.respond(head)
    await record.send(b"ans")
    await record.send(b"wer")
    await record.send_eof()
    assert (stream.response, bytes(stream.sent), stream.ended) == (head, b"answer", True)
    assert (record.request_body, record.response_body) == (b"question", b"answer")
    assert (record.received, record.sent, record.request_ended) == (8, 6, True)
    assert (record.status, record.state) == (200, RecordState.DONE)


async def test_a_reset_is_handed_on():
    """Its code too; what was said before stays known."""
    stream, record = watched()
    await record.respond(ResponseHead(200))
    await record.send(b"half")
    record.reset(7)
    assert stream.reset_code == 7
    assert (record.state, record.status, record.response_body) == (RecordState.RESET, 200, b"half")


async def test_after_the_end_nothing_harms():
    """As a stream allows: a reset does nothing, nothing comes, and nothing can be said."""
    stream, record = watched()
    await record.respond(ResponseHead(200))
    await record.send_eof()
    record.reset()
    await record.send_eof()
    await record.disconnected()
    assert await record.receive() == b""
    assert (stream.reset_code, record.state) == (None, RecordState.DONE)
    with pytest.raises(LocalProtocolError):
        await record.send(b"x")
    with pytest.raises(LocalProtocolError):
        await record.respond(ResponseHead(200))


async def test_what_the_stream_raises_comes_through():
    """A visitor who left shows as without us."""
    stream, record = watched()
    stream.feed_reset()
    await asyncio.wait_for(record.disconnected(), 5)
    with pytest.raises(StreamReset):
        await record.receive()
    with pytest.raises(StreamReset):
        await record.respond(ResponseHead(200))


async def test_a_slow_visitor_makes_the_origin_wait_as_before():
    """Keeping does not take the place of the visitor's reading."""
    stream, record = watched(manual=True, high_water=10)
    await record.respond(ResponseHead(200))
    sending = asyncio.create_task(record.send(bytes(11)))
    await asyncio.sleep(0)
    assert not sending.done()
    stream.take()
    await asyncio.wait_for(sending, 5)


async def test_credit_follows_what_the_origin_takes():
    """Nothing is read ahead to be kept."""
    stream, record = watched()
    stream.feed(bytes(100_000))
    assert stream.consumed == 0
    assert len(await record.receive()) == stream.consumed < 100_000


async def test_a_whole_answer_is_kept_without_a_copy():
    """The chunk that passed is what is kept."""
    body = bytes(1000)
    record = await exchange(answer=[body])
    assert record.response_body is body


async def test_only_the_beginning_of_long_bodies_is_kept():
    """Their sizes are those of all that passed."""
    store = RequestStore(max_body=1000)
    body = bytes(range(250)) * 20
    one = await exchange(store=store, body=body, answer=[body])
    several = await exchange(store=store, answer=[body[:600], body[600:1200], body[1200:]])
    for record in (one, several):
        assert (record.response_body, record.sent) == (body[:1000], 5000)
    assert (one.request_body, one.received) == (body[:1000], 5000)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_what_might_change_is_copied(kind):
    """A buffer that its owner fills anew does not change what was kept."""
    buffer = bytearray(b"first")
    record = (store := RequestStore()).begin(Careless(request()), FACTS)
    await record.respond(ResponseHead(200))
    await record.send(kind(buffer))
    buffer[:] = b"later"
    assert record.response_body == b"first"
    assert store.get("1") is record


class Careless(FakeStream):
    """Takes any kind of bytes, as a transport may."""

    async def send(self, data):
        await super().send(bytes(data))


async def test_the_stream_beneath_is_let_go():
    """A record does not keep a connection alive."""
    stream, record = watched()
    await record.respond(ResponseHead(200))
    await record.send_eof()
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    assert record.head.method == "POST"


async def conversation(max_body=1 << 18, said=()):
    stream, record = watched(
        request(kind=RequestKind.WEBSOCKET),
        RequestStore(max_body=max_body),
        window=1 << 30,
        high_water=1 << 30,
    )
    await record.respond(ResponseHead(101))
    for from_visitor, data in said:
        if from_visitor:
            stream.feed(data)
            assert await record.receive() == data
        else:
            await record.send(data)
    return record


async def test_a_conversation_is_kept_by_direction_and_time():
    """In the order of what passed, as bytes."""
    record = await conversation(said=[(True, b"hello"), (False, b"and"), (False, b"bye")])
    passed = record.conversation
    assert [(part.from_visitor, part.data) for part in passed] == [
        (True, b"hello"),
        (False, b"and"),
        (False, b"bye"),
    ]
    assert 0 <= passed[0].at <= passed[1].at <= passed[2].at
    assert (record.received, record.sent) == (5, 6)
    assert record.request_body == record.response_body == b""
    assert all(type(part) is Passed for part in passed)


async def test_a_conversation_is_kept_up_to_what_keeping_it_costs():
    """Many small pieces of one side do not crowd out the other, and after a gap comes nothing."""
    said = [(True, b"x" * 10)] * 100 + [(False, b"y" * 5000), (False, b"z")] + [(True, b"end")]
    record = await conversation(max_body=10 * PART_COST, said=said)
    kept = record.conversation
    assert [part.data for part in kept if part.from_visitor] == [b"x" * 10] * 9
    assert [part.data for part in kept if not part.from_visitor] == [b"y" * 9 * PART_COST]
    assert (record.received, record.sent) == (1003, 5001)


async def test_a_denied_websocket_has_a_body():
    """Without a 101 it is an answer as any other."""
    record = await exchange(request(kind=RequestKind.WEBSOCKET), status=403, answer=[b"no"])
    assert (record.conversation, record.response_body) == (None, b"no")


async def test_a_conversation_that_left_the_store_is_not_kept():
    """It goes on unharmed."""
    store = RequestStore(max_records=1)
    stream, record = watched(request(kind=RequestKind.WEBSOCKET), store)
    await record.respond(ResponseHead(101))
    await record.send(b"before")
    await exchange(store=store)
    stream.feed(b"x")
    assert await record.receive() == b"x"
    await record.send(b"after")
    assert record.conversation == ()
    assert bytes(stream.sent) == b"beforeafter"
