"""What a suite has to say, and the table of it."""

from dataclasses import dataclass, field


class NotRun(Exception):
    """A suite can't run on this machine; the text says why."""


@dataclass
class Result:
    """The outcome of one suite.

    Attributes:
        suite: its name and version.
        passed: how many of its cases passed.
        failed: how many did not.
        regressions: what should have passed, one line each; nothing when all is as it was.
        note: about the figures.
    """

    suite: str
    passed: int
    failed: int
    regressions: list[str] = field(default_factory=list)
    note: str = ""


def table(results):
    """The results in Markdown."""
    rows = ["| suite | passed | failed | |", "|---|---|---|---|"]
    rows += [f"| {r.suite} | {r.passed} | {r.failed} | {r.note} |" for r in results]
    return "\n".join(rows)
