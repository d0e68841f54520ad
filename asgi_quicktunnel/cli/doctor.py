"""`doctor`: why is there no tunnel?"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from asgi_quicktunnel.cli.options import export, tunnel_options
from asgi_quicktunnel.cli.outcome import FAILED, log_to_standard_error, run_to_end
from asgi_quicktunnel.config import PACKAGE_VERSION, TunnelConfig
from asgi_quicktunnel.doctor.examination import examine
from asgi_quicktunnel.doctor.findings import Finding, Verdict, is_healthy, judge

__all__ = ["command"]


def _doctor(deep: bool, as_json: bool, **values: Any) -> None:
    log_to_standard_error()
    export(values)
    run_to_end(lambda: _examine(deep=deep, as_json=as_json))


async def _examine(*, deep: bool, as_json: bool) -> int:
    config = TunnelConfig.from_env(os.environ)
    with Console(stderr=True).status("checking .."):  # seen at a terminal alone
        findings = judge(await examine(config, os.environ, deep=deep))
    if as_json:
        click.echo(json.dumps(_as_object(findings), indent=2))
    else:
        _print(findings)
    return 0 if is_healthy(findings) else FAILED


def _as_object(findings: Sequence[Finding]) -> dict[str, Any]:
    checks = [{**dataclasses.asdict(each), "verdict": each.verdict.value} for each in findings]
    return {"version": PACKAGE_VERSION, "ok": is_healthy(findings), "checks": checks}


def _print(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        took = "" if finding.elapsed is None else f" ({finding.elapsed:.2f} s)"
        line = Text(f"{finding.verdict.value} ", style=_STYLES[finding.verdict])
        line.append(f" {finding.check:<{width}}  ", style="bold")
        line.append(f"{finding.found}{took}", style="default")
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"{'':<{width + 8}}{finding.advice}", "dim"), soft_wrap=True)
    healthy = "nothing stands in the way of a tunnel"
    console.print(healthy if is_healthy(findings) else "a tunnel can't work like this")


_STYLES = {
    Verdict.PASS: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
}
_HELPFUL = (
    *("service_url", "edge", "edge_ip_version", "nameservers"),
    *("ca_file", "engine", "user_agent", "handshake_timeout"),
)

command = click.Command(
    "doctor",
    callback=_doctor,
    params=[
        click.Option(
            ["--deep"], is_flag=True, help="Open a tunnel too, and prove that its URL works."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
        *tunnel_options(only=_HELPFUL),
    ],
    help="""Check what a tunnel needs, and say what to do where something is missing.

    Exit status 0 when nothing stands in the way of a tunnel, 1 when something does. PASS is as it
    should be; WARN is not, but a tunnel works all the same; FAIL is in its way; SKIP could not or
    need not be checked. Without --deep no tunnel is asked for.
    """,
)
