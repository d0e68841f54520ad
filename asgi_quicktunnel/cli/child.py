"""The app that uvicorn is given: the user's, loaded and wrapped in the process that serves it."""

from __future__ import annotations

import atexit
import dataclasses
import multiprocessing
import sys
from typing import Any

import click
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_quicktunnel.cli.assignment import Assignment
from asgi_quicktunnel.cli.outcome import USAGE, log_to_standard_error
from asgi_quicktunnel.display import Display, open_display
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.middleware import QuickTunnelASGI
from asgi_quicktunnel.publication import TUNNEL_KEY

__all__ = ["APP", "create_app"]

APP = f"{__name__}:create_app"


def create_app() -> ASGIApp:
    """Load the app that `run` was given, wrap it, and show its tunnel."""
    assignment = Assignment.take()
    log_to_standard_error()
    try:
        app = _load(assignment)
        return Shown(app if _is_wrapped(app) else QuickTunnelASGI(app), assignment)
    except ConfigError as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(USAGE)


def _load(assignment: Assignment) -> ASGIApp:
    """As uvicorn loads it: same import rules, same factories, same words when it fails."""
    config = uvicorn.Config(
        assignment.app,
        factory=assignment.factory,
        interface=assignment.interface,  # type: ignore[arg-type]  # uvicorn's own choices
        log_config=None,
        proxy_headers=False,
        lifespan="off",
        ws="none",
    )
    config.load()
    app: ASGIApp = config.loaded_app
    return app


def _is_wrapped(app: Any) -> bool:
    """Whether there is a tunnel around it, or in its middleware (Starlette, FastAPI)."""
    if type(app) is QuickTunnelASGI:  # isinstance would ask the wrapped app
        return True
    return any(
        getattr(middleware, "cls", None) is QuickTunnelASGI
        for middleware in getattr(app, "user_middleware", ())
    )


class Shown:
    """An app whose tunnel is shown from the moment its lifespan begins."""

    def __init__(self, app: ASGIApp, assignment: Assignment) -> None:
        self._app = app
        self._assignment = assignment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        display: Display | None = None
        has_looked = False

        async def receive_and_look() -> Message:
            nonlocal display, has_looked
            if not has_looked:
                has_looked = True
                if (tunnel := state.get(TUNNEL_KEY)) is not None:
                    display = self._open_display(tunnel)
                else:
                    click.echo(
                        "warning: there is no tunnel: it is switched off (enabled)", err=True
                    )
            return await receive()

        try:
            await self._app(scope, receive_and_look, send)
        finally:
            if display is not None:
                display.close()

    def _open_display(self, tunnel: Any) -> Display:
        assignment = self._assignment
        is_child = multiprocessing.parent_process() is not None
        settings = dataclasses.replace(
            assignment.display,
            steps=assignment.reloads or not is_child,  # of several workers each has its own
            again=assignment.reloads and multiprocessing.current_process().name != FIRST_CHILD,
        )
        path = tunnel.config.diagnostics_path
        local_url = assignment.local_url
        facts = {}
        if path is not None and local_url is not None:
            facts["diagnostics"] = f"{local_url}{path}/"
        display = open_display(settings, facts)
        atexit.register(display.close)  # a cursor that is hidden must come back
        tunnel.add_listener(display.show)
        return display


FIRST_CHILD = "SpawnProcess-1"  # multiprocessing's name for it; after a reload the number is higher
