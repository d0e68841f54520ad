"""What was said over a WebSocket, as JSON types."""

import base64

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode

from asgi_quicktunnel.diagnostics.frames import describe_frames
from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import RequestKind, ResponseHead

from tests_support.fake_stream import FakeStream
from tests_support.recorded import exchange, request
from tests_support.visit import FACTS

pytestmark = pytest.mark.anyio


async def conversation(*said, headers=()):
    """The record of a WebSocket: (from_visitor, bytes) in turn."""
    stream = FakeStream(request(kind=RequestKind.WEBSOCKET))
    record = RequestStore().begin(stream, FACTS)
    await record.respond(ResponseHead(101, list(headers)))
    for from_visitor, data in said:
        if from_visitor:
            stream.feed(data)
            await record.receive()
        else:
            await record.send(data)
    return record


def framed(opcode, data, *, masked, extensions=()):
    return Frame(opcode, data).serialize(mask=masked, extensions=extensions)


async def test_both_sides_in_order():
    """Text is text, the rest is Base64, a Close has its code."""
    record = await conversation(
        (True, framed(Opcode.TEXT, "hé".encode(), masked=True)),
        (False, framed(Opcode.BINARY, b"\x00\xff", masked=False)),
        (False, framed(Opcode.PING, b"", masked=False)),
        (True, framed(Opcode.CLOSE, Close(1001, "bye").serialize(), masked=True)),
    )
    frames = describe_frames(record)
    times = [frame.pop("at") for frame in frames]
    assert times == sorted(times)
    nothing = {"text": None, "base64": None, "code": None}
    assert frames == [
        nothing | {"from": "visitor", "type": "text", "size": 3, "text": "hé"},
        nothing | {"from": "app", "type": "binary", "size": 2, "base64": "AP8="},
        nothing | {"from": "app", "type": "ping", "size": 0},
        nothing | {"from": "visitor", "type": "close", "size": 3, "text": "bye", "code": 1001},
    ]


async def test_compression_is_undone_where_it_was_agreed_upon():
    """The answer says so."""
    extension = PerMessageDeflate(False, False, 15, 15)
    data = framed(Opcode.TEXT, b"again " * 50, masked=True, extensions=[extension])
    agreed = [(b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=12")]
    (frame,) = describe_frames(await conversation((True, data), headers=agreed))
    assert (frame["text"], frame["size"]) == ("again " * 50, 300)
    (frame,) = describe_frames(await conversation((True, data)))
    assert (frame["type"], frame["text"]) == ("error", "reserved bits must be 0")


async def test_text_that_is_none_is_shown_all_the_same():
    """With a sign for what can't be read."""
    (frame,) = describe_frames(
        await conversation((False, framed(Opcode.TEXT, b"a\xff", masked=False)))
    )
    assert (frame["type"], frame["text"]) == ("text", "a\ufffd")


async def test_there_is_none_without_a_websocket():
    """Nor where it was denied; an accepted one may be silent."""
    assert describe_frames(await exchange()) is None
    denied = await exchange(request(kind=RequestKind.WEBSOCKET), status=403)
    assert describe_frames(denied) is None
    assert describe_frames(await conversation()) == []


async def test_the_content_of_a_ping():
    """It may be anything."""
    (frame,) = describe_frames(
        await conversation((True, framed(Opcode.PONG, b"\x01", masked=True)))
    )
    assert base64.b64decode(frame["base64"]) == b"\x01"
