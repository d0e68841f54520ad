"""The words that open the diagnostics: of who reads them, and of who comes from elsewhere."""

from http.cookies import SimpleCookie

import pytest
from starlette.datastructures import Headers

from asgi_quicktunnel.diagnostics.access import TOKEN_HEADER, AccessToken, PageToken


def test_the_word_opens():
    """A request that says the word in its header may change something."""
    token = PageToken()
    assert token.matches(Headers({TOKEN_HEADER: token.value}))


@pytest.mark.parametrize("given", ["", "x", "é", "\udcff"])
def test_what_is_no_word_does_not(given):
    """Whatever else the header says opens nothing."""
    assert not PageToken().matches({TOKEN_HEADER: given})


def test_another_word_does_not():
    """The word of another process opens nothing."""
    assert not PageToken().matches({TOKEN_HEADER: PageToken().value})


def test_no_word_does_not():
    """Silence opens nothing."""
    assert not PageToken().matches({})


def test_it_is_not_shown():
    """What is printed does not hold the word, and each has one of its own."""
    token = PageToken()
    assert token.value not in repr(token)
    assert len({PageToken().value for _ in range(10)}) == 10


SECRET = "a-secret-of-16+%/?="


def scope(*headers, query=b"", kind="http", method="GET", **changes):
    """A request from a neighbour in the network."""
    named = [(b"host", b"devbox:8000")]
    described = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "path": "/_quicktunnel/status",
        "query_string": query,
        "client": ("192.168.1.7", 50000),
        "server": ("192.168.1.5", 8000),
        "headers": named + [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    if kind == "http":
        described["method"] = method
    return described | changes


def cookie_of(token=None, **how):
    """The cookie that a token gives, as a header of the next request."""
    jar = SimpleCookie((token or AccessToken(SECRET)).cookie(scope(**how), "/_quicktunnel"))
    (morsel,) = jar.values()
    return "cookie", f"{morsel.key}={morsel.value}"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_secret_in_a_header_admits(scheme):
    """As RFC 6750 has it; the scheme's case does not matter (RFC 9110 §11.1)."""
    shown = ("authorization", f"{scheme} {SECRET}")
    assert AccessToken(SECRET).admits(scope(shown))
    assert AccessToken(SECRET).admits(scope(shown, method="POST"))
    own = ("origin", "http://devbox:8000")
    assert AccessToken(SECRET).admits(scope(shown, own, kind="websocket"))


def test_the_secret_in_the_query_admits_readers():
    """Percent-encoded or not, among other members; not for what changes something."""
    plain = SECRET.replace("%", "%25").encode()
    for query in (b"token=" + plain, b"a=1&token=" + plain + b"&b", b"token=x&token=" + plain):
        assert AccessToken(SECRET).admits(scope(query=query))
        assert AccessToken(SECRET).admits(scope(query=query, method="HEAD"))
        assert not AccessToken(SECRET).admits(scope(query=query, method="POST"))
        own = ("origin", "http://devbox:8000")
        assert not AccessToken(SECRET).admits(scope(own, query=query, kind="websocket"))


def test_the_cookie_admits_in_every_process():
    """Each maker of the cookie makes the same one, so workers and reloads do not matter."""
    assert AccessToken(SECRET).admits(scope(cookie_of()))
    assert AccessToken(SECRET).admits(scope(cookie_of(), method="POST"))
    own = ("origin", "http://devbox:8000")
    assert AccessToken(SECRET).admits(scope(cookie_of(), own, kind="websocket"))
    assert not AccessToken(SECRET).admits(scope(cookie_of(), kind="websocket"))
    assert not AccessToken("x" * 16).admits(scope(cookie_of()))


def test_the_cookie_is_our_pages_alone():
    """No script reads it, no other site's page sends it, and it does not tell the secret."""
    header = AccessToken(SECRET).cookie(scope(), "/base/_quicktunnel")
    assert header.endswith("; Path=/base/_quicktunnel; HttpOnly; SameSite=Strict")
    assert SECRET not in header
    assert AccessToken(SECRET).cookie(scope(scheme="https"), "/x").endswith("; Secure")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], b""),
        ([("authorization", "Bearer")], b""),
        ([("authorization", "Bearer x")], b""),
        ([("authorization", f"Basic {SECRET}")], b""),
        ([("authorization", f"Bearer {SECRET}x")], b""),
        ([("authorization", f"Bearer {SECRET[:-1]}")], b""),
        ([("authorization", "Bearer \xe9")], b""),
        ([("cookie", "quicktunnel_access=")], b""),
        ([("cookie", f"quicktunnel_access={SECRET}")], b""),
        ([("cookie", ";;=;\xe9")], b""),
        ([(TOKEN_HEADER, SECRET)], b""),
        ([], b"token="),
        ([], b"token"),
        ([], b"&&=&token=%ff%00"),
        ([], b"Token=" + SECRET.encode()),
        ([], SECRET.encode()),
    ],
)
def test_nothing_else_admits(headers, query):
    """Near misses and what is no secret at all are the same."""
    assert not AccessToken(SECRET).admits(scope(*headers, query=query))


@pytest.mark.parametrize(
    "more",
    [
        ("x-forwarded-for", "192.0.2.1"),
        ("cf-connecting-ip", "192.0.2.1"),
        ("x-quicktunnel-mark", ""),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://attacker.example"),
        ("host", "devbox:8000"),
    ],
)
def test_the_secret_does_not_help_who_does_not_come_straight(more):
    """Through a proxy or a tunnel, or at another page's bidding, it opens nothing."""
    shown = ("authorization", f"Bearer {SECRET}")
    assert not AccessToken(SECRET).admits(scope(shown, more))
    assert not AccessToken(SECRET).admits(scope(cookie_of(), more))


def test_the_secret_is_taken_out_of_the_query():
    """What else was asked for stays, in its order."""
    token = AccessToken(SECRET)
    asked = scope(query=b"a=1&token=" + SECRET.replace("%", "%25").encode() + b"&b=%20&token=x")
    assert token.clean_location(asked) == "/_quicktunnel/status?a=1&b=%20&token=x"
    token.hide(asked)
    assert asked["query_string"] == b"a=1&b=%20&token=x"
    assert not token.is_in_query(asked)
    assert token.clean_location(scope(path="/a b\r\nx")) == "/a%20b%0D%0Ax"


def test_the_secret_is_not_shown():
    """What is printed does not hold it."""
    assert SECRET not in repr(AccessToken(SECRET))
