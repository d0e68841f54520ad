"""What an origin behind a socket is asked."""

import pytest

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.mark import MARK
from asgi_quicktunnel.origin.tcp_request import TcpRequest

MARKED = b"x-quicktunnel-mark: " + MARK
OURS = (MARKED, b"connection: keep-alive")


def request(
    method="GET", dest=b"/", *headers, kind=RequestKind.HTTP, host=b"public.test", **options
):
    head = RequestHead(kind=kind, dest=dest, method=method, host=host, headers=headers)
    return TcpRequest.of(head, **{"authority": "127.0.0.1:8000", "host_header": None} | options)


def lines(*args, **kwargs):
    head = request(*args, **kwargs).head
    assert head.endswith(b"\r\n\r\n")
    return head.removesuffix(b"\r\n\r\n").split(b"\r\n")


def test_an_ordinary_request_is_what_the_visitor_sent():
    """Request line, Host first, the headers in their order, our mark, and that we would stay."""
    assert lines(
        "GET", b"https://public.test/a%2Fb?x=%20", (b"cookie", b"a=1"), (b"x-forwarded-for", b"::1")
    ) == [
        b"GET /a%2Fb?x=%20 HTTP/1.1",
        b"host: public.test",
        b"cookie: a=1",
        b"x-forwarded-for: ::1",
        *OURS,
    ]


@pytest.mark.parametrize(
    ("dest", "target"),
    [
        (b"/", b"/"),
        (b"/?", b"/?"),
        (b"https://h", b"/"),
        (b"https://h?q", b"/?q"),
        (b"/../a//b/%2e%2E?a=b?c#f", b"/../a//b/%2e%2E?a=b?c"),
        (b"/a#?", b"/a"),
        (b"/\xc3\xa9", b"/\xc3\xa9"),
    ],
)
def test_path_and_query_are_preserved(dest, target):
    """Byte for byte; a fragment is never sent (protocol.md §6.2)."""
    assert lines("GET", dest)[0] == b"GET " + target + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("host", "dest", "expected"),
    [
        (b"a.test:8443", b"https://b.test/", b"a.test:8443"),
        (b"", b"https://b.test/", b"b.test"),
        (b"", b"/", b"127.0.0.1:8000"),
    ],
)
def test_host_is_the_one_asked_for(host, dest, expected):
    """The edge's word, else the destination's, else the origin's own."""
    assert lines("GET", dest, host=host)[1] == b"host: " + expected


def test_a_host_header_of_our_choice_names_the_other_as_forwarded():
    """The visitor's own X-Forwarded-Host makes way for the true one."""
    got = lines("GET", b"/", (b"x-forwarded-host", b"evil.test"), host_header="localhost:3000")
    assert got[1:] == [b"host: localhost:3000", b"x-forwarded-host: public.test", *OURS]


def test_what_describes_a_hop_is_left_out_and_the_mark_is_ours():
    """Hop-by-hop fields, the connector's own, and a mark that came from outside."""
    dropped = [
        (b"connection", b"close, x-a"),
        (b"keep-alive", b"1"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"upgrade", b"h2c"),
        (b"proxy-connection", b"close"),
        (b"cf-trace-id", b"1"),
        (b"cf-cloudflared-proxy-connection-upgrade", b"websocket"),
        (b"x-quicktunnel-mark", b"guess"),
    ]
    assert lines("GET", b"/", *dropped, (b"x-a", b"stays"))[2:] == [b"x-a: stays", *OURS]


