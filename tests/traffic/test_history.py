"""What became of one connection index."""

import uuid

import pytest

from asgi_quicktunnel.errors import (
    ConnectionLost as Lost,
)
from asgi_quicktunnel.errors import (
    DialError,
    DiscoveryError,
    DuplicateConnection,
    RegistrationError,
    TransportError,
)
from asgi_quicktunnel.events import ConnectionLost, Dialled, Drained, Registered
from asgi_quicktunnel.model import EdgeAddress, Registration
from asgi_quicktunnel.traffic.history import FAILURES, IndexHistory, IndexStatistics

ADDRESS = EdgeAddress("192.0.2.1", 7844)
OTHER = EdgeAddress("192.0.2.2", 7844)
DIALLED = Dialled(1, ADDRESS, "quic", 0.04)
REGISTERED = Registered(1, ADDRESS, Registration(uuid.UUID(int=1), "lis01"), 0.1)


def lost(cause, address=ADDRESS):
    return ConnectionLost(1, address, cause)


def history_of(*events):
    history = IndexHistory(1)
    for event in events:
        history.on_event(event)
    return history.statistics()


def test_nothing_has_happened_yet():
    """A new history makes nothing up."""
    assert history_of() == IndexStatistics(1)


def test_a_registration_and_its_times():
    """The handshake is the dial's, the other time the whole way to the registration."""
    assert history_of(DIALLED, REGISTERED) == IndexStatistics(
        1,
        address=ADDRESS,
        protocol="quic",
        handshake_time=0.04,
        register_time=0.1,
        registrations=1,
    )


def test_only_what_was_registered_is_lost():
    """One loss, however often the return fails; the failures are counted by themselves."""
    silence = Lost("the peer went silent")
    refused = lost(DialError("nobody answers", address=str(OTHER)), OTHER)
    history = history_of(DIALLED, REGISTERED, lost(silence), refused, refused)
    assert (history.registrations, history.reconnects) == (1, 1)
    assert history.failures == (("dial", 2),)
    assert (history.address, history.cause) == (OTHER, "nobody answers")


def test_a_return_makes_up_for_the_cause():
    """Once it is registered again, nothing is wrong."""
    history = history_of(DIALLED, REGISTERED, lost(Lost("silence")), DIALLED, REGISTERED)
    assert (history.registrations, history.reconnects, history.cause) == (2, 1, None)


def test_a_drained_connection_is_not_lost():
    """What fails after the tunnel was drained is a failure, and no loss."""
    history = history_of(DIALLED, REGISTERED, Drained(0), lost(Lost("closed")))
    assert (history.reconnects, history.failures) == (0, (("other", 1),))


def test_a_failure_without_an_address_leaves_the_last_one():
    """Nothing is dialled where nothing was discovered."""
    history = history_of(DIALLED, lost(DiscoveryError("no addresses"), None))
    assert history.address == ADDRESS


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("duplicate", DuplicateConnection("twice")),
        ("registration", RegistrationError("no")),
        ("dial", DialError("no", address="192.0.2.1:7844")),
        ("discovery", DiscoveryError("no")),
        ("other", TransportError("no")),
    ],
)
def test_failures_are_told_apart(kind, cause):
    """Each kind of cause has a name of a fixed list."""
    assert history_of(lost(cause)).failures == ((kind, 1),)
    assert kind in FAILURES
