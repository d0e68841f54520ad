"""Where a tunnel stands."""

import uuid

from asgi_quicktunnel.errors import ConnectionLost as Lost
from asgi_quicktunnel.errors import ProvisioningError
from asgi_quicktunnel.events import (
    ConnectionLost,
    Dialled,
    Discovered,
    Drained,
    Provisioned,
    Registered,
    StateChanged,
    TunnelState,
)
from asgi_quicktunnel.model import EdgeAddress, Registration
from asgi_quicktunnel.status import TunnelStatus

ADDRESS = EdgeAddress("192.0.2.1", 7844)


def registered(index):
    return Registered(index, ADDRESS, Registration(uuid.UUID(int=1), "lis01"), 0.1)


def lost(index, why="the peer went silent"):
    return ConnectionLost(index, ADDRESS, Lost(why))


def ready():
    status = TunnelStatus(now=0)
    status.on_started(now=1)
    status.on_event(registered(0), now=2)
    status.on_announced(now=3)
    status.on_event(registered(1), now=4)
    return status


def test_a_tunnel_is_ready_once_it_is_announced():
    """Registered is not ready: the URL has to be announced."""
    status = TunnelStatus(now=0)
    assert status.state is TunnelState.STOPPED
    assert status.on_started(now=1) == StateChanged(TunnelState.STARTING, None, 1)
    assert status.on_event(registered(0), now=2) is None
    assert status.state is TunnelState.STARTING
    assert status.on_announced(now=3) == StateChanged(TunnelState.READY, None, 3)
    assert status.on_event(registered(1), now=4) is None


def test_one_lost_of_two_is_degraded_and_both_is_reconnecting():
    """Each loss and each return moves the state, with cause and moment."""
    status = ready()
    assert status.on_event(lost(1), now=10) == StateChanged(
        TunnelState.DEGRADED, "the peer went silent", 10
    )
    assert status.on_event(lost(0), now=11).state is TunnelState.RECONNECTING
    assert status.since == 11
    assert status.on_event(registered(0), now=12).state is TunnelState.DEGRADED
    assert status.on_event(registered(1), now=13) == StateChanged(TunnelState.READY, None, 13)
    assert status.reconnects == 2


def test_failed_tries_of_a_lost_connection_count_once():
    """A connection is lost once, however often its return fails."""
    status = ready()
    for moment in range(5):
        status.on_event(lost(0), now=20 + moment)
    assert status.reconnects == 1
    assert status.since == 20


def test_an_index_that_never_came_is_no_degradation():
    """A second connection that the edge never took leaves the tunnel ready."""
    status = TunnelStatus(now=0)
    status.on_started(now=1)
    status.on_event(registered(0), now=2)
    status.on_announced(now=3)
    assert status.on_event(lost(1, "EDUPCONN"), now=4) is None
    assert status.state is TunnelState.READY


def test_failures_before_the_start_are_the_cause_of_waiting():
    """While it starts, the last failure is what can be read."""
    status = TunnelStatus(now=0)
    status.on_started(now=1)
    status.on_event(lost(0, "no answer"), now=2)
    assert (status.state, status.cause) == (TunnelState.STARTING, "no answer")


def test_the_ends():
    """Stopped and failed are ends; a failure keeps its cause."""
    status = ready()
    assert status.on_stopped(now=30) == StateChanged(TunnelState.STOPPED, None, 30)
    assert status.on_failed(ProvisioningError("no"), now=31) == StateChanged(
        TunnelState.FAILED, "no", 31
    )


def test_a_renewal_reconnects_until_the_new_url_is_announced():
    """A tunnel that was forgotten is reconnecting up to its next announcement."""
    status = ready()
    assert status.on_renewal(now=40).state is TunnelState.RECONNECTING
    assert status.on_event(registered(0), now=41) is None
    assert status.on_announced(now=42).state is TunnelState.READY


def test_other_events_change_nothing():
    """What is no registration and no loss leaves the state."""
    assert ready().on_event(Drained(0), now=50) is None


def test_a_tunnel_that_starts_says_what_it_waits_for():
    """Each step names the next one, a loss goes back to dialling, and the URL ends it."""
    status = TunnelStatus(now=0)
    assert status.waiting_for is None
    status.on_started(now=1)
    assert status.waiting_for == "the service to give out a tunnel"
    said = []
    for event in (
        Provisioned("https://words.example", 0.1),
        Discovered((ADDRESS,), 0.1),
        Dialled(0, ADDRESS, "quic", 0.1),
        lost(0),
        Dialled(0, ADDRESS, "quic", 0.1),
        registered(0),
        lost(1),  # the second connection may take its time
    ):
        status.on_event(event, now=2)
        said.append(status.waiting_for)
    assert said == [
        "the addresses of the edge",
        "an edge server to answer",
        "the edge to register the first connection",
        "an edge server to answer",
        "the edge to register the first connection",
        "a request to the URL to come back",
        "a request to the URL to come back",
    ]
    status.on_announced(now=3)
    assert status.waiting_for is None
