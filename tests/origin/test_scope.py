import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.base import ConnectionFacts, TunnelMark, from_tunnel
from asgi_quicktunnel.origin.scope import (
    http_scope,
    is_for_connector,
    printable,
    read_fields,
    request_target,
    shown_path,
    websocket_scope,
)

URL = "https://four-words.trycloudflare.com"
FACTS = ConnectionFacts(conn_index=1, colo="bog01")


def head(dest=b"/", method="GET", host=b"four-words.trycloudflare.com", headers=()):
    return RequestHead(RequestKind.HTTP, dest, method, host, headers)


def scope_of(request, *, public_url=URL, state=None, root_path=""):
    return http_scope(
        request,
        read_fields(request.headers),
        facts=FACTS,
        public_url=public_url,
        state=state or {},
        root_path=root_path,
    )


def test_a_request_becomes_the_scope_that_the_specification_describes():
    """Every key of a plain request, all at once."""
    headers = [
        (b"accept", b"*/*"),
        (b"cf-connecting-ip", b"203.0.113.7"),
        (b"cf-ipcountry", b"PT"),
        (b"cf-ray", b"8d1f0e2b3c4d5e6f-LIS"),
        (b"x-forwarded-proto", b"https"),
    ]
    scope = scope_of(head(b"https://four-words.trycloudflare.com/a%20b?q=%20", headers=headers))

    assert from_tunnel(scope)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"q=%20",
        "root_path": "",
        "headers": [(b"host", b"four-words.trycloudflare.com"), *headers],
        "client": ("203.0.113.7", 0),
        "server": ("four-words.trycloudflare.com", 443),
        "state": {},
        "extensions": {
            "http.response.pathsend": {},
            "quicktunnel": {
                "colo": "bog01",
                "ray_id": "8d1f0e2b3c4d5e6f-LIS",
                "country": "PT",
                "conn_index": 1,
            },
        },
        "asgi_quicktunnel": TunnelMark(1, "bog01", "8d1f0e2b3c4d5e6f-LIS", "PT"),
    }


@pytest.mark.parametrize(
    ("dest", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"", "/", b"/", b""),
        (b"?x=1", "/", b"/", b"x=1"),
        (b"/a?", "/a", b"/a", b""),
        (b"/a?b?c=/d", "/a", b"/a", b"b?c=/d"),
        (b"/a#f?x", "/a", b"/a", b""),
        (b"/a?b#f", "/a", b"/a", b"b"),
        (b"//evil.example/x", "//evil.example/x", b"//evil.example/x", b""),
        (b"/../a/./b//c", "/../a/./b//c", b"/../a/./b//c", b""),
        (b"/a://b", "/a://b", b"/a://b", b""),
        (b"/%2F%2e%3F%23", "//.?#", b"/%2F%2e%3F%23", b""),
        (b"/100%", "/100%", b"/100%", b""),
        (b"/%zz%4", "/%zz%4", b"/%zz%4", b""),
        (b"/%C3%A9", "/é", b"/%C3%A9", b""),
        (b"/\xc3\xa9", "/é", b"/\xc3\xa9", b""),
        (b"/%ff\xfe", "/\ufffd\ufffd", b"/%ff\xfe", b""),
        (b"/a+b;c=1", "/a+b;c=1", b"/a+b;c=1", b""),
        (b"https://h", "/", b"/", b""),
        (b"https://h?x=1", "/", b"/", b"x=1"),
        (b"https://h#f", "/", b"/", b""),
        (b"https://h:8443/*", "/*", b"/*", b""),
        (b"HTTP://user:pw@[::1]:80/a/b?c", "/a/b", b"/a/b", b"c"),
    ],
)
def test_path_and_query_are_those_of_the_destination(dest, path, raw_path, query):
    """Whatever its form, a destination gives path, raw_path and query_string byte for byte."""
    scope = scope_of(head(dest))

    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


