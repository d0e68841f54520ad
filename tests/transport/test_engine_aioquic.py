"""The aioquic engine: limits that follow what was read, and peers that mean harm."""

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicFrameType

from asgi_quicktunnel.transport.aioquic_connection import INTERNALS
from asgi_quicktunnel.transport.engine import ClientSettings

from tests_support.edge_certificates import issue
from tests_support.engine_pair import EnginePair

KIB = 1024
WINDOW = 64 * KIB
SMALL = {"stream_window": WINDOW, "connection_window": 4 * WINDOW}


@pytest.mark.parametrize(("owner", "names"), INTERNALS.items(), ids=lambda item: str(item))
def test_every_internal_name_in_use_exists(owner, names):
    """aioquic still has each name that the engine uses beyond its public interface."""
    pair = EnginePair().connect()
    connection = pair.client.engine._connection
    instance = connection
    if not isinstance(connection, owner):
        instance = connection._streams[pair.client.engine.open_stream()]

    assert [name for name in names if not hasattr(instance, name)] == []


def test_no_datagram_is_longer_than_1232_bytes():
    """Before the path is proved to carry more, datagrams hold at most 1232 bytes."""
    pair = EnginePair().connect()
    stream_id = pair.client.engine.open_stream()
    pair.client.engine.write(stream_id, bytes(100 * KIB), end=True)

    assert pair.run(lambda: stream_id in pair.server.ended)
    assert pair.largest == 1232


def test_the_transport_parameters_are_those_of_the_protocol():
    """The peer learns version 1, 5 s idle timeout, datagrams of 16383 and 2^20 streams."""
    pair = EnginePair().connect()
    seen = pair.server.engine._connection

    assert seen._version == 1
    assert seen._remote_max_idle_timeout == 5.0
    assert seen._remote_max_datagram_frame_size == 16383
    assert seen._remote_max_streams_bidi >= 1 << 20
    assert seen._remote_active_connection_id_limit == 4


def test_a_peer_can_send_no_more_than_the_window_until_it_is_read():
    """Unread, a stream takes in its window and no byte more; reading lets the rest come."""
    pair = EnginePair(client=SMALL).connect()
    pair.client.reads = False
    stream_id = pair.server.engine.open_stream()
    sent = pair.server.engine.write(stream_id, bytes(200 * KIB))
    assert sent == 200 * KIB

    pair.pass_time(3)
    state = pair.client.engine._streams[stream_id]
    assert sum(map(len, state.chunks)) == WINDOW

    pair.client.reads = True
    pair.client.read(stream_id)
    assert pair.run(lambda: len(pair.client.received[stream_id]) == 200 * KIB)


def test_one_stalled_reader_does_not_block_another_stream():
    """While nobody reads one stream, another carries four connection windows."""
    pair = EnginePair(client=SMALL).connect()
    client, server = pair.client, pair.server
    stalled, flowing = server.engine.open_stream(), server.engine.open_stream()
    client.reads = False
    server.engine.write(stalled, bytes(200 * KIB))
    server.engine.write(flowing, bytes(200 * KIB))
    pair.pass_time(1)

    total = 16 * WINDOW
    written = 200 * KIB

    def pump(_event=None):
        nonlocal written
        client.read(flowing)
        written += server.engine.write(flowing, bytes(total - written))

    client.on_event = server.on_event = pump
    pump()

    assert pair.run(lambda: len(client.received[flowing]) == total)
    assert len(client.received[stalled]) == 0


def test_uploads_that_are_stopped_leave_the_connection_its_window():
    """100 streams given up in the middle of an upload don't use up the connection's window."""
    pair = EnginePair(client=SMALL, loss=0.02, seed=3).connect()
    client, server = pair.client, pair.server
    client.reads = False
    for _ in range(100):
        stream_id = server.engine.open_stream()
        server.engine.write(stream_id, bytes(100 * KIB))
        assert pair.run(lambda stream_id=stream_id: stream_id in client.opened)
        client.engine.stop(stream_id, 0)
        assert pair.run(lambda stream_id=stream_id: stream_id in server.stops)
        client.engine.write(stream_id, b"", end=True)

    client.reads = True
    stream_id = server.engine.open_stream()
    server.engine.write(stream_id, bytes(200 * KIB), end=True)
    assert pair.run(lambda: stream_id in client.ended)
    pair.pass_time(3)
    assert set(client.engine._streams) == {stream_id}


def test_uploads_that_the_peer_resets_leave_the_connection_its_window():
    """100 streams that the peer resets with unread data don't use up the connection's window."""
    pair = EnginePair(client=SMALL, loss=0.02, seed=4).connect()
    client, server = pair.client, pair.server
    client.reads = False
    for _ in range(100):
        stream_id = server.engine.open_stream()
        server.engine.write(stream_id, bytes(100 * KIB))
        assert pair.run(lambda stream_id=stream_id: stream_id in client.opened)
        server.engine.reset(stream_id, 7)
        assert pair.run(lambda stream_id=stream_id: client.resets.get(stream_id) == 7)
        client.engine.write(stream_id, b"", end=True)

    client.reads = True
    stream_id = server.engine.open_stream()
    server.engine.write(stream_id, bytes(200 * KIB), end=True)
    assert pair.run(lambda: stream_id in client.ended)


def test_write_accepts_only_up_to_the_high_water_mark():
    """What the peer does not acknowledge bounds what is accepted; Writable says when to go on."""
    pair = EnginePair(client={"send_high_water": 50_000}).connect()
    stream_id = pair.client.engine.open_stream()

    assert pair.client.engine.write(stream_id, bytes(80_000), end=True) == 50_000
    assert pair.client.engine.write(stream_id, bytes(30_000), end=True) == 0
    assert pair.run(lambda: stream_id in pair.client.writable)
    assert pair.run(lambda: len(pair.server.received[stream_id]) == 50_000)
    assert pair.client.engine.write(stream_id, bytes(30_000), end=True) == 30_000
    assert pair.run(lambda: stream_id in pair.server.ended)
    assert len(pair.server.received[stream_id]) == 80_000


