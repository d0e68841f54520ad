"""is_local: every way to look local from elsewhere that we know of."""

import pytest

from asgi_quicktunnel.diagnostics.local import is_direct, is_local
from asgi_quicktunnel.origin.base import TUNNEL_SCOPE_KEY, TunnelMark
from asgi_quicktunnel.origin.mark import MARK, MARK_HEADER


def scope(*headers, host="localhost:8000", kind="http", **changes):
    """A request as uvicorn on 127.0.0.1:8000 describes it; `host=None` for no Host header."""
    named = [] if host is None else [(b"host", host.encode("latin-1"))]
    described = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "method": "GET",
        "path": "/_quicktunnel/status",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "headers": named + [(name.encode(), value.encode()) for name, value in headers],
    }
    return described | changes


def test_a_request_typed_into_the_browser_is_local():
    """Peer on loopback, our Host, no trace of anybody between."""
    assert is_local(scope(("sec-fetch-site", "none"), ("user-agent", "a browser")))


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8000",
        "LocalHost:8000",
        "127.0.0.1:8000",
        "127.8.9.10:8000",
        "[::1]:8000",
        "[0:0::1]:8000",
        "[::ffff:127.0.0.1]:8000",
    ],
)
def test_localhost_and_loopback_addresses_with_the_bound_port_are_ours(host):
    """However a person writes this machine's own name, it is this machine."""
    assert is_local(scope(host=host))


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:DB8::7"])
def test_the_bound_address_is_ours(address):
    """A server bound to one address is reached under that address."""
    host = f"[{address}]:8000" if ":" in address else f"{address}:8000"
    assert is_local(scope(host=host, server=(address, 8000)))


@pytest.mark.parametrize(
    ("scheme", "port"), [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)]
)
def test_a_default_port_may_be_left_out_of_host(scheme, port):
    """Browsers leave the scheme's own port out of Host and Origin."""
    kind = "http" if scheme.startswith("http") else "websocket"
    secure = "s" if scheme in ("https", "wss") else ""
    own = scope(
        ("origin", f"http{secure}://localhost"),
        host="localhost",
        kind=kind,
        scheme=scheme,
        server=("127.0.0.1", port),
    )
    assert is_local(own)
    assert not is_local(own | {"server": ("127.0.0.1", 8000)})


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example:8000",  # DNS rebinding: a name of theirs that points to 127.0.0.1
        "localhost.attacker.example:8000",
        "127.0.0.1.attacker.example:8000",
        "127.0.0.1.nip.io:8000",
        "attacker-localhost:8000",
        "app.localhost:8000",  # the embedded edge hands such names to visitors of the tunnel
        "words.trycloudflare.com",
        "localhost.:8000",
        "127.0.0.1.:8000",
        "localhost@attacker.example:8000",
        "attacker.example@localhost:8000",
        "localhost:8000@attacker.example",
        "localhost:8000:8000",
        "localhost:8001",
        "localhost:08000",
        "localhost:+8000",
        "localhost:",
        "localhost",
        " localhost:8000",
        "localhost:8000 ",
        "localhost:8000, attacker.example",
        "local\xa0host:8000",
        "127.1:8000",
        "2130706433:8000",
        "0x7f000001:8000",
        "0177.0.0.1:8000",
        "127.0.0.1%00:8000",
        "0.0.0.0:8000",
        "192.168.1.7:8000",
        "::1:8000",
        "[::1:8000",
        "[::1]8000",
        "[::1]",
        "[::1%25lo]:8000",
        "[::1%lo]:8000",
        "[127.0.0.1]:8000",
        "[localhost]:8000",
        "[::ffff:192.168.1.7]:8000",
        "[]:8000",
        ":8000",
        "",
        None,
    ],
)
def test_any_other_host_is_not_ours(host):
    """Names of others, near misses and malformed values are all the same: not local."""
    assert not is_local(scope(host=host))


def test_a_second_host_header_is_not_local():
    """Two Hosts are read differently by different readers, so neither counts."""
    assert not is_local(scope(("host", "localhost:8000")))
    assert not is_local(scope(("Host", "localhost:8000")))


@pytest.mark.parametrize("mark", [MARK, b"", b"of another worker"], ids=["own", "no", "other"])
def test_what_the_tunnel_brought_through_a_socket_is_not_local(mark):
    """In proxy mode the peer is this machine; the mark, whatever its value, tells."""
    assert not is_local(scope((MARK_HEADER.decode(), mark.decode())))
    assert not is_local(scope((MARK_HEADER.decode().title(), mark.decode())))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_peers_are_local(peer):
    """IPv4, IPv6, and IPv4 as a dual-stack socket writes it."""
    assert is_local(scope(client=(peer, 50000)))


@pytest.mark.parametrize(
    "client",
    [
        ("192.168.1.7", 50000),
        ("203.0.113.7", 0),
        ("::ffff:192.168.1.7", 50000),
        ("fe80::1%lo", 50000),
        ("localhost", 50000),
        ("testclient", 50000),
        ("", 0),
        None,  # a unix socket: mostly a reverse proxy's
    ],
)
def test_other_peers_are_not_local(client):
    """A neighbour in the network is not local, whatever else it says."""
    assert not is_local(scope(client=client))


