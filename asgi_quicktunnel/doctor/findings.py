"""What the facts mean, and what to do about them. Pure: nothing here asks anybody."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from asgi_quicktunnel.doctor.facts import (
    Deep,
    EdgeAnswer,
    Facts,
    Lookup,
    PortAnswer,
    ServiceAnswer,
)

__all__ = ["Finding", "Verdict", "is_healthy", "judge"]


class Verdict(enum.Enum):
    """What a check came to.

    PASS: as it should be. WARN: a tunnel works all the same, or may. FAIL: no tunnel works like
    this. SKIP: there was nothing to check, and the finding says why.
    """

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        check: its name; stable, for programs.
        found: what was tried and what came back.
        elapsed: seconds that it took, None where nothing was waited for.
        advice: what to do, "" when there is nothing to do.
    """

    check: str
    verdict: Verdict
    found: str
    elapsed: float | None = None
    advice: str = ""


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing stands in the way of a tunnel."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)


def judge(facts: Facts) -> list[Finding]:
    """Each check with its verdict, in the order in which a tunnel needs them."""
    findings = [
        Finding("versions", Verdict.PASS, facts.versions),
        _proxies(facts.proxies),
        _service(facts.service),
        _clock(facts.service),
        *_lookups(facts),
        *_quic(facts.quic),
        *_tcp(facts.tcp),
        _certificates(facts),
    ]
    if facts.deep is not None:
        findings.append(_deep(facts.deep))
    return findings


def _proxies(proxies: Sequence[tuple[str, str]]) -> Finding:
    if not proxies:
        return Finding("proxy", Verdict.PASS, "no proxy variable is set")
    named = ", ".join(f"{name}={value}" for name, value in proxies)
    return Finding(
        "proxy",
        Verdict.WARN,
        f"the service is asked by way of a proxy: {named}",
        advice="the tunnel itself goes to the edge directly, whatever these say; if the service "
        "check fails, try NO_PROXY with its host",
    )


def _service(service: ServiceAnswer) -> Finding:
    verdict, found, advice = Verdict.PASS, f"the service answered {service.status}", ""
    if service.status is None:
        found, _, advice = service.failure.partition("; ")  # errors end with what may help
        verdict = Verdict.FAIL
    elif service.status == METHOD_NOT_ALLOWED:
        found += " to a GET, as it should; no tunnel was used up"
    elif service.status == TOO_MANY:
        verdict, advice = Verdict.WARN, "too many tunnels were asked for from here; wait a while"
    elif service.status >= 500:
        verdict, advice = Verdict.FAIL, "the service has trouble of its own; try again later"
    else:
        verdict = Verdict.WARN
        advice = f"a service of quick tunnels answers {METHOD_NOT_ALLOWED}; check service_url"
    return Finding("service", verdict, found, service.elapsed, advice)


def _clock(service: ServiceAnswer) -> Finding:
    offset = service.clock_offset
    if offset is None:
        return Finding("clock", Verdict.SKIP, "the service told no time to compare with")
    if abs(offset) <= CLOCK_TOLERANCE:
        return Finding("clock", Verdict.PASS, "it agrees with the service's to a few seconds")
    found = f"it is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the service's"
    verdict = Verdict.FAIL if abs(offset) > CLOCK_LIMIT else Verdict.WARN
    return Finding(
        "clock", verdict, found, advice="set the clock: certificates are judged by it (use NTP)"
    )


def _lookups(facts: Facts) -> Iterator[Finding]:
    if not facts.lookups:
        yield Finding("srv", Verdict.SKIP, "the edge's addresses were given: DNS is not asked")
    some_worked = any(lookup.targets for lookup in facts.lookups)
    for number, lookup in enumerate(facts.lookups):
        yield _lookup("srv" if number == 0 else "srv over TLS", lookup, some_worked)
    if facts.addressing_failure and (some_worked or not facts.lookups):
        yield Finding(
            "addresses",
            Verdict.FAIL,
            facts.addressing_failure,
            advice="check DNS and the options edge and edge_ip_version",
        )


def _lookup(check: str, lookup: Lookup, some_worked: bool) -> Finding:
    asked = f"SRV records of the edge from {lookup.resolver}"
    if lookup.targets:
        found = ", ".join(f"{host}:{port}" for host, port in lookup.targets)
        return Finding(check, Verdict.PASS, f"{asked}: {found}", lookup.elapsed)
    verdict = Verdict.WARN if some_worked else Verdict.FAIL
    advice = (
        "nothing, while the other way works"
        if some_worked
        else "check DNS and the firewall (UDP and TCP port 53, TCP port 853), or give addresses "
        'with the option edge="host:port,host:port"'
    )
    return Finding(check, verdict, f"{asked}: {lookup.failure}", lookup.elapsed, advice)


