"""The native engine: quinn-proto behind the seam of `transport.engine`.

`asgi_quicktunnel_native` is a package of its own, written in Rust. Its classes have the seam's
methods themselves: a layer of Python around each call would cost more than the call.
"""

from __future__ import annotations

import functools
from typing import Any

import asgi_quicktunnel_native as native

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.protocol import datastream
from asgi_quicktunnel.transport.engine import (
    ClientSettings,
    Closed,
    Connected,
    EngineStatistics,
    QuicAcceptor,
    QuicEngine,
    Readable,
    ServerSettings,
    StreamOpened,
    StreamReset,
    StreamStopped,
    Writable,
)

__all__ = ["INSTALLED_INTERFACE", "INTERFACE", "VERSION", "acceptor", "dial", "read_request"]

INTERFACE = 3  # the shape of the seam that this package was written for
INSTALLED_INTERFACE = getattr(native, "INTERFACE", None)
VERSION = str(getattr(native, "__version__", "unknown"))


def dial(settings: ClientSettings, *, now: float) -> QuicEngine:
    """Begin a connection: the first `datagrams_to_send` carries the client's Initial.

    Raises:
        ConfigError: no usable certificate among the trust roots, or no usable server name.
    """
    _tell_fact_types()
    try:
        engine: QuicEngine = native.Engine.client(
            _client_config(settings), settings.server_name, now=now
        )
    except ValueError as exc:
        raise ConfigError(f"no connection can be begun: {exc}") from exc
    return engine


def acceptor(settings: ServerSettings) -> QuicAcceptor:
    """The server side of one UDP address.

    Raises:
        ConfigError: certificate chain and key can't be used.
    """
    _tell_fact_types()
    try:
        config = native.ServerConfig(
            settings.certificate_chain, settings.private_key, **_limits(settings)
        )
    except ValueError as exc:
        raise ConfigError(f"no connection can be accepted: {exc}") from exc
    made: QuicAcceptor = native.Acceptor(config)
    return made


def read_request(data: bytes) -> tuple[RequestHead, bytes] | None:
    """As `datastream.read_request`, which is asked where the layout is not the usual one."""
    parts = native.read_request(data)
    if parts is None:
        return datastream.read_request(data)
    kind, dest, method, host, headers, rest = parts
    return RequestHead(_KINDS[kind], dest, method, host, headers), rest


_KINDS = {kind.value: kind for kind in RequestKind}


@functools.lru_cache(maxsize=4)
def _client_config(settings: ClientSettings) -> native.ClientConfig:
    """Trust roots are parsed once: some 150 certificates."""
    return native.ClientConfig(settings.trust_roots, **_limits(settings))


def _limits(settings: ClientSettings | ServerSettings) -> dict[str, Any]:
    return {
        "alpn": settings.alpn,
        "idle_timeout": settings.idle_timeout,
        "stream_window": settings.stream_window,
        "connection_window": settings.connection_window,
        "max_streams": settings.max_streams,
        "send_high_water": settings.send_high_water,
    }


@functools.cache
def _tell_fact_types() -> None:
    native.set_fact_types(
        connected=Connected,
        stream_opened=StreamOpened,
        readable=Readable,
        writable=Writable,
        stream_reset=StreamReset,
        stream_stopped=StreamStopped,
        closed=Closed,
        statistics=EngineStatistics,
    )