@pytest.mark.parametrize("server", [("/run/app.sock", None), None])
def test_without_a_bound_port_nothing_is_local(server):
    """On a unix socket there is no address to compare Host with."""
    assert not is_local(scope(server=server))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forwarded", "for=127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost:8000"),
        ("x-forwarded-proto", "http"),
        ("X-Forwarded-Anything", ""),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("cf-ray", "8f"),
        ("CF-Visitor", "{}"),
        ("cdn-loop", "cloudflare"),
    ],
)
def test_a_proxy_between_gives_itself_away(name, value):
    """Each header that proxies and tunnels add rules local out, whatever it says."""
    assert not is_local(scope((name, value)))


def test_http_1_0_is_a_proxys():
    """nginx spoke it to what is behind it for long, without a header that tells of the visitor."""
    assert is_local(scope(http_version="1.1"))
    assert is_local(scope(http_version="2"))
    assert not is_local(scope(http_version="1.0"))


@pytest.mark.parametrize("value", ["none", "same-origin"])
def test_the_browser_may_say_that_the_page_was_ours(value):
    """Typed by the user, or asked for by our own page."""
    assert is_local(scope(("sec-fetch-site", value)))


@pytest.mark.parametrize("value", ["cross-site", "same-site", "", "None", "same-origin, none"])
def test_the_browser_may_say_that_the_page_was_anothers(value):
    """A page of another origin, also one on another port of localhost, is not local."""
    assert not is_local(scope(("sec-fetch-site", value)))


def test_contradictory_fetch_metadata_is_not_local():
    """One friendly Sec-Fetch-Site does not make up for another."""
    assert not is_local(scope(("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")))


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_our_own_origin_is_local(kind):
    """Origin is the scheme and the very Host of the request."""
    assert is_local(scope(("origin", "http://localhost:8000"), kind=kind))
    assert is_local(scope(("origin", "http://[::1]:8000"), host="[::1]:8000", kind=kind))


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://attacker.example",
        "http://attacker.example:8000",
        "http://127.0.0.1:8000",  # ours by another name, and another origin to the browser
        "http://localhost:3000",
        "http://localhost",
        "https://localhost:8000",
        "http://localhost:8000.attacker.example",
        "http://localhost:8000@attacker.example",
        "http://localhost:8000/",
        "HTTP://LOCALHOST:8000",
        "null",
        "",
    ],
)
def test_another_origin_is_not_local(origin, kind):
    """Cross-site requests and WebSockets are refused by their Origin."""
    assert not is_local(scope(("origin", origin), kind=kind))


def test_two_origins_are_not_local():
    """Our own origin does not excuse a second one."""
    own, other = ("origin", "http://localhost:8000"), ("origin", "http://attacker.example")
    assert not is_local(scope(own, other))
    assert not is_local(scope(own, own))


def test_a_websocket_needs_an_origin():
    """Any page may open a WebSocket to localhost; only Origin says whose page it was."""
    assert not is_local(scope(kind="websocket"))


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_request_of_the_tunnel_is_never_local(kind):
    """The mark in the scope decides, though everything else looks local."""
    mark = TunnelMark(conn_index=0, colo="bog01", ray_id=None, country=None)
    own = scope(("origin", "http://localhost:8000"), kind=kind)
    assert is_local(own)
    assert not is_local(own | {TUNNEL_SCOPE_KEY: mark})


def test_a_scope_without_a_scheme_is_plain_http():
    """ASGI lets a server leave the scheme out."""
    own = scope(host="localhost", server=("127.0.0.1", 80))
    del own["scheme"]
    assert is_local(own)


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ([], {}),
        ([], {"client": ("192.168.1.7", 50000), "host": "192.168.1.5:8000"}),
        ([], {"client": None, "host": "devbox.example"}),
        ([("origin", "http://devbox:8000")], {"host": "devbox:8000"}),
        ([("origin", "http://devbox:8000")], {"host": "devbox:8000", "kind": "websocket"}),
        ([("sec-fetch-site", "same-origin")], {"host": "devbox:8000"}),
    ],
)
def test_a_visitor_may_come_straight_from_anywhere(headers, changes):
    """Direct says nothing of the machine, and nothing of the name it has for us."""
    assert is_direct(scope(*headers, **changes))


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ([("x-forwarded-for", "192.0.2.1")], {}),
        ([("cf-ray", "8f")], {}),
        ([(MARK_HEADER.decode(), "")], {}),
        ([("sec-fetch-site", "cross-site")], {}),
        ([("sec-fetch-site", "same-site")], {}),
        ([("origin", "https://attacker.example")], {}),
        ([("origin", "null")], {}),
        ([("host", "localhost:8000")], {}),
        ([], {"host": None}),
        ([], {"kind": "websocket"}),
        ([], {TUNNEL_SCOPE_KEY: TunnelMark(0, "bog01", None, None)}),
    ],
)
def test_proxies_tunnels_and_pages_of_others_are_not_direct(headers, changes):
    """What stands between shows, and so does another site's page."""
    assert not is_direct(scope(*headers, **changes))
