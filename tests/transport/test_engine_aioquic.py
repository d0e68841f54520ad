"""The aioquic engine: its internals, and peers that mean harm."""

import pytest
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicFrameType, pull_quic_transport_parameters

from asgi_quicktunnel.transport.aioquic_internals import INTERNALS
from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.engine_pair import EnginePair

KIB = 1024
AIOQUIC = choose_engine("aioquic")


def aioquic_pair(**changes):
    """A pair with aioquic on both sides, whatever engine is under test."""
    return EnginePair(dial=AIOQUIC, accept=AIOQUIC, **changes)


@pytest.mark.parametrize(("owner", "names"), INTERNALS.items(), ids=lambda item: str(item))
def test_every_internal_name_in_use_exists(owner, names):
    """aioquic still has each name that the engine uses beyond its public interface."""
    pair = aioquic_pair().connect()
    connection = pair.client.engine._connection
    instance = connection if isinstance(connection, owner) else connection._loss
    if not isinstance(instance, owner):
        instance = connection._streams[pair.client.engine.open_stream()]

    assert [name for name in names if not hasattr(instance, name)] == []


def test_the_transport_parameters_are_those_of_the_protocol():
    """The peer learns version 1, 5 s idle timeout, datagrams of 16383 and 2^20 streams."""
    pair = aioquic_pair().connect()
    seen = pair.server.engine._connection

    assert seen._version == 1
    assert seen._remote_max_idle_timeout == 5.0
    assert seen._remote_max_datagram_frame_size == 16383
    assert seen._remote_max_streams_bidi >= 1 << 20
    assert seen._remote_active_connection_id_limit == 4


@pytest.mark.parametrize("side", ["client", "server"])
def test_either_side_says_how_large_a_datagram_may_be(side):
    """max_udp_payload_size is 1452, which aioquic itself does not say."""
    connection = getattr(aioquic_pair().connect(), side).engine._connection
    said = Buffer(data=connection._serialize_transport_parameters())

    assert pull_quic_transport_parameters(said).max_udp_payload_size == 1452


def _send_frame(pair, frame_type, *fields):
    """Let the server send one raw frame of integers."""
    connection = pair.server.engine._connection
    write = connection._write_connection_limits

    def write_frame(*, builder, space):
        connection._write_connection_limits = write
        buffer = builder.start_frame(frame_type, capacity=64)
        for field in fields:
            buffer.push_bytes(encode_uint_var(field))

    connection._write_connection_limits = write_frame
    pair.server.engine.ping()


def test_naming_the_last_stream_creates_one_stream_alone():
    """A frame for stream 2^20 opens that stream; the million below cost nothing."""
    pair = aioquic_pair().connect()
    highest = 4 * ((1 << 20) - 1) + 1

    _send_frame(pair, QuicFrameType.RESET_STREAM, highest, 9, 0)

    assert pair.run(lambda: pair.client.resets == {highest: 9})
    assert len(pair.client.engine._connection._streams) == 1


def test_streams_below_a_higher_one_open_when_they_are_used():
    """Streams may arrive in any order; each is announced once and works."""
    pair = aioquic_pair().connect()
    _send_frame(pair, QuicFrameType.RESET_STREAM, 401, 9, 0)
    assert pair.run(lambda: 401 in pair.client.resets)
    for number in (7, 3, 99):
        _send_frame(pair, QuicFrameType.STREAM_BASE | 1, number * 4 + 1)
        assert pair.run(lambda number=number: number * 4 + 1 in pair.client.ended)
    _send_frame(pair, QuicFrameType.STREAM_BASE | 1, 7 * 4 + 1)
    pair.pass_time(1)

    assert pair.client.opened == [401, 29, 13, 397]
    assert pair.client.closed is None


def test_a_stream_above_the_limit_ends_the_connection():
    """A stream beyond the limit is a violation (RFC 9000 §4.6)."""
    pair = aioquic_pair(client={"max_streams": 10}).connect()
    _send_frame(pair, QuicFrameType.RESET_STREAM, 41, 9, 0)

    assert pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed.code == 0x04
    assert not pair.client.closed.by_peer


@pytest.mark.slow
def test_countless_gaps_between_streams_end_the_connection():
    """A peer that opens every second stream number is refused before it costs much."""
    pair = aioquic_pair().connect()
    connection = pair.client.engine._connection

    def open_every_second():
        for number in range(1, 20_000, 2):
            connection._get_or_create_stream(QuicFrameType.STREAM_BASE, number * 4 + 1)

    with pytest.raises(QuicConnectionError, match="out of order"):
        open_every_second()


def test_datagrams_are_accepted_and_dropped():
    """An RFC 9221 datagram is no event and no harm."""
    pair = aioquic_pair().connect()
    pair.server.engine._connection.send_datagram_frame(b"x" * 100)
    pair.pass_time(0.5)

    assert pair.client.closed is None
    assert pair.run(lambda: pair.client.connected)


def test_streams_that_are_over_are_forgotten():
    """A stream that we stopped and answered leaves no state, whatever was still on its way."""
    pair = aioquic_pair(client={"stream_window": 64 * KIB}, loss=0.02, seed=3).connect()
    client, server = pair.client, pair.server
    client.reads = False
    for _ in range(20):
        stream_id = server.engine.open_stream()
        server.engine.write(stream_id, bytes(100 * KIB))
        assert pair.run(lambda stream_id=stream_id: stream_id in client.opened)
        client.engine.stop(stream_id, 0)
        assert pair.run(lambda stream_id=stream_id: stream_id in server.stops)
        client.engine.write(stream_id, b"", end=True)
    pair.pass_time(3)

    assert not client.engine._streams


def test_an_answer_at_once_takes_the_acknowledgement_along():
    """A request and its answer are a packet each: what either acknowledges goes with what it says
    next, while that is not late.
    """
    pair = aioquic_pair(delay=0.0002).connect()
    pair.pass_time(0.5)
    client, server = pair.client, pair.server

    def answer(event):
        if (stream_id := getattr(event, "stream_id", None)) in client.ended - answered:
            answered.add(stream_id)
            client.engine.write(stream_id, b"answer", end=True)

    answered = set()
    client.on_event = answer
    sent = [side.engine._connection._packet_number for side in (client, server)]
    for _ in range(100):
        stream_id = server.engine.open_stream()
        server.engine.write(stream_id, b"request", end=True)
        assert pair.run(lambda stream_id=stream_id: stream_id in server.ended)
    pair.pass_time(0.05)

    assert server.engine._connection._packet_number - sent[1] <= 103
    assert client.engine._connection._packet_number - sent[0] <= 103
