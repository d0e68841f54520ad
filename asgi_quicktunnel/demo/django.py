"""The demo of the Django example: a database of its own, and an administrator."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asgi_quicktunnel.demo.examples import DemoError, Say, find_example
from asgi_quicktunnel.demo.guestbook import GuestbookVisitor
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["DjangoExample"]


class DjangoExample:
    """The project of that example; see `Example`.

    The database, what visitors leave and the secret key are in a temporary folder.
    """

    def __init__(self) -> None:
        self._password = secrets.token_urlsafe(9)

    @contextlib.asynccontextmanager
    async def loaded(self) -> AsyncIterator[QuickTunnelASGI]:
        """The application, its database made and an administrator in it."""
        folder = find_example("django")
        with tempfile.TemporaryDirectory(prefix="quicktunnel-demo-") as data:  # mode 0700
            try:
                # A thread, because Django refuses to wait for a database on an event loop.
                application = await asyncio.to_thread(_prepare, folder, data, self._password)
            except ModuleNotFoundError as exc:
                raise DemoError(
                    f"the example project needs {exc.name}: "
                    "pip install 'asgi-quicktunnel[demo-django]'"
                ) from exc
            yield application

    def explain(self, public_url: str, say: Say) -> None:
        """Say where the admin is, and what else there is."""
        say("try:")
        say(f"  {public_url}/admin/ as {_ADMINISTRATOR} with the password {self._password}")
        say(f"  curl {public_url}/facts")
        say(f"  curl --no-buffer {public_url}/ticks")

    async def check(self, edge: LocalEdge, public_url: str, say: Say) -> bool:
        """Use all of it as a visitor would; see `GuestbookVisitor`."""
        async with edge.httpx_client(base_url=public_url) as client:
            visitor = GuestbookVisitor(client, edge.address, say, ca_file=edge.ca_file)
            return await visitor.try_everything(_ADMINISTRATOR, self._password)


def _prepare(folder: Path, data: str, password: str) -> Any:
    """Set Django up for the project, and return its application."""
    os.environ.update(DJANGO_SETTINGS_MODULE="guestbook.settings", GUESTBOOK_DATA=data)
    sys.path.insert(0, str(folder))
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    from django.contrib.auth.models import User

    try:
        call_command("migrate", verbosity=0)
        User.objects.create_superuser(_ADMINISTRATOR, password=password)
    finally:
        connections.close_all()
    return importlib.import_module("guestbook.asgi").application


_ADMINISTRATOR = "admin"
