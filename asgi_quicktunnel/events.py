"""What may be observed of a tunnel. Emitted through the one `emit` handed down at construction."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.model import EdgeAddress, Registration

__all__ = [
    "ConnectionLost",
    "Dialled",
    "Discovered",
    "Drained",
    "Draining",
    "Emit",
    "Event",
    "Provisioned",
    "Registered",
    "RequestDone",
    "StateChanged",
    "TunnelReady",
    "TunnelState",
]


class TunnelState(enum.Enum):
    """Where a tunnel stands.

    STARTING until the URL works for the first time; READY; DEGRADED while some connection that was
    registered is lost and another serves; RECONNECTING while none serves; STOPPED before the start
    and after the end; FAILED when it was given up.
    """

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The service gave a tunnel; `url` is the public one, which does not work yet."""

    url: str
    elapsed: float


@dataclass(frozen=True, slots=True)
class Discovered:
    """Where the edge can be dialled is known, or has changed; `addresses` has the best first."""

    addresses: tuple[EdgeAddress, ...]
    elapsed: float


@dataclass(frozen=True, slots=True)
class Dialled:
    """An edge server answered the handshake; `protocol` is what carries the connection."""

    conn_index: int
    address: EdgeAddress
    protocol: str
    elapsed: float


@dataclass(frozen=True, slots=True)
class TunnelReady:
    """The public URL works.

    Attributes:
        doubt: why that could not be proved from here, or None when a request came back.
        leads: whether this process announces it; False in a worker that learnt it from another.
    """

    url: str
    doubt: str | None = None
    leads: bool = True


@dataclass(frozen=True, slots=True)
class Registered:
    """The edge accepted one HA connection; `elapsed` is seconds from dial to answer."""

    conn_index: int
    address: EdgeAddress
    registration: Registration
    elapsed: float


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """One HA connection ended without our asking for it."""

    conn_index: int
    address: EdgeAddress | None
    cause: QuickTunnelError


class RequestDone(NamedTuple):  # a frozen dataclass takes three times as long to make
    """One request was answered or given up.

    Attributes:
        status: what the visitor saw, or None when the stream was reset before an answer.
        elapsed: seconds from the arrival of the head to the end of the answer.
        received: body bytes from the visitor.
        sent: body bytes to the visitor.
        country: the visitor's, two letters by Cloudflare's word (`Cf-Ipcountry`), or None.
    """

    conn_index: int
    method: str
    path: str
    status: int | None
    elapsed: float
    received: int
    sent: int
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Draining:
    """The tunnel takes no more requests; `requests` are open and have `grace_period` seconds."""

    requests: int
    grace_period: float


@dataclass(frozen=True, slots=True)
class Drained:
    """Every connection was unregistered and closed; `unfinished` requests were cut off."""

    unfinished: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The tunnel stands elsewhere now; meanings as in `TunnelStatus`."""

    state: TunnelState
    cause: str | None
    since: float


Event = (
    Provisioned
    | Discovered
    | Dialled
    | Registered
    | TunnelReady
    | ConnectionLost
    | StateChanged
    | RequestDone
    | Draining
    | Drained
)
Emit = Callable[[Event], None]
