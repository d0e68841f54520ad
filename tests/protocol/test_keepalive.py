import pytest

from asgi_quicktunnel.protocol.keepalive import KeepAlive, Verdict

WAIT, PING, GONE = Verdict.WAIT, Verdict.PING, Verdict.GONE


def verdicts(keepalive, *, until, heard_at=(), deaf_from=float("inf")):
    """What it says each time it is due, up to a time; as (time, verdict)."""
    said = []
    times = list(heard_at)
    while keepalive.due is not None and keepalive.due <= until:
        now = keepalive.due
        if times and times[0] <= now:
            times.pop(0)
            keepalive.heard()
            continue
        verdict = keepalive.handle_timeout(now=now, listening=now < deaf_from)
        said.append((now, verdict))
        if verdict is GONE:
            break
    return said


def test_a_visitor_who_answers_is_pinged_again_and_again():
    """A ping each interval, counted from the last ping."""
    said = verdicts(KeepAlive(20, 20, now=100), until=180, heard_at=(121, 141, 161))

    assert said == [(120, PING), (140, PING), (160, PING), (180, PING)]


def test_a_silent_visitor_is_gone_after_the_timeout():
    """Nothing heard for `timeout` seconds after a ping: gone."""
    assert verdicts(KeepAlive(20, 5, now=0), until=100) == [(20, PING), (25, GONE)]


def test_a_timeout_longer_than_the_interval_is_waited_for():
    """No second ping goes out while the first is unanswered."""
    said = verdicts(KeepAlive(1, 3.5, now=0), until=100)

    assert said == [(1, PING), (2, WAIT), (3, WAIT), (4, WAIT), (4.5, GONE)]


def test_anything_heard_counts():
    """Data that arrives after the ping keeps the visitor, pong or not."""
    keepalive = KeepAlive(20, 20, now=0)
    assert keepalive.handle_timeout(now=20, listening=True) is PING
    keepalive.heard()

    assert keepalive.handle_timeout(now=40, listening=True) is PING


def test_nobody_is_gone_while_nobody_listens():
    """While the stream is not read, silence says nothing; afterwards it counts anew."""
    keepalive = KeepAlive(20, 20, now=0)
    assert verdicts(keepalive, until=99, deaf_from=30) == [
        (20, PING), (40, WAIT), (60, WAIT), (80, WAIT)
    ]  # fmt: skip

    assert keepalive.handle_timeout(now=100, listening=True) is GONE


def test_without_a_timeout_a_silent_visitor_stays():
    """Pings go on, and whether anybody answers does not matter."""
    said = verdicts(KeepAlive(10, None, now=0), until=40)

    assert said == [(10, PING), (20, PING), (30, PING), (40, PING)]


@pytest.mark.parametrize("timeout", [None, 5])
def test_without_an_interval_nothing_is_due(timeout):
    """No pings: no timer at all."""
    keepalive = KeepAlive(None, timeout, now=0)

    assert keepalive.due is None
    assert keepalive.handle_timeout(now=1e9, listening=True) is WAIT


def test_too_early_is_no_harm():
    """A timer that fires before its time changes nothing."""
    keepalive = KeepAlive(20, 20, now=0)

    assert keepalive.handle_timeout(now=19.9, listening=True) is WAIT
    assert keepalive.due == 20
