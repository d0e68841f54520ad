"""TLS towards visitors, in memory."""

import ssl

import pytest

from asgi_quicktunnel.emulator.authority import Authority
from asgi_quicktunnel.emulator.visitor_tls import VisitorTls

AUTHORITY = Authority.shared()


@pytest.fixture(scope="module")
def tls():
    return VisitorTls(AUTHORITY)


def visit(tls, name):
    """Handshake as a visitor that verifies; the protocol that was agreed on."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    visitor = context.wrap_bio(to_client, to_server, server_hostname=name)
    server = tls.context.wrap_bio(to_server, to_client, server_side=True)
    for end in (visitor, server, visitor):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    server.do_handshake()
    return visitor.selected_alpn_protocol()


@pytest.mark.parametrize("name", ["some-words.localhost", "A.LOCALHOST", "localhost", "127.0.0.1"])
def test_every_name_is_covered(tls, name):
    """Visitors that verify accept any name under .localhost, and the loopback address."""
    assert visit(tls, name) == "http/1.1"


def test_foreign_names_are_not(tls):
    """No certificate for names that are not the edge's."""
    with pytest.raises(ssl.SSLCertVerificationError):
        visit(tls, "example.com")


def test_many_names_do_not_fill_memory():
    """What was issued is forgotten rather than kept for ever, and issued anew."""
    tls = VisitorTls(AUTHORITY, remembered=2)
    for name in ("one.localhost", "two.localhost", "three.localhost", "one.localhost"):
        assert visit(tls, name) == "http/1.1"
        assert len(tls._contexts) <= 2
