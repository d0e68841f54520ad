"""The native engine's reader of request heads: it agrees with ours, or leaves it to ours."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.protocol import datastream
from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.capnp_messages import oracle_request
from tests_support.engines import IS_NATIVE_INSTALLED

pytestmark = pytest.mark.skipif(
    not IS_NATIVE_INSTALLED, reason="asgi-quicktunnel-native is not installed"
)

TOKENS = st.text("abcXYZ-09_!", min_size=1, max_size=12).map(str.encode)
VALUES = st.binary(max_size=40).filter(lambda value: not set(value) & {0, 10, 13})
HEADS = st.builds(
    RequestHead,
    kind=st.sampled_from(RequestKind),
    dest=st.binary(max_size=60).filter(lambda dest: all(33 <= byte != 127 for byte in dest)),
    method=st.sampled_from(["GET", "POST", "PROPFIND"]),
    host=VALUES,
    headers=st.lists(st.tuples(TOKENS.map(bytes.lower), VALUES), max_size=30),
)


def read_natively(data):
    """What Rust alone makes of it."""
    import asgi_quicktunnel_native

    return asgi_quicktunnel_native.read_request(data)


def read_both(data):
    """What the engine's reader and ours make of it, errors included."""
    outcomes = []
    for read in (choose_engine("native").read_request, datastream.read_request):
        try:
            outcomes.append(read(data))
        except RemoteProtocolError as exc:
            outcomes.append(str(exc))
    return outcomes


@given(HEADS, st.binary(max_size=20))
def test_what_we_encode_is_read_natively(head, rest):
    """Any head in the usual layout is read in Rust, and as our reader reads it."""
    data = datastream.encode_request(head) + rest

    assert read_natively(data) is not None
    native, ours = read_both(data)
    assert native == ours
    assert native[1] == rest
    assert isinstance(native[0], RequestHead)


@given(HEADS)
def test_what_capnp_encodes_is_read_alike(head):
    """The reference encoder's messages too, whether or not Rust reads them itself."""
    data = datastream.DATA_SIGNATURE + datastream.VERSION + oracle_request(head)
    native, ours = read_both(data)

    assert native == ours


def test_names_come_in_lower_case():
    """However the edge spells a name, it is the same; Host is left out."""
    head = RequestHead(
        RequestKind.HTTP, b"/", "PUT", b"h", [(b"X-Name", b"v"), (b"HOST", b"o"), (b"x-namE", b"w")]
    )
    data = datastream.DATA_SIGNATURE + datastream.VERSION + oracle_request(head)

    assert read_natively(data) is not None
    for read, rest in read_both(data):
        assert read.headers == [(b"x-name", b"v"), (b"x-name", b"w")]
        assert rest == b""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_mutated_heads_are_read_alike(seed):
    """Of 10,000 heads with bytes changed or cut, both make the same: a head, nothing, an error."""
    rng = random.Random(seed)
    head = RequestHead(
        RequestKind.HTTP,
        b"https://t.example/a?b=1",
        "POST",
        b"t.example",
        [(b"x-%d" % number, b"v" * number) for number in range(12)],
    )
    original = datastream.encode_request(head) + b"body"
    natively = 0
    for _ in range(10_000):
        data = bytearray(original)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 5, 10, 13, 255, rng.randrange(256)])
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        native, ours = read_both(bytes(data))
        assert native == ours, bytes(data).hex()
        natively += read_natively(bytes(data)) is not None
    assert 1000 < natively < 9000


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_limit_of_headers_is_the_same(size):
    """1,000 metadata entries are read, 1,001 refused, whoever reads."""
    headers = [(b"x", b"")] * (size - 2)  # method and host count too
    head = RequestHead(RequestKind.HTTP, b"/", "GET", b"h", headers)
    data = datastream.DATA_SIGNATURE + datastream.VERSION + oracle_request(head)
    native, ours = read_both(data)

    assert native == ours
    assert isinstance(native, str) == (size > 1000)
