"""Suites that others wrote, or would have written: python -m conformance [--full] [SUITE ...]

Ends with 0 when all is as it was, with 1 after a regression, with 2 when a suite could not run.
"""

import argparse
import asyncio
import datetime
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

from conformance import autobahn, schema
from conformance.results import NotRun, Result, table

FOLDER = Path(__file__).parent
FRAMEWORKS = ("starlette", "fastapi", "quart", "litestar")
PARTIES = ("asgi-quicktunnel", "aioquic", "websockets", "uvicorn")


def main():
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=__doc__.split(":")[0])
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(SUITES)}; all by default"
    )
    parser.add_argument(
        "--full", action="store_true", help="as many messages in Autobahn's cases as it intends"
    )
    options = parser.parse_args()
    if unknown := set(options.suites) - SUITES.keys():
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    results, missing = [], []
    for name in options.suites or SUITES:
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            results.append(SUITES[name](options))
        except NotRun as exc:
            missing.append(f"{name}: {exc}")
    return conclude(results, missing)


def conclude(results, missing):
    """Print the table and what went wrong; the exit status."""
    regressions = [f"{it.suite}: {line}" for it in results for line in it.regressions]
    versions = ", ".join(f"{name} {version(name)}" for name in PARTIES)
    print(f"\n{datetime.date.today()}, Python {platform.python_version()}, {versions}\n")
    print(table(results))
    for line in regressions:
        print(f"regression: {line}")
    for line in missing:
        print(f"not run: {line}")
    if regressions:
        return 1
    return 2 if missing else 0


def run_tests(file, suite):
    """Run a file of tests with pytest; those with uvicorn as their parameter are the control."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", FOLDER / file]
        subprocess.run(command, stdout=sys.stderr)
        cases = list(ElementTree.parse(report).iter("testcase"))
    names = {case.get("name") for case in cases}
    failed = {case.get("name") for case in cases if len(case)}  # also skipped ones: none should be
    control = {name for name in names if "[uvicorn" in name}
    return Result(
        suite,
        passed=len(names - control - failed),
        failed=len(failed - control),
        regressions=sorted(failed),
        note=f"uvicorn itself: {len(control - failed)} of {len(control)}" if control else "",
    )


def run_frameworks(_options):
    names = ", ".join(f"{name} {version(name)}" for name in FRAMEWORKS)
    return run_tests("test_frameworks.py", f"the same answers as from plain uvicorn: {names}")


SUITES = {
    "http": lambda _: run_tests("test_http.py", "HTTP behaviours of uvicorn's own tests"),
    "websocket": lambda _: run_tests(
        "test_websocket.py", "WebSocket behaviours of uvicorn's own tests"
    ),
    "frameworks": run_frameworks,
    "schema": lambda _: asyncio.run(schema.run()),
    "autobahn": lambda options: asyncio.run(autobahn.run(full=options.full)),
}

if __name__ == "__main__":
    sys.exit(main())
