"""`run`: uvicorn with the app wrapped, in whichever process serves it."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click
from uvicorn.config import LOGGING_CONFIG
from uvicorn.main import main as uvicorn_command

from asgi_quicktunnel.cli.assignment import Assignment
from asgi_quicktunnel.cli.child import APP
from asgi_quicktunnel.cli.options import (
    display_options,
    export,
    take_display_settings,
    tunnel_options,
)

__all__ = ["command"]


def _run(**values: Any) -> NoReturn:
    settings = take_display_settings(values)
    export(values)
    options = {name: values[name] for name in (param.name for param in UVICORN) if name in values}
    if options["lifespan"] == "off":
        raise click.UsageError("--lifespan off leaves the tunnel no place: it takes auto or on")
    assignment = Assignment(
        app=options["app"],
        factory=options["factory"],
        interface=options["interface"],
        local_url=_local_url(options),
        reloads=options["reload"],
        display=settings,
    )
    assignment.hand_on()
    if options["interface"] == "wsgi":
        options["ws"] = "none"
    options |= {"app": APP, "factory": True, "interface": "asgi3"}
    if settings.json and options["log_config"] is None:
        options["log_config"] = _without_standard_output(LOGGING_CONFIG)
    assert uvicorn_command.callback is not None
    uvicorn_command.callback(**options)
    sys.exit(0)


def _local_url(options: Mapping[str, Any]) -> str | None:
    """Where the server listens for visitors on this machine; None if only uvicorn will know."""
    if options["uds"] is not None or options["fd"] is not None or not options["port"]:
        return None
    scheme = "https" if options["ssl_certfile"] else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options["host"], options["host"])  # noqa: S104
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{options['port']}"


def _without_standard_output(log_config: dict[str, Any]) -> dict[str, Any]:
    """Where every line is to be JSON, the access log goes where the other log goes."""
    config = copy.deepcopy(log_config)
    config["handlers"]["access"]["stream"] = "ext://sys.stderr"
    return config


UVICORN = [param for param in uvicorn_command.params if param.name != "version"]
_FLAGS = {flag for param in UVICORN for flag in (*param.opts, *param.secondary_opts)}

command = click.Command(
    "run",
    callback=_run,
    params=[
        *UVICORN,
        *tunnel_options(without=("mode", "origin", "origin_*", "host_header"), taken=_FLAGS),
        *display_options(),
    ],
    context_settings=uvicorn_command.context_settings,
    help="""Run APP ("module:attribute") under uvicorn with a tunnel around it, until Ctrl-C.

    All of uvicorn's own options are here, and their UVICORN_ variables hold. An app that is wrapped
    in QuickTunnelASGI already is not wrapped again; what it was given in code then wins.
    """,
)
