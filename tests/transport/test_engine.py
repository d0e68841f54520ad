"""What every engine does: limits that follow what was read, marks, ends, trust."""

import random

import pytest

from asgi_quicktunnel.transport.engine import ClientSettings, Readable, StreamOpened

from tests_support.edge_certificates import issue
from tests_support.engine_pair import EnginePair
from tests_support.engines import engine
from tests_support.hostile_peer import HostilePeer

KIB = 1024
WINDOW = 64 * KIB
SMALL = {"stream_window": WINDOW, "connection_window": 4 * WINDOW}


def test_a_path_of_1232_bytes_carries_everything():
    """Where longer datagrams are lost all arrives, and hardly any longer ones were tried."""
    pair = EnginePair(mtu=1232).connect()
    stream_id = pair.client.engine.open_stream()
    pair.client.engine.write(stream_id, bytes(100 * KIB), end=True)

    assert pair.run(lambda: stream_id in pair.server.ended)
    assert pair.largest == 1232
    assert pair.too_large <= 20  # probes, RFC 8899


def test_a_path_of_1452_bytes_is_used_as_far_as_it_was_proved():
    """No datagram is ever longer than what the protocol allows on a path that carries it."""
    pair = EnginePair().connect()
    pair.pass_time(2)
    stream_id = pair.client.engine.open_stream()
    pair.client.engine.write(stream_id, bytes(100 * KIB), end=True)

    assert pair.run(lambda: stream_id in pair.server.ended)
    assert 1232 <= pair.largest <= 1452


def test_what_a_stream_opens_with_is_told_by_its_opening():
    """A stream is one event with its first data, and with its first data and end; what follows is
    another.
    """
    pair = EnginePair().connect()
    whole, parted = (pair.server.engine.open_stream() for _ in range(2))
    pair.server.engine.write(whole, b"all", end=True)
    pair.server.engine.write(parted, b"some")
    pair.pass_time(1)
    assert pair.client.events[1:] == [StreamOpened(whole), StreamOpened(parted)]
    assert (pair.client.received[whole], pair.client.ended) == (b"all", {whole})

    pair.server.engine.write(parted, b"thing", end=True)
    pair.pass_time(1)
    assert pair.client.events[3:] == [Readable(parted)]
    assert pair.client.received[parted] == b"something"


def test_a_peer_can_send_no_more_than_the_window_until_it_is_read():
    """Unread, a stream takes in its window and no byte more; reading lets the rest come."""
    pair = EnginePair(client=SMALL).connect()
    pair.client.reads = False
    stream_id = pair.server.engine.open_stream()
    sent = pair.server.engine.write(stream_id, bytes(200 * KIB))
    assert sent == 200 * KIB

    pair.pass_time(3)
    data, end = pair.client.engine.read(stream_id, 1 << 20)
    assert (len(data), end) == (WINDOW, False)

    pair.client.received[stream_id] += data
    pair.client.reads = True
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


def test_secrets_stay_out_of_the_settings_repr():
    """Neither roots nor keys are shown."""
    client = ClientSettings(server_name="x", trust_roots=b"PEM")
    assert "PEM" not in repr(client)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_mutated_datagrams_do_no_harm(seed):
    """5,000 datagrams, cut, flipped and repeated at random, leave both sides as they were."""
    pair = EnginePair().connect()
    rng = random.Random(seed)
    seen = []
    server_receives = pair.server.engine.receive_datagrams
    stream_id = pair.client.engine.open_stream()
    for _ in range(50):
        pair.client.engine.write(stream_id, rng.randbytes(2000))
        seen += pair.client.engine.datagrams_to_send(now=pair.now)
        server_receives(seen[-3:], now=pair.now)
        pair.client.engine.receive_datagrams(
            pair.server.engine.datagrams_to_send(now=pair.now), now=pair.now
        )
    for _ in range(100):
        batch = [_mutated(rng, rng.choice(seen)) for _ in range(50)]
        for side in (pair.client, pair.server):
            side.engine.receive_datagrams(batch, now=pair.now)
        for datagram in batch:
            pair.acceptor.accept(datagram, ("192.0.2.9", 9), now=pair.now)

    assert pair.run(lambda: len(pair.server.received[stream_id]) == 100_000)
    assert pair.client.closed is None
    assert pair.server.closed is None


def _mutated(rng, datagram):
    data = bytearray(datagram)
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    if rng.random() < 0.3:
        data += rng.randbytes(rng.randrange(64))
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_frames_of_any_bytes_end_the_connection_at_worst(seed):
    """Nonsense in packets that are encrypted as they should be: an error of QUIC's, or no harm."""
    rng = random.Random(seed)
    outcomes = set()
    for _ in range(30):
        peer = HostilePeer(engine())
        frame_type = rng.choice([*range(0x1F), 0x30, 0x31, 0xAF, rng.randrange(256)])
        peer.send_frames(bytes([frame_type]) + rng.randbytes(rng.randrange(40)))
        if peer.closed is None:
            peer.assert_is_alive()
        elif not peer.closed.by_peer:
            assert peer.closed.code in range(1, 0x200)  # RFC 9000 §20.1
        outcomes.add(peer.closed is None)
    assert False in outcomes  # most are refused
