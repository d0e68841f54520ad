"""The application that `manage.py tunnel` gives to uvicorn, in the process that serves it."""

from __future__ import annotations

import atexit
import multiprocessing

from starlette.types import ASGIApp

from asgi_quicktunnel.display import DisplaySettings, open_display
from asgi_quicktunnel.display.log import log_to_standard_error
from asgi_quicktunnel.django.assignment import Assignment
from asgi_quicktunnel.django.current import current
from asgi_quicktunnel.django.hook import DjangoApplication
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["SERVED", "create_application"]

SERVED = f"{__name__}:create_application"


def create_application() -> ASGIApp:
    """The project as the command was told to serve it; its tunnel is shown."""
    assignment = Assignment.take() or Assignment()
    current.show_with(lambda tunnel: _show(tunnel, assignment))
    return DjangoApplication(static_files=assignment.static_files)


def _show(tunnel: QuickTunnel, assignment: Assignment) -> None:
    log_to_standard_error()
    settings = DisplaySettings(
        quiet=assignment.quiet,
        qr=assignment.qr,
        again=assignment.reloads and multiprocessing.current_process().name != FIRST_CHILD,
    )
    facts = {}
    if assignment.local_url is not None:
        facts["local"] = assignment.local_url
    display = open_display(settings, facts)
    atexit.register(display.close)  # a cursor that is hidden must come back
    tunnel.add_listener(display.show)


FIRST_CHILD = "SpawnProcess-1"  # multiprocessing's name for it; after a reload the number is higher
