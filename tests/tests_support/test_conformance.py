"""How scripts/conformance judges; the suites themselves are run by it alone."""

import json
import sys

import pytest

from conformance.__main__ import conclude
from conformance.autobahn import BASELINE, find_python, judge
from conformance.results import NotRun, Result, table

BEFORE = {"1.1": ["OK", "OK"], "1.2": ["NON-STRICT", "OK"], "7.1.5": ["FAILED", "WRONG CODE"]}


@pytest.mark.parametrize(
    ("case", "now", "regressions"),
    [
        ("1.1", ["NON-STRICT", "OK"], []),
        ("1.2", ["OK", "OK"], []),
        ("7.1.5", ["OK", "OK"], []),
        ("1.1", ["FAILED", "OK"], ["case 1.1: FAILED / OK, was OK / OK"]),
        ("1.1", ["OK", "UNCLEAN"], ["case 1.1: OK / UNCLEAN, was OK / OK"]),
        ("1.2", None, ["case 1.2: DID NOT RUN / DID NOT RUN, was NON-STRICT / OK"]),
    ],
)
def test_only_what_got_worse_is_a_regression(case, now, regressions):
    """A case that fails, closes badly or does not run is one, unless it did so before."""
    outcomes = {**BEFORE, case: now}
    if now is None:
        del outcomes[case]
    result = judge(BEFORE, outcomes, 1000)

    assert result.regressions == regressions
    assert result.passed + result.failed == len(BEFORE)


def test_a_failure_from_before_is_counted_and_explained():
    """What always failed is a failure in the table, and no regression."""
    result = judge(BEFORE, BEFORE, 200)
    assert (result.passed, result.failed, result.regressions) == (2, 1, [])
    assert "7.1.5" in result.note
    assert "200 messages" in result.note


def test_the_baseline_fails_where_the_library_says_so_alone():
    """Of the 517 cases of the groups in use, only 7.1.5 may fail."""
    baseline = json.loads(BASELINE.read_text())
    assert len(baseline) == 517
    groups = sorted({int(case.partition(".")[0]) for case in baseline})
    assert groups == [1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13]
    assert [case for case, (behaviour, _) in baseline.items() if behaviour == "FAILED"] == ["7.1.5"]


def test_without_python_2_it_says_where_it_looked():
    """A machine without Python 2.7, and one whose AUTOBAHN_PYTHON is none, are told."""
    for environ in ({"PATH": ""}, {"PATH": "", "AUTOBAHN_PYTHON": sys.executable}):
        with pytest.raises(NotRun, match="AUTOBAHN_PYTHON"):
            find_python(environ)


@pytest.mark.parametrize(
    ("regressions", "missing", "status"),
    [([], [], 0), (["worse"], [], 1), (["worse"], ["absent"], 1), ([], ["absent"], 2)],
)
def test_the_exit_status(regressions, missing, status, capsys):
    """1 after a regression, else 2 when something could not run, else 0; each is named."""
    assert conclude([Result("a suite", 3, 1, regressions)], missing) == status
    printed = capsys.readouterr().out
    assert "| a suite | 3 | 1 |" in printed
    assert all(word in printed for word in regressions + missing)


def test_the_table_is_markdown():
    """One row for each suite, under a head."""
    assert table([Result("a", 1, 0), Result("b", 2, 3, note="so")]).splitlines() == [
        "| suite | passed | failed | |",
        "|---|---|---|---|",
        "| a | 1 | 0 |  |",
        "| b | 2 | 3 | so |",
    ]
