"""What to do after a connection failed. Decides only: no sleep, no socket, no clock of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

from asgi_quicktunnel.errors import (
    ConnectionLost,
    DialError,
    DuplicateConnection,
    QuickTunnelError,
    RegistrationError,
)

__all__ = ["ReconnectPolicy", "RenewalPolicy", "Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """The next try.

    Attributes:
        after: seconds to wait first.
        rotate: whether another edge address should be taken.
    """

    after: float
    rotate: bool


class ReconnectPolicy:
    """Decides for one HA connection: backoff with full jitter, reset by a registration.

    Args:
        rng: the source of the jitter.
        max_attempts: failures in a row after which it is given up; None: never.

    Source: protocol.md §9.2 for the shape, §9.4 for what rotates the address.
    """

    def __init__(
        self, rng: random.Random | None = None, *, max_attempts: int | None = None
    ) -> None:
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._max_attempts = max_attempts
        self._retries = 0
        self._parked = False

    @property
    def retries(self) -> int:
        """Failures since the last registration."""
        return self._retries

    def on_registered(self) -> None:
        """The connection is registered: the next failure is the first."""
        self._retries = 0
        self._parked = False

    def park(self) -> None:
        """Try only once in five minutes until it is registered: others carry the tunnel."""
        self._parked = True

    def on_lost(self, cause: QuickTunnelError) -> Retry | None:
        """What to do about a failure; None: stop for good.

        Args:
            cause: why the connection could not be made, or why it ended.
        """
        self._retries += 1
        if isinstance(cause, RegistrationError) and not (
            cause.retryable or isinstance(cause, DuplicateConnection)
        ):
            return None
        if self._max_attempts is not None and self._retries > self._max_attempts:
            return None
        rotate = isinstance(cause, DialError | DuplicateConnection) or (
            isinstance(cause, ConnectionLost) and cause.idle
        )
        return Retry(after=self._wait(cause), rotate=rotate)

    def _wait(self, cause: QuickTunnelError) -> float:
        if self._parked:
            return _PARKED_WAIT
        if isinstance(cause, RegistrationError) and cause.retry_after:
            return cause.retry_after
        # The exponent is bounded too: 2**1100 is no float.
        highest = min(_FIRST_WAIT * 2.0 ** min(self._retries - 1, 10), _LONGEST_WAIT)
        return self._rng.uniform(0, highest)


class RenewalPolicy:
    """Decides when a tunnel that the edge no longer knows is given up for a new one.

    "Unauthorized" may be a moment's trouble, and a new tunnel has a new URL. So it must have come
    for every index, for 60 s, on a tunnel that was registered before; and at most one new tunnel in
    5 minutes, then in 10, 20 and so on.

    A tunnel that an earlier process had is on trial until it is registered: refused three times
    over 6 s, for whatever reason, it is given up.

    Args:
        unauthorized_for: seconds that nothing but "Unauthorized" must have come.
    """

    def __init__(self, *, unauthorized_for: float = 60.0) -> None:
        self._unauthorized_for = unauthorized_for
        self._refused_since: dict[int, float] = {}
        self._on_trial = False
        self._refusals: dict[int, list[float]] = {}  # on trial: when
        self._was_registered = False
        self._not_before = float("-inf")
        self._pause = _FIRST_RENEWAL_PAUSE

    def on_reused(self) -> None:
        """The tunnel is one that an earlier process had; the edge may have forgotten it."""
        self._on_trial = True
        self._refusals.clear()

    def on_registered(self, conn_index: int) -> None:
        """The edge knows the tunnel."""
        self._was_registered = True
        self._on_trial = False
        self._refused_since.clear()

    def on_lost(self, conn_index: int, cause: QuickTunnelError, *, now: float) -> None:
        """Hear of a failure of one index."""
        if self._on_trial and _is_refusal(cause):
            self._refusals.setdefault(conn_index, []).append(now)
        if isinstance(cause, RegistrationError) and cause.unauthorized:
            self._refused_since.setdefault(conn_index, now)
        else:
            self._refused_since.pop(conn_index, None)

    def is_due(self, indexes: set[int], *, now: float) -> bool:
        """Whether a new tunnel should be provisioned now.

        Args:
            indexes: the connections that are being kept.
            now: seconds on any clock that only goes forward.
        """
        if self._on_trial:
            return any(
                len(times) >= _TRIAL_REFUSALS and now - times[0] >= _TRIAL_TIME
                for times in self._refusals.values()
            )
        return (
            self._was_registered
            and bool(indexes)
            and all(
                now - self._refused_since.get(index, now) >= self._unauthorized_for
                for index in indexes
            )
            and now >= self._not_before
        )

    def retry(self, cause: QuickTunnelError) -> Retry | None:
        """The next try of a tunnel on trial; None when it is not for this policy to say."""
        if self._on_trial and _is_refusal(cause):
            return Retry(after=_TRIAL_TIME / (_TRIAL_REFUSALS - 1), rotate=False)
        return None

    def on_renewed(self, *, now: float) -> None:
        """A new tunnel was provisioned."""
        self._on_trial = False
        self._refused_since.clear()
        self._was_registered = False
        self._not_before = now + self._pause
        self._pause *= 2


def _is_refusal(cause: QuickTunnelError) -> bool:
    return isinstance(cause, RegistrationError) and not isinstance(cause, DuplicateConnection)


_TRIAL_REFUSALS = 3
_TRIAL_TIME = 6.0  # s
_FIRST_WAIT = 1.0  # s; the upper bound of the first wait, doubled for each further one
_LONGEST_WAIT = 30.0  # s
_PARKED_WAIT = 300.0  # s
_FIRST_RENEWAL_PAUSE = 300.0  # s
