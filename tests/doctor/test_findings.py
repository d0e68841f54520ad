"""What the facts mean."""

from dataclasses import replace

import pytest

from asgi_quicktunnel.doctor.facts import (
    Deep,
    EdgeAnswer,
    Facts,
    Lookup,
    PortAnswer,
    ServiceAnswer,
)
from asgi_quicktunnel.doctor.findings import Verdict, is_healthy, judge
from asgi_quicktunnel.model import EdgeAddress

PASS, WARN, FAIL, SKIP = Verdict

FOUR = EdgeAddress("198.51.100.7", 7844, 0)
SPARE = EdgeAddress("198.51.100.8", 7844, 0)
OTHER = EdgeAddress("203.0.113.7", 7844, 1)
SIX = EdgeAddress("2001:db8::7", 7844, 0)
TARGETS = (("region1.v2.argotunnel.com", 7844), ("region2.v2.argotunnel.com", 7844))

HEARD = EdgeAnswer(FOUR, 0.05, was_heard=True, is_trusted=True)
SILENT = EdgeAnswer(FOUR, 5.0, was_heard=False, failure="no answer from 198.51.100.7 within 5 s")
REFUSED = replace(HEARD, is_trusted=False, failure="unknown CA")

GOOD = Facts(
    versions="all of them",
    service=ServiceAnswer(0.2, 405, 0.4),
    trusts="the usual",
    lookups=(
        Lookup("the system's resolver", 0.02, TARGETS),
        Lookup("1.1.1.1 over TLS", 0.1, TARGETS),
    ),
    quic=(HEARD, replace(HEARD, address=OTHER)),
    tcp=(PortAnswer(FOUR, 0.02), PortAnswer(OTHER, 0.02)),
)


def verdict(check, **facts):
    """The finding of one check when these facts differ from what is good."""
    (finding,) = (each for each in judge(replace(GOOD, **facts)) if each.check == check)
    return finding


def test_where_all_is_well_everything_passes():
    """Each check is there, in the order in which a tunnel needs it, and advises nothing."""
    findings = judge(replace(GOOD, deep=Deep(2.0, "https://x.trycloudflare.com", "lis01")))
    assert [finding.check for finding in findings] == [
        "versions",
        "proxy",
        "service",
        "clock",
        "srv",
        "srv over TLS",
        "UDP region 1 IPv4",
        "UDP region 2 IPv4",
        "TCP region 1 IPv4",
        "TCP region 2 IPv4",
        "certificate",
        "tunnel",
    ]
    assert {finding.verdict for finding in findings} == {PASS}
    assert {finding.advice for finding in findings} == {""}
    assert is_healthy(findings)


@pytest.mark.parametrize(
    ("check", "facts", "expected", "found", "advice"),
    [
        ("proxy", {"proxies": (("HTTPS_PROXY", "http://p:1"),)}, WARN, "HTTPS_PROXY=", "NO_PROXY"),
        ("service", {"service": ServiceAnswer(1, failure="a; b")}, FAIL, "a", "b"),
        ("service", {"service": ServiceAnswer(1, 429)}, WARN, "429", "wait"),
        ("service", {"service": ServiceAnswer(1, 503)}, FAIL, "503", "later"),
        ("service", {"service": ServiceAnswer(1, 200)}, WARN, "200", "service_url"),
        ("clock", {"service": ServiceAnswer(1, 405, None)}, SKIP, "no time", ""),
        ("clock", {"service": ServiceAnswer(1, 405, 59)}, PASS, "agrees", ""),
        ("clock", {"service": ServiceAnswer(1, 405, -600)}, WARN, "600 s behind", "NTP"),
        ("clock", {"service": ServiceAnswer(1, 405, 1e6)}, FAIL, "ahead of", "NTP"),
        ("srv", {"lookups": ()}, SKIP, "given", ""),
        (
            "srv",
            {"lookups": (Lookup("a", 1, failure="refused"), GOOD.lookups[1])},
            WARN,
            "refused",
            "nothing",
        ),
        (
            "srv over TLS",
            {"lookups": (Lookup("a", 1, failure="x"), Lookup("b", 1, failure="y"))},
            FAIL,
            "y",
            "853",
        ),
        ("addresses", {"addressing_failure": "none at all"}, FAIL, "none at all", "DNS"),
        ("UDP region 1 IPv4", {"quic": (SILENT,)}, FAIL, "no answer from", "UDP port 7844"),
        (
            "UDP region 1 IPv4",
            {"quic": (SILENT, replace(SILENT, address=SPARE))},
            FAIL,
            "nor from 198.51.100.8:7844",
            "firewall",
        ),
        (
            "UDP region 1 IPv4",
            {"quic": (SILENT, replace(HEARD, address=OTHER))},
            WARN,
            "no answer",
            "meanwhile",
        ),
        (
            "UDP region 1 IPv4",
            {"quic": (SILENT, replace(HEARD, address=SPARE))},
            PASS,
            "198.51.100.8",
            "",
        ),
        (
            "UDP region 1 IPv6",
            {"quic": (HEARD, replace(SILENT, address=SIX, has_route=False, failure="no net"))},
            SKIP,
            "no route",
            "",
        ),
        (
            "UDP region 1 IPv4",
            {"quic": (replace(SILENT, has_route=False, failure="no net"),)},
            FAIL,
            "no route",
            "network",
        ),
        ("UDP region 1 IPv4", {"quic": (REFUSED,)}, PASS, "answered", ""),
        (
            "UDP region 1 IPv4",
            {"quic": (replace(HEARD, is_trusted=None, failure="no such ALPN"),)},
            FAIL,
            "no such ALPN",
            "newer",
        ),
        ("TCP region 1 IPv4", {"tcp": (PortAnswer(FOUR, 1, failure="x"),)}, WARN, "x", "nothing"),
        (
            "TCP region 1 IPv6",
            {"tcp": (PortAnswer(SIX, 0, has_route=False, failure="no net"),)},
            SKIP,
            "no route",
            "",
        ),
        ("certificate", {"quic": (SILENT,)}, SKIP, "no edge server", ""),
        ("certificate", {"quic": (HEARD, REFUSED)}, FAIL, "unknown CA", "ca_file"),
        ("tunnel", {"deep": Deep(3.0, failure="no tunnel")}, FAIL, "no tunnel", "above"),
        ("tunnel", {"deep": Deep(3.0, "https://x", "lis01", "not proved")}, WARN, "not", "browser"),
    ],
)
def test_what_is_wrong_is_judged_and_advised_on(check, facts, expected, found, advice):
    """What keeps a tunnel from working fails, the rest warns; what can be done is said."""
    finding = verdict(check, **facts)
    assert finding.verdict is expected
    assert found in finding.found
    assert advice in finding.advice
    assert bool(finding.advice) is (expected in (WARN, FAIL))


def test_warnings_stand_in_nobodys_way():
    """One failure is enough, no number of warnings is."""
    assert is_healthy(judge(replace(GOOD, tcp=(PortAnswer(FOUR, 1, failure="x"),))))
    assert not is_healthy(judge(replace(GOOD, quic=(SILENT,))))
