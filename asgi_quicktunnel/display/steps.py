"""The way up, step by step, read off the events. Pure: the time is handed in."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from asgi_quicktunnel.events import (
    Dialled,
    Discovered,
    Event,
    Provisioned,
    Registered,
    TunnelReady,
)

__all__ = ["Step", "StepDone", "Steps"]


class Step(enum.Enum):
    """What has to happen until the URL works, in this order."""

    PROVISION = "asking the service for a tunnel"
    DISCOVER = "looking the edge up"
    CONNECT = "connecting to the edge"
    REGISTER = "registering the connection"
    REACH = "proving that the URL works"


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step that is behind us.

    Attributes:
        detail: what came of it.
        elapsed: seconds.
    """

    step: Step
    detail: str
    elapsed: float


class Steps:
    """Where a tunnel is on its way.

    Attributes:
        done: steps behind us, in order.
        current: the step under way; None at the end.
        url: the public one, as soon as it is known.
        colo: the site of the first connection, "" before.
        protocol: what carries it, "" before.
    """

    def __init__(self) -> None:
        self.done: list[StepDone] = []
        self.url = ""
        self.colo = ""
        self.protocol = ""
        self._next = 0
        self._dial = 0.0  # seconds that it took
        self._registered_at = 0.0

    @property
    def current(self) -> Step | None:
        """The step under way; None at the end."""
        return _ORDER[self._next] if self._next < len(_ORDER) else None

    def on_event(self, event: Event, *, now: float) -> StepDone | None:
        """Hear of an event; the step that it completes, if any. A new tunnel begins anew.

        A step completes those before it: who takes a tunnel over from another process does not
        ask for one.
        """
        if isinstance(event, Provisioned):
            self._next = 0
            self.colo = self.protocol = ""
            self.done.clear()
        done = self._read(event, now)
        if done is None or _ORDER.index(done.step) < self._next:
            return None  # of a further connection, or of one that comes back
        self._next = _ORDER.index(done.step) + 1
        self.done.append(done)
        return done

    def _read(self, event: Event, now: float) -> StepDone | None:
        match event:
            case Provisioned(url, elapsed):
                self.url = url
                return StepDone(Step.PROVISION, url, elapsed)
            case Discovered(addresses, elapsed):
                return StepDone(Step.DISCOVER, _count(len(addresses), "address"), elapsed)
            case Dialled(_, address, protocol, elapsed):
                if not self.protocol:
                    self.protocol, self._dial = protocol, elapsed
                return StepDone(Step.CONNECT, f"{address} over {protocol.upper()}", elapsed)
            case Registered(_, _, registration, elapsed):
                if not self.colo:
                    self.colo, self._registered_at = registration.colo, now
                return StepDone(Step.REGISTER, registration.colo, elapsed - self._dial)
            case TunnelReady(url=url, doubt=doubt):
                detail = "a request came back" if doubt is None else "not proved from here"
                self.url = url
                return StepDone(Step.REACH, detail, now - self._registered_at)
        return None


_ORDER = list(Step)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}es"