printable_bytes = st.integers(0x21, 0xFF).filter(lambda byte: byte != 0x7F)
path_bytes = st.lists(printable_bytes).map(bytes).map(lambda b: b"/" + b.translate(None, b"?#"))
query_bytes = st.lists(printable_bytes).map(bytes).map(lambda b: b.translate(None, b"#"))


@given(path_bytes, st.none() | query_bytes, st.none() | query_bytes, st.booleans())
def test_any_path_and_query_pass_unchanged(path, query, fragment, absolute):
    """No byte of path or query is lost, added or moved, in a URL or alone."""
    dest = path if query is None else path + b"?" + query
    dest = dest if fragment is None else dest + b"#" + fragment
    scope = scope_of(head(b"https://h.example:8443" + dest if absolute else dest))

    assert (scope["raw_path"], scope["query_string"]) == (path, query or b"")


@given(st.text())
def test_a_percent_encoded_path_is_read_as_utf_8(text):
    """What a client percent-encodes is what the app reads."""
    encoded = "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))

    scope = scope_of(head(b"/" + encoded.encode()))

    assert scope["path"] == "/" + text.encode("utf-8", "replace").decode()


@given(st.binary(max_size=40))
def test_any_destination_gives_a_scope_or_a_refusal(dest):
    """Arbitrary bytes never raise anything but RemoteProtocolError, and never a control."""
    try:
        scope = scope_of(head(dest))
    except RemoteProtocolError:
        return
    assert not set(scope["raw_path"] + scope["query_string"]) & {*range(0x21), 0x7F}
    assert scope["raw_path"].startswith(b"/")


@pytest.mark.parametrize(
    "dest", [b"foo", b"10.0.0.1:22", b"/a b", b"/a\r\nx: y", b"/a\x00", b"/?\n", b"*x", b"://h/"]
)
def test_a_malformed_destination_is_refused(dest):
    """What is neither a URL nor a path raises RemoteProtocolError."""
    with pytest.raises(RemoteProtocolError, match="neither a URL nor a path"):
        scope_of(head(dest))


def test_the_asterisk_belongs_to_options():
    """`OPTIONS *` has the path "*", mounted or not; other methods can't have it."""
    scope = scope_of(head(b"*", "OPTIONS"), root_path="/sub")

    assert (scope["path"], scope["raw_path"]) == ("*", b"*")
    with pytest.raises(RemoteProtocolError, match="OPTIONS"):
        scope_of(head(b"*"))


def test_a_root_path_goes_before_the_path():
    """With a root path, path and raw_path begin with it, as under uvicorn."""
    scope = scope_of(head(b"/a%20b"), root_path="/sub")

    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
        "/sub",
        "/sub/a b",
        b"/sub/a%20b",
    )


@pytest.mark.parametrize(("given", "seen"), [("get", "GET"), ("PROPFIND", "PROPFIND")])
def test_the_method_is_in_upper_case(given, seen):
    """ASGI's method is the visitor's in upper case, known to us or not."""
    assert scope_of(head(method=given))["method"] == seen


@pytest.mark.parametrize("method", ["", "G T", "GET\r\nX: y", "GÉT", "A" * 65])
def test_a_malformed_method_is_refused(method):
    """A method that is no token, or endless, raises RemoteProtocolError."""
    with pytest.raises(RemoteProtocolError, match="method"):
        scope_of(head(method=method))


def test_host_comes_first_and_the_rest_in_order_and_repeated():
    """Headers keep order and repetition, and values their bytes; Host goes before them."""
    headers = [(b"cookie", b"a=1"), (b"x", b" \t\xff"), (b"cookie", b"b=2"), (b"x", b"")]

    scope = scope_of(head(host=b"H.example:8443", headers=headers))

    assert scope["headers"] == [(b"host", b"H.example:8443"), *headers]


def test_the_host_of_the_destination_stands_in():
    """Without a Host of its own, a request has that of its destination, less any user name."""
    scope = scope_of(head(b"https://me:pw@h.example:8443/", host=b""))

    assert scope["headers"] == [(b"host", b"h.example:8443")]


