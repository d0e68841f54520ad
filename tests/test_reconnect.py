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
from asgi_quicktunnel.reconnect import ReconnectPolicy, RenewalPolicy, Retry

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


def test_a_thousand_failures_wait_30_seconds_at_most():
    """The wait stays bounded however often it failed."""
    policy = ReconnectPolicy(Highest())
    for _ in range(2000):
        retry = policy.on_lost(LOST)

    assert retry.after == 30


def test_who_wants_an_end_gets_one():
    """With `max_attempts` the failure after so many is the last."""
    policy = ReconnectPolicy(Highest(), max_attempts=2)

    assert [policy.on_lost(LOST) is None for _ in range(3)] == [False, False, True]
    policy.on_registered()
    assert policy.on_lost(LOST) is not None


def test_a_parked_connection_tries_every_five_minutes():
    """Parked, it waits 300 s each time until it is registered."""
    policy = ReconnectPolicy(Highest())
    policy.park()
    assert [policy.on_lost(LOST).after for _ in range(3)] == [300, 300, 300]
    policy.on_registered()
    assert policy.on_lost(LOST).after == 1


UNAUTHORIZED = RegistrationError("Unauthorized: no such tunnel", unauthorized=True)


def refused(policy, indexes, *, at):
    for index in indexes:
        policy.on_lost(index, UNAUTHORIZED, now=at)


def test_a_tunnel_is_renewed_after_a_minute_of_unauthorized_for_every_index():
    """Not before 60 s, not while one index says otherwise, and not if it never worked."""
    policy = RenewalPolicy()
    refused(policy, {0, 1}, at=0)
    assert not policy.is_due({0, 1}, now=100)  # it never worked

    policy.on_registered(0)
    refused(policy, {0}, at=100)
    refused(policy, {1}, at=130)
    assert not policy.is_due({0, 1}, now=189)
    assert policy.is_due({0, 1}, now=190)
    assert not policy.is_due(set(), now=190)


def test_another_failure_or_a_success_begins_the_minute_anew():
    """Only an unbroken minute of "Unauthorized" counts."""
    policy = RenewalPolicy()
    policy.on_registered(0)
    refused(policy, {0}, at=0)
    policy.on_lost(0, LOST, now=30)
    refused(policy, {0}, at=40)
    assert not policy.is_due({0}, now=70)
    assert policy.is_due({0}, now=100)
    policy.on_registered(0)
    assert not policy.is_due({0}, now=100)


def test_renewals_become_rarer():
    """After one, the next waits 5 minutes, then 10, then 20."""
    policy = RenewalPolicy()
    now = 0.0
    for pause in (300, 600, 1200):
        policy.on_registered(0)
        refused(policy, {0}, at=now)
        assert policy.is_due({0}, now=now + 60)
        policy.on_renewed(now=now + 60)
        policy.on_registered(0)
        refused(policy, {0}, at=now + 60)
        assert not policy.is_due({0}, now=now + 60 + pause - 1)
        now += 60 + pause


REFUSED = RegistrationError("no", retryable=False)


def on_trial():
    policy = RenewalPolicy()
    policy.on_reused()
    return policy


def test_a_reused_tunnel_that_is_refused_three_times_over_six_seconds_is_given_up():
    """For whatever reason; the tries are 3 s apart."""
    policy = on_trial()
    now = 100.0
    due = []
    for _ in range(3):
        policy.on_lost(0, REFUSED, now=now)
        due.append(policy.is_due({0, 1}, now=now))
        retry = policy.retry(REFUSED)
        assert not retry.rotate
        now += retry.after
    assert due == [False, False, True]
    assert now == 100.0 + 3 * 3.0


@pytest.mark.parametrize(
    "cause", [DialError("no", address="a"), ConnectionLost("gone"), DuplicateConnection("twice")]
)
def test_what_is_no_refusal_says_nothing_about_a_reused_tunnel(cause):
    """A network that fails, or a duplicate, is for the ordinary policy."""
    policy = on_trial()
    for second in range(20):
        policy.on_lost(0, cause, now=second)
    assert not policy.is_due({0}, now=20.0)
    assert policy.retry(cause) is None


def test_the_trial_ends_with_a_registration_or_a_new_tunnel():
    """Then the ordinary rules hold."""
    for end in (lambda policy: policy.on_registered(1), lambda policy: policy.on_renewed(now=0.0)):
        policy = on_trial()
        end(policy)
        for second in range(20):
            policy.on_lost(0, REFUSED, now=second)
        assert policy.retry(REFUSED) is None
        assert not policy.is_due({0}, now=20.0)
