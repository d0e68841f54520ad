"""The native QUIC engine of asgi_quicktunnel: quinn-proto and rustls behind its engine seam.

`asgi_quicktunnel.transport.engine` says what each method does; nothing here is meant for others.
"""

from asgi_quicktunnel_native._engine import (
    INTERFACE,
    Acceptor,
    ClientConfig,
    Engine,
    ServerConfig,
    __version__,
    read_request,
    set_fact_types,
)

__all__ = [
    "INTERFACE",
    "Acceptor",
    "ClientConfig",
    "Engine",
    "ServerConfig",
    "__version__",
    "read_request",
    "set_fact_types",
]
