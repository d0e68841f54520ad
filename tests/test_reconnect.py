"""What to do after a connection failed."""

import random

import pytest

from asgi_quicktunnel.errors import (
    ConnectionLost,
    DialError,
    DiscoveryError,
    DuplicateConnection,
    RegistrationError,
)
from asgi_quicktunnel.reconnect import ReconnectPolicy, Retry

LOST = ConnectionLost("the peer closed", code=0)


class Highest(random.Random):
    """A source of jitter that always draws the upper bound."""

    def uniform(self, low, high):
        assert low == 0
        return high


def test_waits_double_from_1_to_30_seconds():
    """The upper bound of the wait is 1, 2, 4, 8, 16, 30, 30 s."""
    policy = ReconnectPolicy(Highest())

    assert [policy.on_lost(LOST).after for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert policy.retries == 7


def test_the_wait_is_drawn_from_nought_to_its_bound():
    """Full jitter: over many draws the waits fill the range."""
    draws = []
    rng = random.Random(1)
    for _ in range(500):
        policy = ReconnectPolicy(rng)
        policy.on_lost(LOST)
        draws.append(policy.on_lost(LOST).after)

    assert min(draws) < 0.1
    assert max(draws) > 1.9
    assert all(0 <= draw <= 2 for draw in draws)


def test_a_registration_resets_the_wait():
    """After a success the first wait is short again."""
    policy = ReconnectPolicy(Highest())
    for _ in range(5):
        policy.on_lost(LOST)
    policy.on_registered()

    assert policy.on_lost(LOST) == Retry(after=1, rotate=False)
    assert policy.retries == 1


def test_what_the_edge_asks_for_is_waited():
    """`retry_after` replaces the drawn wait."""
    policy = ReconnectPolicy(Highest())

    assert policy.on_lost(RegistrationError("busy", retry_after=7.5)).after == 7.5


@pytest.mark.parametrize(
    ("cause", "rotate"),
    [
        (DialError("no answer", address="192.0.2.1:7844"), True),
        (DuplicateConnection("EDUPCONN", retryable=False), True),
        (ConnectionLost("silent", idle=True), True),
        (LOST, False),
        (RegistrationError("busy"), False),
        (DiscoveryError("no record"), False),
    ],
)
def test_some_causes_take_another_address(cause, rotate):
    """Dial failures, duplicates and silence rotate the address; others keep it."""
    assert ReconnectPolicy(Highest()).on_lost(cause).rotate is rotate


def test_refused_for_good_means_stop():
    """A registration error that won't change is not tried again."""
    assert ReconnectPolicy(Highest()).on_lost(RegistrationError("no", retryable=False)) is None


def test_the_default_jitter_differs_between_policies():
    """Without a given source two policies don't wait in step."""
    first, second = ReconnectPolicy(), ReconnectPolicy()

    assert [first.on_lost(LOST).after for _ in range(5)] != [
        second.on_lost(LOST).after for _ in range(5)
    ]
