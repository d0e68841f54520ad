"""The steps of the proof, and how one of them fails."""

from __future__ import annotations

import enum

__all__ = ["NotProved", "Step"]


class Step(enum.Enum):
    """What has to work for the URL to work; in this order."""

    NAMESERVERS = "finding the nameservers"
    NAME = "asking the nameservers for the name"
    REQUEST = "the request to the address"


class NotProved(Exception):  # noqa: N818 - it is no error, and never leaves this package
    """A step brought no proof.

    Attributes:
        step: which one.
        reason: what was tried and what came back, without a final stop.
        is_final: whether trying again can't change it.
    """

    def __init__(self, step: Step, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.step = step
        self.reason = reason
        self.is_final = is_final
