"""The search for the largest datagram that a path carries."""

import pytest

from asgi_quicktunnel.transport.engines import choose_engine
from asgi_quicktunnel.transport.path_mtu import BASE_SIZE, LARGEST_SIZE, PathMtuSearch

from tests_support.engine_pair import EnginePair

KIB = 1024
AIOQUIC = choose_engine("aioquic")


def searched(carried, search=None):
    """What a search finds on a path that carries so many bytes, and the sizes it tried."""
    search = search or PathMtuSearch()
    tried = []
    while (size := search.next_probe(now=0.0)) is not None:
        assert search.next_probe(now=0.0) is None, "one probe at a time"
        tried.append(size)
        if size <= carried:
            search.on_arrived(size)
        else:
            search.on_lost(size)
    return search.size, tried


def test_a_path_that_carries_all_is_known_after_one_probe():
    """The largest size is tried first."""
    assert searched(1500) == (LARGEST_SIZE, [LARGEST_SIZE])


@pytest.mark.parametrize("carried", range(BASE_SIZE, LARGEST_SIZE, 7))
def test_any_other_path_is_known_within_20_bytes(carried):
    """Each size that is lost is tried three times, and 15 probes are enough."""
    size, tried = searched(carried)

    assert carried - 20 <= size <= carried
    assert {tried.count(each) for each in tried if each > carried} == {3}
    assert len(tried) <= 15


def test_a_chance_loss_is_tried_again():
    """One lost probe says nothing yet."""
    search = PathMtuSearch()
    search.on_lost(search.next_probe(now=0.0))
    search.on_lost(search.next_probe(now=0.0))
    search.on_arrived(search.next_probe(now=0.0))
    assert search.size == LARGEST_SIZE


def test_after_a_black_hole_the_search_begins_anew_ten_minutes_later():
    """Until then the size is the one that every path carries."""
    search = PathMtuSearch()
    search.on_arrived(search.next_probe(now=0.0))
    search.on_black_hole(now=5.0)
    assert search.size == BASE_SIZE
    assert search.next_probe(now=604.0) is None
    assert search.next_probe(now=606.0) == LARGEST_SIZE


def _pair(**changes):
    return EnginePair(dial=AIOQUIC, accept=AIOQUIC, **changes).connect()


def _send(pair, size):
    stream_id = pair.client.engine.open_stream()
    rest = size
    assert pair.run(lambda: True)
    while rest:
        accepted = pair.client.engine.write(stream_id, bytes(min(rest, 64 * KIB)))
        rest -= accepted
        pair.run(lambda: False, seconds=0.05)
    pair.client.engine.write(stream_id, b"", end=True)
    assert pair.run(lambda: stream_id in pair.server.ended, seconds=60)
    assert len(pair.server.received[stream_id]) == size


def test_aioquic_uses_what_the_path_carries():
    """A download goes in datagrams of 1452 bytes once one of them was acknowledged."""
    pair = _pair()
    _send(pair, 500 * KIB)
    assert pair.largest == 1452
    assert pair.client.engine._connection._max_datagram_size == 1452


@pytest.mark.parametrize("mtu", [1232, 1300, 1400])
def test_probes_that_are_lost_cost_nothing_else(mtu):
    """On a smaller path all arrives, no loss is counted and the window does not shrink."""
    pair = _pair(mtu=mtu)
    before = pair.client.engine.statistics().congestion_window
    _send(pair, 500 * KIB)

    assert mtu - 20 <= pair.client.engine._connection._max_datagram_size <= mtu
    assert 3 <= pair.too_large <= 30
    statistics = pair.client.engine.statistics()
    assert statistics.packets_lost == 0
    assert statistics.congestion_window >= before


def test_a_path_that_shrinks_is_noticed():
    """When datagrams of the size found no longer arrive, the connection goes back and lives."""
    pair = _pair()
    _send(pair, 100 * KIB)
    assert pair.client.engine._connection._max_datagram_size == 1452
    pair.mtu = 1300
    _send(pair, 100 * KIB)

    assert pair.client.engine._connection._max_datagram_size == BASE_SIZE
    assert pair.client.closed is None
    assert pair.server.closed is None
