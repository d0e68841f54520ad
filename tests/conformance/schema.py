"""schemathesis against the FastAPI example, which uvicorn serves with its tunnel."""

import asyncio
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from asgi_quicktunnel.emulator import LocalEdge

from conformance.results import Result
from tests_support.served import served

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi"
SETTINGS = Path(__file__).with_name("schemathesis.toml")


async def run():
    """Generate requests from the example's schema and check the answers."""
    options = ("--app-dir", EXAMPLE, "--port", "0", "--log-level", "warning")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        async with LocalEdge() as edge, served(edge, "uvicorn", *options, "main:app"):
            await _run_schemathesis(edge, report)
            violations = [f"the edge saw a violation: {it}" for it in edge.violations]
        facts = json.loads(report.read_text())
    cases, failures = facts["test_cases"], facts["failures"] + facts["errors"]
    regressions = [f"{it['title']}: {', '.join(it['operations'])}" for it in failures]
    if facts["operations"]["tested"] != facts["operations"]["total"]:
        regressions.append(f"not every operation was tested: {facts['operations']}")
    return Result(
        f"schemathesis {version('schemathesis')}, the FastAPI example",
        passed=cases["generated"] - cases["with_failures"],
        failed=cases["with_failures"],
        regressions=regressions + violations,
        note=f"{facts['operations']['tested']} operations",
    )


async def _run_schemathesis(edge, report):
    host = edge.url_for("").partition("//")[2]
    ip, port = edge.address
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("schemathesis"), "--config-file", SETTINGS),
        # Many resolvers don't know .localhost, so the address takes the name's place.
        *("run", f"http://{ip}:{port}/openapi.json", "--header", f"Host: {host}"),
        *("--seed", "1", "--report", "json", "--report-json-path", report),
        cwd=report.parent,  # it leaves a folder of its own behind
        stdout=sys.stderr,
    )
    await process.wait()
