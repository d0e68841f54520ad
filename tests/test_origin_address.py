"""Where an origin listens, as people write it."""

import pytest

from asgi_quicktunnel.origin_address import OriginAddress, is_host


@pytest.mark.parametrize(
    ("text", "address", "authority", "shown"),
    [
        ("8000", OriginAddress("localhost", 8000), "localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", OriginAddress("127.0.0.1", 8000), "127.0.0.1:8000", None),
        ("[::1]:8000", OriginAddress("::1", 8000), "[::1]:8000", "http://[::1]:8000"),
        ("http://app_1.test", OriginAddress("app_1.test", 80), "app_1.test", None),
        ("http://app.test:8080/", OriginAddress("app.test", 8080), "app.test:8080", None),
        ("https://app.test", OriginAddress("app.test", 443, True), "app.test", None),
        ("HTTPS://App.Test:8443", OriginAddress("app.test", 8443, True), "app.test:8443", None),
        ("unix:/run/a b.sock", OriginAddress(unix_path="/run/a b.sock"), "localhost", None),
        ("unix:///run/a.sock", OriginAddress(unix_path="/run/a.sock"), "localhost", None),
    ],
)
def test_every_way_to_write_an_origin(text, address, authority, shown):
    """Ports, hosts, addresses, URLs and sockets are understood, and their text names them again."""
    parsed = OriginAddress.parse(text)

    assert parsed == address
    assert parsed.authority == authority
    assert OriginAddress.parse(str(parsed)) == parsed
    assert shown is None or str(parsed) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "65536", "99999999999999999999", "localhost", "localhost:", "localhost:0"),
        *(
            "localhost:65536",
            "localhost:-1",
            "localhost:http",
            ":8000",
            "::1:8000",
            "[::1",
            "[x]:1",
        ),
        *("[::g]:80", "a b:80", "a\n:80", "a/b:80", "ü:80", "ftp://a:21", "ws://a:80", "//a:80"),
        *("http://", "http://a:80/path", "http://a:80/?q", "http://a#f", "http://me:pw@a:80"),
        *("a" * 254 + ":80", "unix:", "unix:relative.sock", "unix:/" + "a" * 107, "unix:/a\0b"),
    ],
)
def test_what_is_no_origin_is_refused(text):
    """A ValueError, rather than a connection to somewhere else."""
    with pytest.raises(ValueError):  # noqa: PT011
        OriginAddress.parse(text)


@pytest.mark.parametrize("text", ["a", "a.test:80", "127.0.0.1", "[::1]", "[::1]:8000", "a_b-c"])
def test_hosts(text):
    """Names and addresses, each with or without a port, can stand in a Host header."""
    assert is_host(text)


@pytest.mark.parametrize("text", ["", ":80", "a:", "a b", "a\r\nX: y", "[::g]", "::1", "a/b", "ü"])
def test_what_is_no_host(text):
    """Nothing that would end the header, and nothing ambiguous."""
    assert not is_host(text)