def test_no_host_at_all_is_left_out():
    """Without any Host there is no such header, and the server is the public one or unknown."""
    scope = scope_of(head(host=b""), public_url=None)

    assert scope["headers"] == []
    assert scope["server"] is None


@pytest.mark.parametrize(
    "host",
    [b"a b", b"a\r\nb: c", b"a/b", b"a:b", b"a:1:2", b"[::1", b"a@b", b"h:65536", b"x" * 256],
)
def test_a_malformed_host_is_refused(host):
    """A Host that is no name or address with an optional port raises RemoteProtocolError."""
    with pytest.raises(RemoteProtocolError, match="Host"):
        scope_of(head(host=host))


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"host",
        b"cf-cloudflared-proxy-connection-upgrade",
        b"cf-trace-id",
    ],
)
def test_headers_of_the_hop_and_of_the_connector_are_removed(name):
    """What is about the hop, or is the connector's business, does not reach the app."""
    headers = [(b"a", b"1"), (name, b"value"), (b"b", b"2")]

    assert read_fields(headers).headers == [(b"a", b"1"), (b"b", b"2")]


def test_a_connection_header_hides_nothing():
    """Fields that Connection names stay: a visitor can't take away what the edge wrote."""
    headers = [(b"connection", b"cf-connecting-ip"), (b"cf-connecting-ip", b"203.0.113.7")]

    assert read_fields(headers).client == ("203.0.113.7", 0)


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], 0),
        ([(b"content-length", b"0")], 0),
        ([(b"content-length", b"0017")], 17),
        ([(b"transfer-encoding", b"chunked")], None),
        ([(b"transfer-encoding", b"gzip, Chunked")], None),
        ([(b"transfer-encoding", b"gzip")], 0),
        ([(b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")], None),
        ([(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"gzip")], None),
        ([(b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"br")], 0),
        ([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")], 5),
    ],
)
def test_the_length_of_the_body_follows_from_the_headers(headers, length):
    """A number: that many bytes; chunked: up to the end; neither: no body."""
    assert read_fields(headers).body_length == length


@pytest.mark.parametrize(
    "value", [b"", b"x", b"-1", b"+5", b" 5", b"5_0", b"0x5", b"5, 5", b"9" * 19]
)
def test_a_malformed_content_length_is_refused(value):
    """A Content-Length that is no number raises RemoteProtocolError."""
    with pytest.raises(RemoteProtocolError, match="Content-Length is not a number"):
        read_fields([(b"content-length", value)])


def test_a_repeated_content_length_is_refused():
    """Two Content-Length headers raise RemoteProtocolError, even when they agree."""
    with pytest.raises(RemoteProtocolError, match="more than once"):
        read_fields([(b"content-length", b"5"), (b"content-length", b"5")])


def test_content_length_stays_visible():
    """The app sees the length of its body."""
    assert read_fields([(b"content-length", b"5")]).headers == [(b"content-length", b"5")]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"203.0.113.7", ("203.0.113.7", 0)),
        (b"2001:db8::7", ("2001:db8::7", 0)),
        (b"::ffff:203.0.113.7", ("::ffff:203.0.113.7", 0)),
        (b"127.0.0.1", None),
        (b"127.255.1.2", None),
        (b"::1", None),
        (b"0:0:0:0:0:0:0:1", None),
        (b"::ffff:127.0.0.1", None),
        (b"", None),
        (b"203.0.113", None),
        (b"203.0.113.7:80", None),
        (b"fe80::1%eth0", None),
        (b"203.0.113.7, 198.51.100.1", None),
        (b"203.0.113.7\x00", None),
        (b"localhost", None),
        (b"\xff", None),
        (b"1" * 1000, None),
    ],
)
def test_the_client_is_the_visitors_address(value, client):
    """Only one whole address that is not loopback becomes the client."""
    assert read_fields([(b"cf-connecting-ip", value)]).client == client


def test_two_addresses_are_none():
    """A repeated Cf-Connecting-Ip says nothing, since nobody knows whose is the edge's."""
    headers = [(b"cf-connecting-ip", b"203.0.113.7"), (b"cf-connecting-ip", b"198.51.100.1")]

    assert read_fields(headers).client is None


