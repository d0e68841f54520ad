"""What a configuration means for the connections of a tunnel."""

from __future__ import annotations

import platform
from dataclasses import fields
from typing import Any

from asgi_quicktunnel.config import PACKAGE_VERSION, TunnelConfig
from asgi_quicktunnel.connection import ConnectionPlan
from asgi_quicktunnel.origin.base import Origin
from asgi_quicktunnel.protocol.registration import DEFAULT_FEATURES, ClientIdentity
from asgi_quicktunnel.transport.engine import ClientSettings
from asgi_quicktunnel.transport.engines import choose_engine
from asgi_quicktunnel.transport.tls import QUIC_SERVER_NAME, trust_roots
from asgi_quicktunnel.urlcache import KeptTunnel

__all__ = ["connection_plan", "own_options"]


def connection_plan(config: TunnelConfig, kept: KeptTunnel, origin: Origin) -> ConnectionPlan:
    """What all connections of this tunnel have in common.

    Raises:
        ConfigError: `ca_file` can't be used.
    """
    return ConnectionPlan(
        credentials=kept.credentials,
        identity=ClientIdentity(
            connector_id=kept.connector_id.bytes,
            version=f"asgi-quicktunnel/{PACKAGE_VERSION}",
            arch=_architecture(),
            features=DEFAULT_FEATURES,
        ),
        settings=ClientSettings(
            server_name=QUIC_SERVER_NAME, trust_roots=trust_roots(config.ca_file)
        ),
        engine=choose_engine(config.engine),
        origin=origin,
        timeout=min(config.handshake_timeout, _DIAL_TIMEOUT),
    )


def own_options(config: TunnelConfig) -> dict[str, Any]:
    """The options that hold beside an embedded edge: all but those that say where the edge is."""
    names = (field.name for field in fields(config))
    return {name: getattr(config, name) for name in names if name not in _ADDRESSES}


def _architecture() -> str:
    """Operating system and processor, named as the edge knows them: "linux_amd64"."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"


_ADDRESSES = {"service_url", "edge", "ca_file", "nameservers", "edge_ip_version"}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}
_DIAL_TIMEOUT = 10.0  # s; protocol.md §4, the whole handshake
