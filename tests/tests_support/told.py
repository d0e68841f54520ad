"""What a tunnel tells from its start to its end."""

from uuid import UUID

from asgi_quicktunnel.errors import DialError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Dialled,
    Discovered,
    Drained,
    Draining,
    Provisioned,
    Registered,
    RequestDone,
    StateChanged,
    TunnelReady,
    TunnelState,
)
from asgi_quicktunnel.model import EdgeAddress, Registration

URL = "https://four-plain-words-here.trycloudflare.com"
ADDRESS = EdgeAddress("198.51.100.7", 7844)
OTHER = EdgeAddress("2001:db8::7", 7844, 1)

PROVISIONED = Provisioned(URL, 0.8)
DISCOVERED = Discovered((ADDRESS, OTHER), 0.1)
DIALLED = Dialled(0, ADDRESS, "quic", 0.05)
REGISTERED = Registered(0, ADDRESS, Registration(UUID(int=1), "lis01"), 0.25)
READY = TunnelReady(URL)
START = [PROVISIONED, DISCOVERED, DIALLED, REGISTERED, READY]

LOST = ConnectionLost(1, None, DialError("no answer", address="198.51.100.7:7844"))
RECONNECTING = StateChanged(TunnelState.RECONNECTING, "no answer", 5.0)
REQUEST = RequestDone(1, "GET", "/a%20b", 404, 0.0123, 3, 5, "PT")
RESET = RequestDone(0, "POST", "/", None, 1.0, 0, 0, None)
DRAINING = Draining(2, 30.0)
DRAINED = Drained(1)

ALL = [*START, LOST, RECONNECTING, REQUEST, DRAINING, DRAINED]
