"""The native engine: what is its own, and peers that mean harm."""

import pytest

from asgi_quicktunnel.emulator.client_hello import HelloReader
from asgi_quicktunnel.transport.engine import Readable, StreamOpened
from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.engine_pair import EnginePair
from tests_support.engines import IS_NATIVE_INSTALLED

pytestmark = pytest.mark.skipif(
    not IS_NATIVE_INSTALLED, reason="asgi-quicktunnel-native is not installed"
)

KIB = 1024


def native_pair(**changes):
    """A pair with the native engine on both sides, whatever engine is under test."""
    native = choose_engine("native")
    return EnginePair(dial=native, accept=native, **changes)


def mixed_pair(*, accept, **changes):
    """A native connector on an edge of another engine."""
    engines = {"dial": choose_engine("native"), "accept": choose_engine(accept)}
    return EnginePair(**engines, **changes)


def test_the_transport_parameters_are_those_of_the_protocol():
    """The peer learns version 1, 5 s idle timeout, datagrams of 16383 bytes, ids of length 0."""
    pair = mixed_pair(accept="aioquic").connect()
    seen = pair.server.engine._connection

    assert seen._version == 1
    assert seen._remote_max_idle_timeout == 5.0
    assert seen._remote_max_datagram_frame_size == 16383
    assert seen._remote_max_streams_bidi >= 4096
    assert seen._remote_max_streams_uni == 0
    assert seen._peer_cid.cid == b""


def test_the_first_words_are_those_of_the_protocol():
    """Name, ALPN and a post-quantum key share stand in the ClientHello, which aioquic reads."""
    pair = native_pair()
    reader = HelloReader()
    hellos = [reader.receive_datagram(entry[3]) for entry in _wire(pair)]
    hello = next(hello for hello in hellos if hello is not None)

    assert hello.server_name == "quic.cftunnel.com"
    assert hello.alpn_protocols == ["argotunnel"]
    assert hello.key_share[0][0] == 0x11EC  # X25519MLKEM768
    assert 0x0017 in hello.supported_groups  # P-256


def _wire(pair):
    pair._flush()
    return sorted(pair._wire)


def test_datagrams_are_accepted_and_dropped():
    """An RFC 9221 datagram is no event and no harm."""
    pair = mixed_pair(accept="aioquic").connect()
    for size in (0, 1, 1000):
        pair.server.engine._connection.send_datagram_frame(b"x" * size)
    pair.pass_time(0.5)

    assert pair.client.closed is None


@pytest.mark.slow
def test_ten_thousand_streams_are_open_at_once():
    """The limit that the peer is given grows with the streams that it opens."""
    pair = native_pair(delay=0.001).connect()
    ids = [pair.server.engine.open_stream() for _ in range(10_000)]
    for stream_id in ids:
        pair.server.engine.write(stream_id, b"?")

    assert pair.run(lambda: len(pair.client.received) == len(ids))
    assert pair.client.opened == ids
    assert pair.client.closed is None


def test_streams_over_the_limit_wait_until_it_is_raised():
    """With ten allowed at once, a hundred are opened, answered and ended."""
    pair = native_pair(client={"max_streams": 10}).connect()
    client, server = pair.client, pair.server
    ids = [server.engine.open_stream() for _ in range(100)]
    for stream_id in ids:
        server.engine.write(stream_id, b"?", end=True)

    def answer(_event):
        for stream_id in client.ended - client.resets.keys():
            client.engine.write(stream_id, b"!", end=True)

    client.on_event = answer
    assert pair.run(lambda: server.ended == set(ids))