def _quic(answers: Sequence[EdgeAnswer]) -> Iterator[Finding]:
    some_worked = any(answer.was_heard for answer in answers)
    some_routed = any(answer.has_route for answer in answers)
    for group, members in _grouped(answers):
        best = min(members, key=lambda answer: (not answer.was_heard, bool(answer.failure)))
        check, port = f"UDP {group}", best.address.port
        if best.was_heard and (not best.failure or best.is_trusted is False):
            verdict, advice = Verdict.PASS, ""
            found = f"{best.address} answered a QUIC handshake"
        elif best.was_heard:
            verdict, advice = Verdict.FAIL, "a newer version of this package may get along with it"
            found = f"{best.address} broke a QUIC handshake off: {best.failure}"
        elif not best.has_route:
            verdict, advice = Verdict.SKIP, ""
            found = f"this machine has no route to {best.address}: {best.failure}"
            if not some_routed:
                verdict, advice = Verdict.FAIL, "connect this machine to a network"
        else:
            verdict = Verdict.WARN if some_worked else Verdict.FAIL
            found = f"{best.failure}{_nor(members[1:])}"
            advice = f"let UDP port {port} out of the firewall; some networks and VPNs block it" + (
                " (the tunnel uses the other addresses meanwhile)" if some_worked else ""
            )
        yield Finding(check, verdict, found, best.elapsed, advice)


def _tcp(answers: Sequence[PortAnswer]) -> Iterator[Finding]:
    for group, members in _grouped(answers):
        best = min(members, key=lambda answer: bool(answer.failure))
        check = f"TCP {group}"
        if not best.failure:
            found = f"{best.address} took a connection"
            yield Finding(check, Verdict.PASS, found, best.elapsed)
        elif not best.has_route:
            found = f"this machine has no route to {best.address}: {best.failure}"
            yield Finding(check, Verdict.SKIP, found, best.elapsed)
        else:
            yield Finding(
                check,
                Verdict.WARN,
                f"{best.address} took no connection: {best.failure}{_nor(members[1:])}",
                best.elapsed,
                "nothing, while UDP works: tunnels of this version use QUIC alone",
            )


def _certificates(facts: Facts) -> Finding:
    learned = [answer for answer in facts.quic if answer.is_trusted is not None]
    if not learned:
        return Finding("certificate", Verdict.SKIP, "no edge server showed one")
    refused = next((answer for answer in learned if not answer.is_trusted), None)
    if refused is None:
        found = f"the edge's is accepted ({facts.trusts})"
        return Finding("certificate", Verdict.PASS, found)
    return Finding(
        "certificate",
        Verdict.FAIL,
        f"that of {refused.address} is not accepted ({facts.trusts}): {refused.failure}",
        advice="check the clock and the option ca_file; where a proxy inspects TLS, it has to let "
        "the edge's connections through",
    )


def _deep(deep: Deep) -> Finding:
    if deep.failure:
        return Finding(
            "tunnel",
            Verdict.FAIL,
            deep.failure,
            deep.elapsed,
            "the failures above, if any, are the likely cause; otherwise try again later",
        )
    found = f"registered at {deep.colo}; {deep.url}"
    if deep.doubt is None:
        return Finding("tunnel", Verdict.PASS, f"{found} brought a request back", deep.elapsed)
    return Finding(
        "tunnel",
        Verdict.WARN,
        f"{found} was {deep.doubt}",
        deep.elapsed,
        "it may work all the same; open it in a browser, or set the option nameservers",
    )


_Answer = TypeVar("_Answer", EdgeAnswer, PortAnswer)


def _grouped(answers: Sequence[_Answer]) -> Iterator[tuple[str, list[_Answer]]]:
    """The answers of each region and address family, with a name for them."""

    def place(answer: _Answer) -> tuple[int, int]:
        return answer.address.region, answer.address.family

    for (region, family), members in groupby(sorted(answers, key=place), place):
        yield f"region {region + 1} IPv{family}", list(members)


def _nor(others: Iterable[EdgeAnswer | PortAnswer]) -> str:
    return "".join(f", nor from {other.address}" for other in others)


METHOD_NOT_ALLOWED = 405  # protocol.md §1: GET of the service
TOO_MANY = 429  # protocol.md §1
CLOCK_TOLERANCE = 60.0  # s; the date of an answer is whole seconds old, and travels
CLOCK_LIMIT = 86400.0  # s; certificates are commonly dated back by a day, and renewed long before
