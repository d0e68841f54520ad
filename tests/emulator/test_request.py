"""What the edge makes of a visitor's request."""

import h11
import pytest

from asgi_quicktunnel.emulator.http1 import BadRequest
from asgi_quicktunnel.emulator.request import Visitor, has_body, host_name, request_head
from asgi_quicktunnel.model import RequestKind
from asgi_quicktunnel.protocol.datastream import decode_request, encode_request

VISITOR = Visitor("198.51.100.7", "https", "lis01")
RAY = "0123456789abcdef"


def head_of(method="GET", target="/", *, version="1.1", host="a.localhost", **headers):
    items = [("Host", host), *((name.replace("_", "-"), value) for name, value in headers.items())]
    request = h11.Request(method=method, target=target, headers=items, http_version=version)
    return request_head(request, VISITOR, ray=RAY)


def value_of(head, name):
    return [value for key, value in head.headers if key.lower() == name]


def test_what_the_edge_adds():
    """The headers of protocol.md §6.8, and nothing that only connectors add."""
    head = head_of()
    assert head.headers == [
        (b"Cf-Connecting-Ip", b"198.51.100.7"),
        (b"Cf-Ray", b"0123456789abcdef-LIS"),
        (b"Cf-Ipcountry", b"PT"),
        (b"Cf-Visitor", b'{"scheme":"https"}'),
        (b"Cdn-Loop", b"cloudflare; loops=1"),
        (b"X-Forwarded-For", b"198.51.100.7"),
        (b"X-Forwarded-Proto", b"https"),
        (b"Accept-Encoding", b"gzip, br"),
    ]


def test_what_the_edge_overwrites():
    """A visitor can't say for itself what the edge says of it."""
    head = head_of(
        cf_connecting_ip="127.0.0.1",
        cf_ray="x",
        cf_ipcountry="XX",
        cf_visitor="{}",
        x_forwarded_proto="http",
        accept_encoding="identity",
        cf_cloudflared_proxy_connection_upgrade="control-stream",
        cf_warp_tag_id="x",
    )
    assert head.headers == head_of().headers


def test_what_the_edge_appends():
    """Addresses are appended with a comma and no space, and loops are counted."""
    head = head_of(x_forwarded_for="1.2.3.4, 5.6.7.8", cdn_loop="other")
    assert value_of(head, b"x-forwarded-for") == [b"1.2.3.4, 5.6.7.8,198.51.100.7"]
    assert value_of(head, b"cdn-loop") == [b"other, cloudflare; loops=1"]


def test_hop_by_hop_headers_stop_here():
    """Those that RFC 9110 names, and those that Connection names; framing can't be hidden."""
    head = head_of(
        "POST",
        connection="keep-alive, X-Private, Content-Length, Transfer-Encoding",
        keep_alive="timeout=5",
        te="trailers",
        trailer="x",
        upgrade="h2c",
        proxy_connection="keep-alive",
        proxy_authorization="Basic eA==",
        x_private="1",
        x_public="2",
        content_length="3",
    )
    names = {name.lower() for name, _ in head.headers} - {
        name.lower() for name, _ in head_of().headers
    }
    assert names == {b"x-public", b"content-length"}


def test_chunks_count_for_more_than_a_length():
    """Of two framings the connector sees the one that counts (RFC 9112 §6.3)."""
    head = head_of("POST", transfer_encoding="chunked", content_length="3")
    assert value_of(head, b"transfer-encoding") == [b"chunked"]
    assert value_of(head, b"content-length") == []


def test_repeated_headers_keep_their_order():
    """Order, repetition and bytes beyond ASCII are kept."""
    request = h11.Request(
        method="GET",
        target="/",
        headers=[(b"Host", b"h"), (b"X-A", b"1"), (b"X-B", b"\xff\xfe"), (b"x-a", b"2")],
    )
    head = request_head(request, VISITOR, ray=RAY)
    assert head.headers[:3] == [(b"X-A", b"1"), (b"X-B", b"\xff\xfe"), (b"x-a", b"2")]


@pytest.mark.parametrize(
    ("target", "host", "dest"),
    [
        ("/", "h", b"https://h/"),
        ("/a%2fb//../c?d=%20&e#f", "h:8", b"https://h:8/a%2fb//../c?d=%20&e"),
        ("http://other:81/x", "h", b"https://other:81/x"),
        ("HTTPS://other", "h", b"https://other/"),
        ("http://other?q", "h", b"https://other/?q"),
        ("/", "[::1]:80", b"https://[::1]:80/"),
    ],
)
def test_destinations(target, host, dest):
    """Path and query keep every byte; the scheme is what the visitor used."""
    assert head_of(target=target, host=host).dest == dest


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"target": "*", "method": "OPTIONS"}, 400),
        ({"target": "ftp://x/"}, 400),
        ({"target": "x"}, 400),
        ({"host": "a@b"}, 400),
        ({"host": "a/b"}, 400),
        ({"host": "[::1"}, 400),
        ({"method": "TRACE"}, 405),
        ({"method": "CONNECT", "target": "a:1"}, 405),
    ],
)
def test_what_is_refused(options, status):
    """Targets, hosts and methods that are not served."""
    with pytest.raises(BadRequest) as refusal:
        head_of(**options)
    assert refusal.value.status == status


def test_websocket_is_an_upgrade_by_get():
    """Only a whole handshake is one; its three headers are taken off."""
    upgrade = {
        "connection": "keep-alive, Upgrade",
        "upgrade": "WebSocket",
        "sec_websocket_version": "13",
        "sec_websocket_key": "k",
    }
    head = head_of(**upgrade)
    assert head.kind is RequestKind.WEBSOCKET
    assert value_of(head, b"sec-websocket-key") == [b"k"]
    for name in (b"connection", b"upgrade", b"sec-websocket-version"):
        assert value_of(head, name) == []
    for spoilt in (
        {"method": "POST"},
        {"connection": "close"},
        {"upgrade": "h2c"},
        {"version": "1.0"},
        {"content_length": "1"},
    ):
        assert head_of(**{**upgrade, **spoilt}).kind is RequestKind.HTTP


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"content_length": "0"}, False),
        ({"content_length": "1"}, True),
        ({"transfer_encoding": "chunked"}, True),
    ],
)
def test_whether_a_body_follows(headers, expected):
    """A length above 0, or chunks."""
    assert has_body(head_of("POST", **headers)) is expected


def test_the_head_fits_the_wire():
    """What the edge builds is what connectors read."""
    head = head_of("PUT", "/x?y", X_One="1")
    decoded = decode_request(encode_request(head)[8:])
    assert decoded.dest == head.dest
    assert decoded.host == b"a.localhost"
    assert (b"x-one", b"1") in decoded.headers


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"A.b:80", "a.b"), (b"a.b.", "a.b"), (b"a", "a"), (b"[::1]:8", "[::1]"), (b"[::1]", "[::1]")],
)
def test_names_of_hosts(host, name):
    """Lower case, without port and final dot."""
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("127.0.0.1", "203.0.113.7"),
        ("::1", "203.0.113.7"),
        ("::ffff:127.0.0.1", "203.0.113.7"),
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_visitors_addresses(peer, address):
    """Loopback visitors get the address that they are said to have."""
    visitor = Visitor.at(peer, loopback_as="203.0.113.7", scheme="http", colo="lis01")
    assert visitor.address == address
