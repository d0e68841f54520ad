"""Snapshots of a tunnel."""

from asgi_quicktunnel.model import EdgeAddress
from asgi_quicktunnel.statistics import (
    ConnectionState,
    MissingConnection,
    Transferred,
    missing_connections,
)
from asgi_quicktunnel.transport.base import TransportStatistics

ADDRESS = EdgeAddress("192.0.2.1", 7844)


def test_what_is_missing_is_what_is_wanted_and_not_registered():
    """Each index stands at one place: registered ones are left out."""
    assert missing_connections(
        wanted=[2, 1, 0], given_up=[3], dialled={0: ADDRESS, 1: ADDRESS}, registered=[0]
    ) == (
        MissingConnection(1, ConnectionState.CONNECTING, ADDRESS),
        MissingConnection(2, ConnectionState.WAITING),
        MissingConnection(3, ConnectionState.GIVEN_UP),
    )


def test_what_was_given_up_may_be_wanted_again():
    """An index that is kept again is waiting, whatever became of it before."""
    (missing,) = missing_connections(wanted=[1], given_up=[1], dialled={}, registered=[])
    assert missing.state is ConnectionState.WAITING


def test_nothing_is_missing_where_all_is_well():
    """Neither at the start nor when everything is registered."""
    assert missing_connections(wanted=[], given_up=[], dialled={}, registered=[]) == ()
    assert missing_connections(wanted=[0], given_up=[], dialled={0: ADDRESS}, registered=[0]) == ()


def test_totals_add_up():
    """Streams and bytes of one more connection, and of one that was never dialled."""
    transport = TransportStatistics(ADDRESS, "aioquic", None, 1, 5, 0, 300, 400, 0)
    total = Transferred(1, 2, 3).plus(transport).plus(None)
    assert total == Transferred(6, 302, 403)
    assert total.and_(total) == Transferred(12, 604, 806)
