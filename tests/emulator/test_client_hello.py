"""Reading what a QUIC client says first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.client_hello import HelloReader
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.engines import choose_engine

ROOTS = Authority.shared().certificate


def first_flight(**options):
    settings = ClientSettings(
        **{"server_name": "quic.cftunnel.com", "trust_roots": ROOTS, **options}
    )
    return list(choose_engine("aioquic").dial(settings, now=0.0).datagrams_to_send(now=0.0))


def test_name_and_protocols():
    """Server name and ALPN are as the client offers them."""
    (datagram,) = first_flight(server_name="some.example", alpn="h3")
    hello = HelloReader().receive_datagram(datagram)
    assert hello.server_name == "some.example"
    assert hello.alpn_protocols == ["h3"]


def test_a_hello_in_several_datagrams():
    """A long ClientHello is complete with its last datagram, in whatever order they come."""
    datagrams = first_flight(alpn="x" * 200, server_name=".".join(["y" * 60] * 30))
    assert len(datagrams) > 1
    for order in (datagrams, datagrams[::-1], datagrams[:1] * 2 + datagrams[1:]):
        reader = HelloReader()
        hellos = [reader.receive_datagram(datagram) for datagram in order]
        assert hellos[:-1] == [None] * (len(order) - 1)
        assert hellos[-1].alpn_protocols == ["x" * 200]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xc0", b"\xff" * 1200, bytes(1200)])
def test_garbage_is_no_hello(data):
    """What is no Initial packet is nothing, and leaves the reader in order."""
    reader = HelloReader()
    assert reader.receive_datagram(data) is None
    (datagram,) = first_flight()
    assert reader.receive_datagram(datagram) is not None


@given(st.binary(max_size=1500))
@settings(max_examples=200, deadline=None)
def test_no_bytes_raise(data):
    """Whatever comes, with the start of an Initial packet or without."""
    HelloReader().receive_datagram(data)
    HelloReader().receive_datagram(b"\xc0\x00\x00\x00\x01\x08" + data)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_broken_hello_raises(data):
    """A datagram with some bytes changed is a hello or none."""
    datagram = bytearray(FLIGHT)
    for _ in range(data.draw(st.integers(1, 4))):
        datagram[data.draw(st.integers(0, len(datagram) - 1))] = data.draw(st.integers(0, 255))
    HelloReader().receive_datagram(bytes(datagram))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_frames_raise(frames):
    """Frames and TLS messages of any kind, in packets that are well protected."""
    from aioquic.quic.crypto import CryptoPair

    reader = HelloReader()
    cid = bytes(8)
    crypto = CryptoPair()
    crypto.setup_initial(cid=cid, is_client=True, version=1)
    payload = frames.ljust(32, b"\0")
    length = 2 + len(payload) + 16
    header = b"\xc1\0\0\0\x01\x08" + cid + b"\0\0" + (0x4000 | length).to_bytes(2) + b"\0\0"
    assert reader.receive_datagram(crypto.encrypt_packet(header, payload, 0)) is None


(FLIGHT,) = first_flight()