def test_without_headers_of_the_edge_nothing_is_invented():
    """No address, ray id or country: each is None."""
    scope = scope_of(head())

    assert scope["client"] is None
    assert scope["extensions"]["quicktunnel"]["ray_id"] is None
    assert scope["extensions"]["quicktunnel"]["country"] is None


@pytest.mark.parametrize(
    ("forwarded", "dest", "scheme"),
    [
        (b"http", b"https://h/", "http"),
        (b"HTTPS", b"http://h/", "https"),
        (b"wss", b"http://h/", "https"),
        (None, b"ws://h/", "http"),
        (b"gopher", b"http://h/", "http"),
        (b"https, http", b"http://h/", "http"),
        (None, b"http://h/", "http"),
        (None, b"HTTP://h/", "http"),
        (None, b"ftp://h/", "https"),
        (None, b"/", "https"),
    ],
)
def test_the_scheme_is_what_the_visitor_used(forwarded, dest, scheme):
    """X-Forwarded-Proto counts when it is http or https, then the destination, then https."""
    headers = [] if forwarded is None else [(b"x-forwarded-proto", forwarded)]

    assert scope_of(head(dest, headers=headers))["scheme"] == scheme


@pytest.mark.parametrize("extension", ["tls", "http.response.early_hint", "http.response.debug",
                                       "http.response.trailers", "http.response.push"])  # fmt: skip
def test_what_can_not_be_honoured_is_not_offered(extension):
    """No invented certificate facts, and nothing that a stream with one head can't carry."""
    headers = [(b"te", b"trailers"), (b"x-forwarded-proto", b"https")]

    assert extension not in scope_of(head(headers=headers))["extensions"]
    assert extension not in websocket_scope(scope_of(head(headers=headers)))["extensions"]


@pytest.mark.parametrize(
    ("value", "subprotocols"),
    [(b"", []), (b"a", ["a"]), (b" a ,,b,", ["a", "b"]), (b"\xff", ["\xff"])],
)
def test_subprotocols_are_those_that_are_offered(value, subprotocols):
    """A list with commas, from each header in turn; without one there are none."""
    headers = [(b"sec-websocket-protocol", value), (b"sec-websocket-protocol", b"last")]

    assert websocket_scope(scope_of(head(headers=headers)))["subprotocols"] == [
        *subprotocols, "last"
    ]  # fmt: skip
    assert websocket_scope(scope_of(head()))["subprotocols"] == []


def test_a_websocket_of_another_method_is_refused():
    """A handshake is a GET."""
    with pytest.raises(RemoteProtocolError, match="GET"):
        websocket_scope(scope_of(head(method="POST")))


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://four-words.trycloudflare.com", ("four-words.trycloudflare.com", 443)),
        ("http://four-words.localhost:8123", ("four-words.localhost", 8123)),
        ("http://four-words.localhost", ("four-words.localhost", 80)),
        ("https://[2001:db8::7]:8443", ("2001:db8::7", 8443)),
    ],
)
def test_the_server_is_the_public_address(url, server):
    """The server is host and port of the public URL, whatever the Host header says."""
    assert scope_of(head(host=b"other.example:1"), public_url=url)["server"] == server


@pytest.mark.parametrize(
    ("host", "proto", "server"),
    [
        (b"H.example", b"https", ("h.example", 443)),
        (b"h.example:", b"http", ("h.example", 80)),
        (b"h.example:8443", b"https", ("h.example", 8443)),
        (b"[2001:db8::7]:80", b"https", ("2001:db8::7", 80)),
    ],
)
def test_without_a_public_url_the_server_is_the_host(host, proto, server):
    """Until the URL is known, the server follows from the Host header and the scheme."""
    request = head(host=host, headers=[(b"x-forwarded-proto", proto)])

    assert scope_of(request, public_url=None)["server"] == server


def test_each_request_has_a_state_of_its_own():
    """The state is a shallow copy: values are shared, keys are not."""
    shared = []
    state = {"shared": shared}
    scope = scope_of(head(), state=state)
    scope["state"]["mine"] = 1

    assert scope["state"]["shared"] is shared
    assert state == {"shared": shared}