@pytest.mark.parametrize(
    ("method", "headers", "framing", "length"),
    [
        ("GET", [], [], 0),
        ("DELETE", [], [], 0),
        ("POST", [], [b"content-length: 0"], 0),
        ("PUT", [], [b"content-length: 0"], 0),
        ("PATCH", [], [b"content-length: 0"], 0),
        ("POST", [(b"content-length", b"0")], [b"content-length: 0"], 0),
        ("GET", [(b"content-length", b"5")], [b"content-length: 5"], 5),
        ("POST", [(b"transfer-encoding", b"chunked")], [b"transfer-encoding: chunked"], None),
        ("GET", [(b"transfer-encoding", b"chunked")], [b"transfer-encoding: chunked"], None),
        (
            "POST",
            [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
            [b"content-length: 5"],
            5,
        ),
    ],
)
def test_the_body_is_framed_one_way(method, headers, framing, length):
    """A length, or chunks, or none; where a method may have content its absence is said."""
    made = request(method, b"/", *headers)
    got = [
        line
        for line in made.head.split(b"\r\n")
        if line.startswith((b"content-length", b"transfer-encoding"))
    ]
    assert (got, made.body_length) == (framing, length)


def test_a_websocket_handshake_is_whole_again():
    """What the edge took off is put back (protocol.md §6.6)."""
    made = request("GET", b"/ws", (b"sec-websocket-key", b"dGhl"), kind=RequestKind.WEBSOCKET)
    assert made.may_switch
    assert made.body_length == 0
    assert made.head.split(b"\r\n")[2:-2] == [
        b"sec-websocket-key: dGhl",
        MARKED,
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
    ]
    version = (b"sec-websocket-version", b"8")
    got = lines("GET", b"/", version, kind=RequestKind.WEBSOCKET)
    assert b"sec-websocket-version: 8" in got
    assert b"sec-websocket-version: 13" not in got


def test_another_upgrade_is_passed_on_where_the_edge_passed_it_on():
    """Both Connection and Upgrade have to say so."""
    both = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"tcp")]
    made = request("POST", b"/", *both)
    assert made.may_switch
    assert made.head.endswith(b"connection: Upgrade\r\nupgrade: tcp\r\n\r\n")
    assert not made.is_repeatable
    assert not request("GET", b"/", both[1]).may_switch
    assert not request("GET", b"/", both[0]).may_switch
    with pytest.raises(RemoteProtocolError):
        request("POST", b"/", *both, (b"content-length", b"5"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_idempotent_methods_are_repeatable(method):
    """RFC 9110 §9.2.2."""
    assert request(method).is_repeatable


@pytest.mark.parametrize("method", ["POST", "PATCH", "QUERY", "get"])
def test_other_methods_are_not(method):
    """Nobody knows what twice would do; methods keep their case."""
    made = request(method)
    assert not made.is_repeatable
    assert made.head.startswith(method.encode() + b" ")


def test_a_body_that_waits_for_the_word():
    """Expect: 100-continue counts where there is a body."""
    expect = (b"expect", b"100-Continue")
    assert request("POST", b"/", expect, (b"content-length", b"5")).expects_continue
    assert not request("POST", b"/", expect).expects_continue


@pytest.mark.parametrize(
    ("method", "dest", "host", "headers"),
    [
        ("G T", b"/", b"a", []),
        ("GET\r\nX:", b"/", b"a", []),
        ("GET", b"/a b", b"a", []),
        ("GET", b"/\r\nX: y", b"a", []),
        ("GET", b"x", b"a", []),
        ("GET", b"*", b"a", []),
        ("GET", b"/", b"a b", []),
        ("GET", b"/", b"a\r\nX: y", []),
        ("GET", b"/", b"a:99999", []),
        ("POST", b"/", b"a", [(b"content-length", b"5x")]),
        ("POST", b"/", b"a", [(b"content-length", b"5"), (b"content-length", b"5")]),
    ],
)
def test_what_no_request_can_have_is_refused(method, dest, host, headers):
    """Nothing of it reaches the origin."""
    with pytest.raises(RemoteProtocolError):
        request(method, dest, *headers, host=host)


def test_the_server_as_a_whole_may_be_asked():
    """OPTIONS * (RFC 9110 §9.3.7)."""
    assert lines("OPTIONS", b"*")[0] == b"OPTIONS * HTTP/1.1"


def test_the_mark_of_a_replay_is_ours_alone():
    """What a visitor says of it is taken off; a replay is marked with what it repeats."""
    faked = (b"x-quicktunnel-replay", b"7")
    assert not any(line.startswith(faked[0]) for line in lines("GET", b"/", faked))
    marked = lines("GET", b"/", faked, replay_of="12")
    assert [line for line in marked if line.startswith(faked[0])] == [b"x-quicktunnel-replay: 12"]
