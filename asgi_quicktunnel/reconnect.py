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

__all__ = ["ReconnectPolicy", "Retry"]


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

    Source: protocol.md §9.2 for the shape, §9.4 for what rotates the address.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._retries = 0

    @property
    def retries(self) -> int:
        """Failures since the last registration."""
        return self._retries

    def on_registered(self) -> None:
        """The connection is registered: the next failure is the first."""
        self._retries = 0

    def on_lost(self, cause: QuickTunnelError) -> Retry | None:
        """What to do about a failure; None: refused for good, stop.

        Args:
            cause: why the connection could not be made, or why it ended.
        """
        if isinstance(cause, RegistrationError) and not (
            cause.retryable or isinstance(cause, DuplicateConnection)
        ):
            return None
        highest = min(_FIRST_WAIT * 2**self._retries, _LONGEST_WAIT)
        self._retries += 1
        after = self._rng.uniform(0, highest)
        if isinstance(cause, RegistrationError) and cause.retry_after:
            after = cause.retry_after
        rotate = isinstance(cause, DialError | DuplicateConnection) or (
            isinstance(cause, ConnectionLost) and cause.idle
        )
        return Retry(after=after, rotate=rotate)


_FIRST_WAIT = 1.0  # s; the upper bound of the first wait, doubled for each further one
_LONGEST_WAIT = 30.0  # s