def test_a_stream_that_is_given_up_while_it_waits_is_no_harm():
    """Reset or stopped before the peer allowed it: the next ones work all the same."""
    pair = native_pair(client={"max_streams": 2}).connect()
    client, server = pair.client, pair.server
    ids = [server.engine.open_stream() for _ in range(6)]
    server.engine.reset(ids[3], 7)
    server.engine.stop(ids[4], 8)
    for stream_id in ids:
        server.engine.write(stream_id, b"?", end=True)

    def answer(_event):
        for stream_id in client.ended | client.resets.keys():
            client.engine.write(stream_id, b"!", end=True)

    client.on_event = answer
    assert pair.run(lambda: ids[5] in server.ended)
    assert client.resets == {ids[3]: 0}
    assert client.received[ids[5]] == b"?"


def test_a_short_answer_does_not_wait_behind_a_transfer():
    """With megabytes waiting, 100 bytes on another stream arrive within two round trips."""
    pair = native_pair(delay=0.01, server={"stream_window": 64 << 20}).connect()
    client = pair.client
    bulk = client.engine.open_stream()
    waiting = bytes(8 << 20)

    def pump(_event=None):
        nonlocal waiting
        waiting = waiting[client.engine.write(bulk, waiting) :]

    client.on_event = pump
    pump()
    pair.pass_time(0.1)
    assert waiting
    short = client.engine.open_stream()
    client.engine.write(short, bytes(100), end=True)
    began = pair.now

    assert pair.run(lambda: short in pair.server.ended)
    assert pair.now - began < 0.04


def test_an_event_is_told_once():
    """Data in a hundred datagrams is one StreamOpened until it is read, then one Readable."""
    pair = native_pair().connect()
    pair.client.reads = False
    stream_id = pair.server.engine.open_stream()
    pair.server.engine.write(stream_id, bytes(100 * KIB))
    pair.pass_time(1)

    events = [event for event in pair.client.events if hasattr(event, "stream_id")]
    assert events == [StreamOpened(stream_id)]
    pair.client.read(stream_id)
    pair.server.engine.write(stream_id, bytes(100 * KIB))
    pair.pass_time(1)

    events = [event for event in pair.client.events if hasattr(event, "stream_id")]
    assert events == [StreamOpened(stream_id), Readable(stream_id)]


@pytest.mark.parametrize("data", [b"", b"\x40", b"\xc0\0\0\0\1", bytes(1200), b"\xff" * 1500])
def test_what_is_no_packet_is_nobodys(data):
    """Neither connection nor answer comes of it, and a connection is not disturbed."""
    pair = native_pair().connect()
    pair.client.engine.receive_datagrams([data], now=pair.now)
    engine, answer = pair.acceptor.accept(data, ("192.0.2.9", 9), now=pair.now)

    assert engine is None
    if answer is not None:  # an unknown version, in a datagram of a client's first size
        assert data[0] & 0x80
        assert len(answer) < len(data)
    pair.pass_time(0.1)
    assert pair.client.closed is None


def test_an_engine_that_was_forgotten_is_known_no_longer():
    """After `forget` the acceptor sends its datagrams to nobody."""
    pair = native_pair().connect()
    pair.client.engine.ping()
    (datagram,) = pair.client.engine.datagrams_to_send(now=pair.now)
    engine, _ = pair.acceptor.accept(datagram, ("192.0.2.1", 1), now=pair.now)
    assert engine is pair.server.engine

    pair.acceptor.forget(engine)
    pair.acceptor.forget(engine)
    assert pair.acceptor.accept(datagram, ("192.0.2.1", 1), now=pair.now) == (None, None)


def test_misuse_is_an_error_and_no_crash():
    """What is no buffer, no stream or no list of bytes is refused by Python's own errors."""
    engine = native_pair().connect().client.engine
    with pytest.raises(TypeError):
        engine.write(0, "text")
    with pytest.raises(OverflowError):
        engine.read(-1, 10)
    with pytest.raises(TypeError):
        engine.receive_datagrams(["text"], now=0.0)
    assert engine.write(400, b"nobody") == 6
    assert engine.read(400, 10) == (b"", True)
    engine.reset(400, 1 << 63)
    engine.stop(401, 0)
