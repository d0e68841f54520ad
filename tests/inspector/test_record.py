"""What is kept of one exchange."""

import time

import pytest

from asgi_quicktunnel.inspector.record import RecordState
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts
from asgi_quicktunnel.protocol.datastream import read_request

from tests_support.fake_stream import FakeStream
from tests_support.recorded import exchange, request
from tests_support.vectors import read_vector
from tests_support.visit import FACTS

pytestmark = pytest.mark.anyio


async def test_times():
    """The beginning is the clock's, the rest are seconds since."""
    before = time.time()
    record = await exchange(answer=[b"x"])
    assert before <= record.started <= time.time()
    assert 0 <= record.first_byte <= record.elapsed <= time.time() - before + 0.1


async def test_an_open_one_has_no_end():
    """Neither times nor a status, until there are any."""
    record = await exchange(status=None, end=None)
    assert record.state is RecordState.OPEN
    assert record.first_byte is record.elapsed is record.status is record.response is None


async def test_what_it_repeats():
    """Facts name the original."""
    assert (await exchange()).replay_of is None
    record = await exchange(facts=ConnectionFacts(0, "lis01", replay_of="7"))
    assert record.replay_of == "7"


async def test_nothing_of_a_visitor_is_in_its_repr():
    """Paths and headers may hold secrets."""
    record = await exchange(request(dest=b"/secret", headers=[(b"authorization", b"secret")]))
    assert repr(record) == "<Record 1 done>"


@pytest.mark.parametrize(
    ("headers", "body", "whole"),
    [
        ([], b"", True),
        ([(b"content-length", b"0")], b"", True),
        ([(b"content-length", b"4")], b"abcd", True),
        ([(b"content-length", b"5")], b"abcd", False),
        ([(b"content-length", b"5")], b"", False),
        ([(b"transfer-encoding", b"chunked")], b"abcd", True),
        ([(b"transfer-encoding", b"chunked")], b"", False),
    ],
)
async def test_whether_the_body_is_whole(headers, body, whole):
    """It has its length, or its end was seen; a body that nobody read is not known."""
    record = await exchange(request("POST", headers=headers), body=body)
    assert record.is_request_whole is whole


async def test_a_body_that_was_cut_is_not_whole():
    """What was not kept can't be sent once more."""
    record = await exchange(store=RequestStore(max_body=3), body=b"abcd")
    assert (record.request_body, record.received) == (b"abc", 4)
    assert not record.is_request_whole


async def test_the_head_is_read_anew_from_its_bytes():
    """Once the exchange has ended its bytes are kept, and say the same."""
    raw = read_vector("connect_request")
    head, _ = read_request(raw)

    class Stream(FakeStream):
        raw_head = raw

    record = RequestStore().begin(Stream(head), FACTS)
    assert record.head is head
    record.reset()
    assert record.head == head
    assert record.head is not head


async def test_a_stream_that_was_declined_has_a_record():
    """TCP is nothing that we serve, and that shows."""
    record = await exchange(request(kind=RequestKind.TCP), status=502)
    assert (record.status, record.conversation) == (502, None)
