"""A public HTTPS address for a running ASGI app, from inside its own process."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import (
    ConfigError,
    ConnectionLost,
    DialError,
    DiscoveryError,
    DuplicateConnection,
    LocalProtocolError,
    OriginError,
    ProtocolError,
    ProvisioningError,
    QuickTunnelError,
    RateLimited,
    RegistrationError,
    RemoteProtocolError,
    ReplayError,
    StreamReset,
    TransportError,
)

if TYPE_CHECKING:
    from asgi_quicktunnel.diagnostics.metrics import QuickTunnelCollector
    from asgi_quicktunnel.middleware import QuickTunnelASGI
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = [
    "ConfigError",
    "ConnectionLost",
    "DialError",
    "DiscoveryError",
    "DuplicateConnection",
    "LocalProtocolError",
    "OriginError",
    "ProtocolError",
    "ProvisioningError",
    "QuickTunnel",
    "QuickTunnelASGI",
    "QuickTunnelCollector",
    "QuickTunnelError",
    "RateLimited",
    "RegistrationError",
    "RemoteProtocolError",
    "ReplayError",
    "StreamReset",
    "TransportError",
    "TunnelConfig",
]


def __getattr__(name: str) -> Any:
    """Import at first use what brings the QUIC engine along."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__


_LAZY = {
    "QuickTunnel": "asgi_quicktunnel.tunnel",
    "QuickTunnelASGI": "asgi_quicktunnel.middleware",
    "QuickTunnelCollector": "asgi_quicktunnel.diagnostics.metrics",
}
