"""Frozen nouns that more than one layer speaks of."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

__all__ = [
    "Credentials",
    "EdgeAddress",
    "Headers",
    "Registration",
    "RequestHead",
    "RequestKind",
    "ResponseHead",
]

Headers = Sequence[tuple[bytes, bytes]]


class RequestKind(enum.Enum):
    """What a visitor wants; the numbers are ConnectionType's (protocol.md §6.1)."""

    HTTP = 0
    WEBSOCKET = 1
    TCP = 2


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the service hands out for one quick tunnel (protocol.md §1).

    Attributes:
        tunnel_id: its 16 raw bytes go on the wire.
        account_tag: opaque.
        secret: 32 bytes in every known sample; never shown.
        hostname: as the service wrote it, normally without a scheme.
    """

    tunnel_id: UUID
    account_tag: str
    secret: bytes = field(repr=False)
    hostname: str

    @property
    def url(self) -> str:
        """The public URL, without a trailing slash."""
        hostname = self.hostname.rstrip("/")
        return hostname if "://" in hostname else f"https://{hostname}"


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """Where an edge server listens.

    Attributes:
        ip: literal IPv4 or IPv6 address.
        port: UDP and TCP port.
        region: 0 or 1, the position of its SRV record (protocol.md §2).
    """

    ip: str
    port: int
    region: int = 0

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.ip).version

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the edge said to a registration it accepted.

    Attributes:
        connection_id: the edge's name for this connection.
        colo: airport code and number of the site, such as "bog01".
        remotely_managed: whether the edge, rather than we, decides the configuration.
    """

    connection_id: UUID
    colo: str
    remotely_managed: bool = False


class RequestHead(NamedTuple):  # a frozen dataclass takes three times as long to make
    """One visitor's request, whichever transport carried it.

    Attributes:
        kind: HTTP, WEBSOCKET or TCP.
        dest: absolute URL, or a bare path; "ip:port" for TCP. Bytes as they came.
        method: as the visitor sent it; "GET" when the edge named none.
        host: the Host to present, b"" when the edge named none.
        headers: in order, names in lower case, without Host.
    """

    kind: RequestKind
    dest: bytes
    method: str = "GET"
    host: bytes = b""
    headers: Headers = ()


class ResponseHead(NamedTuple):
    """The head of the answer.

    Attributes:
        status: HTTP status, 100..999.
        headers: in order; hop-by-hop ones only with a 101, which they belong to.
        error: why there is no answer, for the edge's logs; the visitor then sees a 502 page and
            status and headers do not matter (protocol.md §6.4).
    """

    status: int
    headers: Headers = ()
    error: str | None = None