def test_read_takes_no_more_than_asked_for():
    """`read` cuts a chunk where the caller wants it and keeps the rest."""
    pair = EnginePair().connect()
    pair.client.reads = False
    stream_id = pair.server.engine.open_stream()
    pair.server.engine.write(stream_id, b"0123456789", end=True)
    assert pair.run(lambda: stream_id in pair.client.opened)

    assert pair.client.engine.read(stream_id, 4) == (b"0123", False)
    assert pair.client.engine.read(stream_id, 4) == (b"4567", False)
    assert pair.client.engine.read(stream_id, 4) == (b"89", True)
    assert pair.client.engine.read(stream_id, 4) == (b"", True)


def test_a_thousand_streams_are_open_at_once():
    """The peer opens 1,000 streams, none ends, and each carries data both ways."""
    pair = EnginePair().connect()
    ids = [pair.server.engine.open_stream() for _ in range(1000)]
    for stream_id in ids:
        pair.server.engine.write(stream_id, b"ping")
    assert pair.run(lambda: len(pair.client.received) == 1000)
    for stream_id in ids:
        pair.client.engine.write(stream_id, b"pong")

    assert pair.run(lambda: len(pair.server.received) == 1000)
    assert all(pair.server.received[stream_id] == b"pong" for stream_id in ids)


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
    pair = EnginePair().connect()
    highest = 4 * ((1 << 20) - 1) + 1

    _send_frame(pair, QuicFrameType.RESET_STREAM, highest, 9, 0)

    assert pair.run(lambda: pair.client.resets == {highest: 9})
    assert len(pair.client.engine._connection._streams) == 1


def test_streams_below_a_higher_one_open_when_they_are_used():
    """Streams may arrive in any order; each is announced once and works."""
    pair = EnginePair().connect()
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
    pair = EnginePair(client={"max_streams": 10}).connect()
    _send_frame(pair, QuicFrameType.RESET_STREAM, 41, 9, 0)

    assert pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed.code == 0x04
    assert not pair.client.closed.by_peer


def test_countless_gaps_between_streams_end_the_connection():
    """A peer that opens every second stream number is refused before it costs much."""
    pair = EnginePair().connect()
    connection = pair.client.engine._connection

    def open_every_second():
        for number in range(1, 20_000, 2):
            connection._get_or_create_stream(QuicFrameType.STREAM_BASE, number * 4 + 1)

    with pytest.raises(QuicConnectionError, match="out of order"):
        open_every_second()


def test_datagrams_are_accepted_and_dropped():
    """An RFC 9221 datagram is no event and no harm."""
    pair = EnginePair().connect()
    pair.server.engine._connection.send_datagram_frame(b"x" * 100)
    pair.pass_time(0.5)

    assert pair.client.closed is None
    assert pair.run(lambda: pair.client.connected)


def test_five_seconds_of_silence_end_the_connection():
    """Without a packet for 5 s the connection is over, and said to be idle."""
    pair = EnginePair().connect()
    pair.dropping = lambda side: True
    began = pair.now

    assert pair.run(lambda: pair.client.closed is not None)
    assert pair.client.closed.idle
    assert 4.9 <= pair.now - began <= 6.0


def test_a_ping_keeps_the_connection():
    """A ping each second keeps a connection without traffic beyond its idle timeout."""
    pair = EnginePair().connect()
    for _ in range(12):
        pair.client.engine.ping()
        pair.pass_time(1)

    assert pair.client.closed is None
    assert pair.server.closed is None


def test_close_reaches_the_peer_with_code_and_reason():
    """The peer hears the application code and the reason."""
    pair = EnginePair().connect()
    pair.client.engine.close(0, "done")

    assert pair.run(lambda: pair.server.closed is not None)
    assert (pair.server.closed.code, pair.server.closed.reason) == (0, "done")
    assert pair.server.closed.by_peer
    assert not pair.client.closed.by_peer


@pytest.mark.parametrize(
    "trust",
    [
        pytest.param({"issued": issue("wrong.example")}, id="wrong name"),
        pytest.param({"issued": issue(expired=True)}, id="expired"),
        pytest.param(
            {"client": {"trust_roots": issue(authority_name="someone else").authority}},
            id="unknown authority",
        ),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(trust):
    """A wrong name, an expired certificate, an unknown authority: no connection."""
    pair = EnginePair(**trust)

    assert pair.run(lambda: pair.client.closed is not None)
    assert not pair.client.connected
    assert 0x100 <= pair.client.closed.code < 0x200  # a TLS alert, RFC 9001 §4.8


def test_secrets_stay_out_of_the_settings_repr():
    """Neither roots nor keys are shown."""
    client = ClientSettings(server_name="x", trust_roots=b"PEM")
    assert "PEM" not in repr(client)


def test_statistics_tell_of_loss_and_round_trips():
    """RTT, bytes and lost packets are counted."""
    pair = EnginePair(loss=0.1, seed=5).connect()
    stream_id = pair.client.engine.open_stream()
    pair.client.engine.write(stream_id, bytes(200 * KIB), end=True)
    assert pair.run(lambda: stream_id in pair.server.ended)
    pair.pass_time(1)

    statistics = pair.client.engine.statistics()
    assert 0.015 < statistics.rtt < 0.2
    assert statistics.packets_lost > 0
    assert statistics.bytes_sent > 200 * KIB
    assert statistics.bytes_received > 0
    assert statistics.congestion_window > 0
