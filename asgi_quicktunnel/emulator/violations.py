"""What connectors did wrong, kept for tests and operators to read."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

__all__ = ["Report", "Rule", "Violation", "Violations"]

logger = logging.getLogger(__name__)


class Rule(enum.Enum):
    """The rules a connector has to keep; the values are what a reader sees."""

    SERVER_NAME = "the server name is quic.cftunnel.com (protocol.md §3)"
    DATAGRAM_SIZE = "datagrams are small enough for every path: protocol.md §4"
    CONTROL_STREAM = "stream 0 carries RPC and stays open while the connection lasts (§5.1)"
    CLIENT_STREAM = "a connector opens no stream beside 0, RPC ones excepted (§4, §7.1)"
    RPC = "RPC messages are well-formed (§5.1)"
    REGISTRATION = "a connection registers once, with a whole and truthful identity (§5.5)"
    CONFIGURATION = "the local configuration is a JSON object, sent for index 0 (§5.8)"
    UNREGISTERED = "a connection that unregistered calls nothing more (§5.9)"
    ANSWER_HEAD = "an answer begins with one well-formed ConnectResponse (§6.3)"
    STATUS = "the status fits the request: no 1xx but 101, and 101 to WebSocket alone (§6.3)"
    HEADER = "header values are printable (RFC 9110 §5.5)"
    HOP_BY_HOP = "hop-by-hop headers stay with the connection they came on (RFC 9110 §7.6.1)"
    UPGRADE = "101 names the upgrade and proves it by Sec-WebSocket-Accept (§6.6)"
    BODY_FORBIDDEN = "HEAD, 204, 304 and error replies have no body (§6.3, §6.4)"
    BODY_LENGTH = "a body is as long as its Content-Length (RFC 9112 §6.3)"
    UNANSWERED = "every request is answered before the connection is closed (§5.9)"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken once.

    Attributes:
        rule: which.
        detail: what came instead.
        connection: the edge's running number of the connection, 0 for what belongs to none.
        stream_id: the stream it happened on, or None.
    """

    rule: Rule
    detail: str
    connection: int = 0
    stream_id: int | None = None

    def __str__(self) -> str:
        place = f"connection {self.connection}"
        if self.stream_id is not None:
            place += f", stream {self.stream_id}"
        return f"{place}: {self.detail}; the rule: {self.rule.value}"


class Report(Protocol):
    """How the parts of the edge tell of a violation."""

    def __call__(self, rule: Rule, detail: str) -> None:
        """Record that the rule was broken."""
        ...


class Violations(Sequence[Violation]):
    """The first `KEPT` violations in order of discovery, and how many there were in all.

    Attributes:
        total: grows also where nothing more is kept.
    """

    def __init__(self) -> None:
        self.total = 0
        self._kept: list[Violation] = []

    def record(
        self, rule: Rule, detail: str, *, connection: int = 0, stream_id: int | None = None
    ) -> None:
        """Keep one, and log it: in stand-alone use the log is what people see."""
        violation = Violation(rule, detail[:MAX_DETAIL], connection, stream_id)
        self.total += 1
        if len(self._kept) < KEPT:
            self._kept.append(violation)
            logger.warning("the connector broke a rule: %s", violation)

    def of(self, rule: Rule) -> list[Violation]:
        """Those of one rule."""
        return [violation for violation in self._kept if violation.rule is rule]

    def clear(self) -> None:
        """Forget them all: what is recorded from now on is news."""
        self._kept.clear()
        self.total = 0

    @overload
    def __getitem__(self, index: int) -> Violation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Violation]: ...
    def __getitem__(self, index: int | slice) -> Violation | list[Violation]:
        return self._kept[index]

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Violation]:
        return iter(self._kept)

    def __repr__(self) -> str:
        return f"<Violations {[str(violation) for violation in self._kept]}>"


KEPT = 1000  # a hostile connector must not fill memory
MAX_DETAIL = 300  # characters
