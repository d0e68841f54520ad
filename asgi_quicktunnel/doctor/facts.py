"""What the probes of the doctor found. Nothing here says whether that is good."""

from __future__ import annotations

from dataclasses import dataclass

from asgi_quicktunnel.model import EdgeAddress

__all__ = [
    "Deep",
    "EdgeAnswer",
    "Facts",
    "Lookup",
    "PortAnswer",
    "ServiceAnswer",
]


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What the service said to a request that gives no tunnel away.

    Attributes:
        elapsed: seconds.
        status: HTTP status, None without an answer.
        clock_offset: seconds that our clock is ahead of the service's, to a second or so; None
            where the answer had no date.
        failure: what was asked, why there was no answer, and what may help; "" otherwise.
    """

    elapsed: float
    status: int | None = None
    clock_offset: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One way of asking for the edge's SRV records.

    Attributes:
        resolver: whom, as `discovery.RESOLVERS` calls it.
        elapsed: seconds.
        targets: host and port of each region; empty after a failure.
        failure: what came back instead.
    """

    resolver: str
    elapsed: float
    targets: tuple[tuple[str, int], ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """How one edge address took a QUIC handshake.

    Attributes:
        elapsed: seconds.
        was_heard: whether anything came back over UDP.
        is_trusted: whether its certificate was accepted; None if that was not learned.
        has_route: whether this machine can send to such an address at all.
        failure: "" when the handshake was completed.
    """

    address: EdgeAddress
    elapsed: float
    was_heard: bool
    is_trusted: bool | None = None
    has_route: bool = True
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PortAnswer:
    """How one edge address took a TCP connection; attributes as in `EdgeAnswer`."""

    address: EdgeAddress
    elapsed: float
    has_route: bool = True
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Deep:
    """What became of a whole tunnel.

    Attributes:
        elapsed: seconds from the start until the URL worked, or until it was given up.
        url: the public one, None without one.
        colo: the site that registered it.
        doubt: why the URL could not be proved to work; None when a request came back.
        failure: why there was no tunnel, "" otherwise.
    """

    elapsed: float
    url: str | None = None
    colo: str = ""
    doubt: str | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found out.

    Attributes:
        versions: what is at work here, as a sentence.
        proxies: names of proxy variables that are set, with their values less user and password.
        service: what the service said.
        lookups: one for each resolver; empty when the edge's addresses were given.
        addressing_failure: why no address could be found, "" otherwise.
        quic: by address.
        tcp: by address.
        trusts: what certificates are checked against, as a few words.
        deep: None if it was not asked for.
    """

    versions: str
    service: ServiceAnswer
    trusts: str
    proxies: tuple[tuple[str, str], ...] = ()
    lookups: tuple[Lookup, ...] = ()
    addressing_failure: str = ""
    quic: tuple[EdgeAnswer, ...] = ()
    tcp: tuple[PortAnswer, ...] = ()
    deep: Deep | None = None
