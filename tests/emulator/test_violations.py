"""The record of violations."""

import logging

from asgi_quicktunnel.emulator.violations import Rule, Violation, Violations


def test_violations_are_kept_in_order(caplog):
    """What was recorded is read like a list, and logged."""
    violations = Violations()
    assert not violations
    with caplog.at_level(logging.WARNING):
        violations.record(Rule.RPC, "nonsense", connection=2)
        violations.record(Rule.HEADER, "odd", connection=2, stream_id=5)
    assert list(violations) == [
        Violation(Rule.RPC, "nonsense", 2),
        Violation(Rule.HEADER, "odd", 2, 5),
    ]
    assert violations[0].rule is Rule.RPC
    assert violations[1:] == [violations[1]]
    assert violations.of(Rule.HEADER) == [violations[1]]
    assert "connection 2, stream 5: odd" in str(violations[1])
    assert "odd" in repr(violations)
    assert "nonsense" in caplog.text


def test_memory_is_bounded():
    """Of more than a thousand, the first are kept and the others counted; details are short."""
    violations = Violations()
    for number in range(1500):
        violations.record(Rule.RPC, f"{number}" + "x" * 1000)
    assert len(violations) == 1000
    assert violations.total == 1500
    assert len(violations[0].detail) == 300
    violations.clear()
    assert (len(violations), violations.total) == (0, 0)
