"""Which origin the options ask for."""

import pytest

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.origin.choice import make_origin
from asgi_quicktunnel.origin.tcp import TcpOrigin

from tests_support.certificates import CertificateAuthority


async def app(scope, receive, send):
    raise AssertionError("nobody calls it")


def made(app, **options):
    return make_origin(app, TunnelConfig(**options), emit=lambda event: None)


def test_the_app_answers_unless_proxy_mode_is_on():
    """With its state; an origin alone changes nothing here, since `resolve` decides the mode."""
    state = {}
    origin = make_origin(app, TunnelConfig(), emit=lambda event: None, state=state)
    assert isinstance(origin, AsgiOrigin)
    assert origin.app is app
    assert origin.state is state
    assert isinstance(made(app, origin="8000"), AsgiOrigin)


@pytest.mark.parametrize("app", [app, None])
def test_proxy_mode_needs_no_app(app):
    """The server at `origin` answers."""
    assert isinstance(made(app, mode="proxy", origin="127.0.0.1:8000"), TcpOrigin)


def test_an_https_origin_takes_its_own_authority(tmp_path):
    """The file is read when the origin is made."""
    ca_file = CertificateAuthority(tmp_path).ca_file
    options = {"mode": "proxy", "origin": "https://localhost:8443"}
    assert isinstance(made(None, **options, origin_ca_file=ca_file), TcpOrigin)
    assert isinstance(made(None, **options, origin_tls_verify=False), TcpOrigin)


@pytest.mark.parametrize("origin", [None, 8000, b"127.0.0.1:8000", ["app"]])
def test_what_is_neither_app_nor_address_is_refused(origin):
    """The error says what would do."""
    with pytest.raises(
        ConfigError, match=r'takes an ASGI app, or text such as "127\.0\.0\.1:8000"'
    ):
        made(origin)