@pytest.mark.parametrize("host", [b"h.example", b""])
def test_a_scope_shares_nothing_mutable_with_the_next(host):
    """What one app does to its scope is not seen by the next request."""
    request = head(host=host, headers=[(b"a", b"1")])
    fields = read_fields(request.headers)
    first, second = (
        http_scope(request, fields, facts=FACTS, public_url=URL, state={}) for _ in range(2)
    )
    first["headers"].clear()
    first["asgi"].clear()
    first["extensions"]["quicktunnel"].clear()

    assert second == scope_of(request)


@pytest.mark.parametrize(
    ("dest", "host", "expected"),
    [
        (b"/ping", b"management.argotunnel.com", True),
        (b"/ping", b"Management.ArgoTunnel.com.:443", True),
        (b"/ping", b"management.fed.argotunnel.com", True),
        (b"https://management.argotunnel.com/ping", b"", True),
        (b"https://management.argotunnel.com/ping", b"four-words.trycloudflare.com", False),
        (b"/ping", b"xmanagement.argotunnel.com", False),
        (b"/ping", b"", False),
        (b"nonsense", b"", False),
    ],
)
def test_the_management_hosts_are_the_connectors(dest, host, expected):
    """Only requests whose host is one of the two management names are the connector's own."""
    assert is_for_connector(head(dest, host=host)) is expected


@pytest.mark.parametrize(
    ("dest", "shown"),
    [
        (b"https://h/a%20b?token=secret", "/a%20b"),
        (b"10.0.0.1:22", "10.0.0.1:22"),
        (b"x\r\ny?token=secret", "x\\r\\ny"),
        (b"/\xe9\x1b", "/\\xe9\\x1b"),
    ],
)
def test_a_shown_path_is_printable_and_keeps_the_query_secret(dest, shown):
    """Logs and events get the path alone, with escapes for what would break a line."""
    assert shown_path(dest) == shown


@given(st.text())
def test_printable_text_is_printable_ascii(text):
    """Whatever comes in, what comes out fits into one line of a log."""
    assert printable(text).isascii()
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("dest", "method", "host", "target", "seen"),
    [
        (b"https://a.test/x%2F?q=%20#f", "get", b"b.test:8443", b"/x%2F?q=%20", b"b.test:8443"),
        (b"https://a.test", "GET", b"", b"/", b"a.test"),
        (b"/x?#?", "GET", b"", b"/x?", b""),
        (b"/x#?", "GET", b"", b"/x", b""),
        (b"*", "OPTIONS", b"b.test", b"*", b"b.test"),
    ],
)
def test_a_target_is_what_the_visitor_wrote(dest, method, host, target, seen):
    """For a server that reads HTTP itself nothing is decoded or changed in case."""
    assert request_target(head(dest, method, host)) == (method, target, seen)


@pytest.mark.parametrize(
    ("dest", "method", "host"),
    [(b"*", "GET", b"a"), (b"x", "GET", b"a"), (b"/", "G T", b"a"), (b"/", "GET", b"a b")],
)
def test_a_target_that_no_request_can_have_is_refused(dest, method, host):
    """As it is for a scope."""
    with pytest.raises(RemoteProtocolError):
        request_target(head(dest, method, host))


def test_the_mark_of_a_replay_is_ours_alone():
    """What a visitor says of it is taken off; a replay is marked with what it repeats."""
    request = head(headers=[(b"x-quicktunnel-replay", b"7"), (b"accept", b"*/*")])
    assert (b"x-quicktunnel-replay", b"7") not in scope_of(request)["headers"]
    fields = read_fields(request.headers)
    facts = ConnectionFacts(conn_index=1, colo="bog01", replay_of="12")
    scope = http_scope(request, fields, facts=facts, public_url=URL, state={})
    assert scope["headers"][1:] == [(b"accept", b"*/*"), (b"x-quicktunnel-replay", b"12")]
