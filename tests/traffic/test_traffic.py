"""Requests counted as they end."""

import uuid
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import ConnectionLost as Lost
from asgi_quicktunnel.events import (
    ConnectionLost,
    Discovered,
    Drained,
    Registered,
    RequestDone,
)
from asgi_quicktunnel.model import EdgeAddress, Registration
from asgi_quicktunnel.traffic import CLASSES, WINDOW, Second, Traffic

STARTED = 1_500_000_000.75  # s since the epoch
ADDRESS = EdgeAddress("192.0.2.1", 7844)


class Clocks:
    """Both clocks, which a test moves."""

    def __init__(self):
        self.monotonic = 1000.0
        self.epoch = STARTED

    def go_on(self, seconds):
        self.monotonic += seconds
        self.epoch += seconds

    def traffic(self):
        return Traffic(clock=lambda: self.monotonic, epoch=lambda: self.epoch)


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def traffic(clocks):
    return clocks.traffic()


def done(status=200, method="GET", *, elapsed=0.02, received=0, sent=10):
    return RequestDone(0, method, "/", status, elapsed, received, sent)


def count(*classes):
    return tuple(classes.count(name) for name in CLASSES)


def test_nothing_came_yet(traffic):
    """The second of the snapshot is that of the epoch, and nothing is made up."""
    statistics = traffic.statistics()
    assert statistics.until == int(STARTED)
    assert (statistics.seconds, statistics.requests, statistics.indexes) == ((), {}, ())
    assert statistics.durations.count == statistics.received.count == statistics.sent.count == 0
    assert traffic.requests == 0


def test_seconds_are_those_of_the_epoch(traffic, clocks):
    """A request ends in the second that a clock on the wall shows then."""
    traffic.on_event(done())
    clocks.go_on(0.3)  # from .75 to 1.05
    traffic.on_event(done(404))
    clocks.go_on(0.9)
    traffic.on_event(done(None))
    traffic.on_event(done(101))
    clocks.go_on(3)
    statistics = traffic.statistics()
    assert statistics.until == int(STARTED) + 4
    assert statistics.seconds == (
        Second(-4, count("2xx")),
        Second(-3, count("1xx", "4xx", "reset")),
    )


@pytest.mark.parametrize(
    ("status", "name"),
    [(100, "1xx"), (299, "2xx"), (304, "3xx"), (499, "4xx"), (599, "5xx"), (None, "reset")]
    + [(status, "5xx") for status in (0, 99, 600, 999, -1, 10**9)],
)
def test_every_status_has_a_class(traffic, status, name):
    """What is no status of HTTP is a failure of the app."""
    traffic.on_event(done(status))
    assert traffic.statistics().seconds == (Second(0, count(name)),)


def test_a_quarter_of_an_hour_is_remembered(traffic, clocks):
    """A second that is too old is not shown, and the rest are."""
    traffic.on_event(done())
    clocks.go_on(1)
    traffic.on_event(done(500))
    clocks.go_on(WINDOW - 1)
    assert traffic.statistics().seconds == (Second(1 - WINDOW, count("5xx")),)
    clocks.go_on(1)
    assert traffic.statistics().seconds == ()
    assert traffic.requests == 2


def test_the_memory_is_bounded(traffic, clocks):
    """However long it runs and whatever visitors ask, there are as many entries at most."""
    for number in range(3 * WINDOW):
        traffic.on_event(done(number, f"M{number}"))
        clocks.go_on(1)
    statistics = traffic.statistics()
    assert len(statistics.seconds) == WINDOW - 1  # this second has none
    assert len(statistics.requests) == 501  # 100..599 and other
    assert {method for method, _ in statistics.requests} == {"other"}
    assert statistics.requests["other", "other"] == 3 * WINDOW - 500


@pytest.mark.parametrize("step", [-3600, 3600])
def test_setting_the_clock_keeps_what_was_counted(traffic, clocks, step):
    """Seconds stay where they were, seen from now; `until` follows the clock."""
    traffic.on_event(done())
    clocks.epoch += step
    clocks.go_on(2)
    traffic.on_event(done())
    statistics = traffic.statistics()
    assert statistics.until == int(STARTED) + step + 2
    assert statistics.seconds == (Second(-2, count("2xx")), Second(0, count("2xx")))


def test_methods_and_statuses(traffic):
    """Each pair is counted; the names that a visitor makes up are one."""
    for event in (done(), done(), done(404), done(200, "POST"), done(None), done(200, "get")):
        traffic.on_event(event)
    traffic.on_event(done(200, "BREW"))
    assert traffic.statistics().requests == {
        ("GET", "200"): 2,
        ("GET", "404"): 1,
        ("GET", "reset"): 1,
        ("POST", "200"): 1,
        ("other", "200"): 2,
    }
    assert traffic.requests == 7


def test_durations_and_sizes(traffic):
    """Both are counted for each request, the duration of a WebSocket excepted."""
    traffic.on_event(done(elapsed=0.2, received=100, sent=70000))
    traffic.on_event(done(101, elapsed=3600, received=5, sent=5))
    statistics = traffic.statistics()
    assert (statistics.durations.count, statistics.durations.total) == (1, 0.2)
    assert (statistics.received.count, statistics.received.total) == (2, 105)
    assert (statistics.sent.count, statistics.sent.total) == (2, 70005)
    assert sum(statistics.durations.counts[: statistics.durations.bounds.index(0.25) + 1]) == 1


@given(st.lists(st.integers(0, 2**30)))
def test_sizes_fall_into_their_buckets(sizes):
    """Also bodies of no bytes and those of exactly a bound."""
    traffic = Clocks().traffic()
    for size in sizes:
        traffic.on_event(done(received=size, sent=size))
    statistics = traffic.statistics()
    assert statistics.received == statistics.sent
    expected = [bisect_right(sorted(sizes), bound) for bound in statistics.sent.bounds]
    assert list(statistics.sent.cumulative()) == [*expected, len(sizes)]
    assert statistics.sent.total == sum(sizes)


@given(st.lists(st.sampled_from([100, 200, 302, 404, 500, None, 777]), max_size=50))
def test_every_request_is_counted_once_in_each_way(statuses):
    """Seconds, pairs and sizes agree on how many there were."""
    clocks = Clocks()
    traffic = clocks.traffic()
    for status in statuses:
        traffic.on_event(done(status))
        clocks.go_on(0.4)
    statistics = traffic.statistics()
    assert sum(sum(second.counts) for second in statistics.seconds) == len(statuses)
    assert sum(statistics.requests.values()) == traffic.requests == len(statuses)
    assert statistics.sent.count == len(statuses)


def test_connections_have_a_history_by_index(traffic):
    """Each index has its own, in order; other events are nobody's."""
    for index in (1, 0):
        traffic.on_event(Registered(index, ADDRESS, Registration(uuid.UUID(int=1), "lis01"), 0.1))
    traffic.on_event(ConnectionLost(1, ADDRESS, Lost("silence")))
    traffic.on_event(Discovered((ADDRESS,), 0.1))
    traffic.on_event(Drained(0))
    traffic.on_event(ConnectionLost(0, ADDRESS, Lost("closed")))
    first, second = traffic.statistics().indexes
    assert (first.conn_index, first.registrations, first.reconnects) == (0, 1, 0)
    assert (second.conn_index, second.registrations, second.reconnects) == (1, 1, 1)
