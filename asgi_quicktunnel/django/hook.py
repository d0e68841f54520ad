"""The project as an ASGI application with a tunnel around it, found when it is first used."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_quicktunnel.errors import ConfigError

__all__ = ["DjangoApplication"]


class DjangoApplication:
    """An ASGI 3 application: the Django project that DJANGO_SETTINGS_MODULE names, made public.

    Importing and making it does nothing. At the first request, or at the server's lifespan, it sets
    Django up and looks for the project's application (`resolution.find_application`).

    Args:
        static_files: whether to serve those of the project's apps, as `runserver` does, in DEBUG.
    """

    def __init__(self, *, static_files: bool = False) -> None:
        self._static_files = static_files
        self._resolved: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which says it when there is nothing to serve.

        Raises:
            ConfigError, ImproperlyConfigured: the project has no application, or only this one.
        """
        if scope["type"] == "lifespan":
            try:
                app = self._resolve(scope)
            except Exception as exc:  # noqa: BLE001  # servers go on after an exception here
                await receive()
                await send({"type": "lifespan.startup.failed", "message": _in_words(exc)})
                return
        else:
            app = self._resolve(scope)
        await app({**scope, _INSIDE: True}, receive, send)

    def _resolve(self, scope: Scope) -> ASGIApp:
        if scope.get(_INSIDE):
            from django.core.exceptions import ImproperlyConfigured

            raise ImproperlyConfigured(LEADS_BACK)
        if self._resolved is None:
            with _no_loop_in_sight():
                self._resolved = self._find()
        return self._resolved

    def _find(self) -> ASGIApp:
        try:
            import django  # noqa: F401
        except ImportError as exc:
            raise ConfigError(NO_DJANGO) from exc
        from asgi_quicktunnel.django.resolution import find_application, set_up, wrap

        set_up()
        return wrap(find_application(), static_files=self._static_files)


@contextmanager
def _no_loop_in_sight() -> Iterator[None]:
    """Let projects be imported as they are before a server runs.

    Django refuses database queries and `async_to_sync` where an event loop runs, and apps make some
    while they are set up.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        yield
        return
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def _in_words(error: Exception) -> str:
    """What a server is to log: a sentence for a setting, else where it happened."""
    if isinstance(error, ConfigError) or type(error).__name__ == "ImproperlyConfigured":
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


_INSIDE = "asgi_quicktunnel.django"
NO_DJANGO = (
    "asgi_quicktunnel.django needs Django, which is not installed: "
    'pip install "asgi-quicktunnel[django]"'
)
LEADS_BACK = (
    "the application that asgi_quicktunnel.django.application serves leads back to itself; "
    'QUICKTUNNEL["APPLICATION"], or asgi.py beside ROOT_URLCONF, has to be an application of '
    "the project such as get_asgi_application()"
)
