"""Which origin a tunnel's options ask for."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.events import Emit
from asgi_quicktunnel.origin.asgi import AsgiOrigin
from asgi_quicktunnel.origin.pool import OriginPool, PoolSettings, tls_context
from asgi_quicktunnel.origin.tcp import ProxySettings, TcpOrigin
from asgi_quicktunnel.origin.websocket_link import WebSocketSettings
from asgi_quicktunnel.origin_address import OriginAddress

__all__ = ["make_origin"]


def make_origin(
    app: ASGIApp | None,
    config: TunnelConfig,
    *,
    emit: Emit,
    state: MutableMapping[str, Any] | None = None,
) -> AsgiOrigin | TcpOrigin:
    """What answers: the app, or in proxy mode the server at `config.origin`.

    Args:
        app: an ASGI 3 app; not called in proxy mode.
        config: resolved options.
        emit: gets one `RequestDone` per request.
        state: of the app's requests.

    Raises:
        ConfigError: there is nothing that could answer, or an option can't be used.
    """
    if config.mode == "proxy" and config.origin is not None:
        return _proxy(OriginAddress.parse(config.origin), config, emit)
    if not callable(app):
        raise ConfigError(
            f'origin={app!r} can\'t be used: it takes an ASGI app, or text such as "127.0.0.1:8000"'
        )
    return AsgiOrigin(
        app,
        emit=emit,
        state=state,
        websocket=WebSocketSettings(
            ping_interval=config.websocket_ping_interval,
            ping_timeout=config.websocket_ping_timeout,
            max_message_size=config.websocket_max_message_size,
        ),
    )


def _proxy(address: OriginAddress, config: TunnelConfig, emit: Emit) -> TcpOrigin:
    tls = None
    if address.is_tls:
        tls = tls_context(ca_file=config.origin_ca_file, verify=config.origin_tls_verify)
    pool = OriginPool(
        address,
        PoolSettings(
            connect_timeout=config.origin_connect_timeout,
            idle_timeout=config.origin_idle_timeout,
            idle_connections=config.origin_idle_connections,
        ),
        tls=tls,
    )
    settings = ProxySettings(
        host_header=config.host_header, response_timeout=config.origin_response_timeout
    )
    return TcpOrigin(pool, emit=emit, settings=settings)
