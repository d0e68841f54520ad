"""Which ASGI application a Django project has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import django
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from starlette.types import ASGIApp

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.django.hook import LEADS_BACK, DjangoApplication
from asgi_quicktunnel.django.installation import install
from asgi_quicktunnel.django.options import APPLICATION, read_setting
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["Target", "applications_in", "find_application", "find_target", "set_up", "wrap"]

THIS_APP = "asgi_quicktunnel.django"


class Target(NamedTuple):
    """Where the application is.

    Attributes:
        module: its name.
        attribute: in that module.
        said_by: what named it, for messages.
    """

    module: str
    attribute: str
    said_by: str

    @property
    def is_this(self) -> bool:
        """Whether it is ours."""
        return (self.module, self.attribute) == (THIS_APP, "application")


def set_up() -> None:
    """Set Django up, unless it is, also for a project that does not list this app.

    Raises:
        ImproperlyConfigured: there is no project, or its settings can't be found.
    """
    name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not settings.configured and not name:
        raise ImproperlyConfigured(
            "DJANGO_SETTINGS_MODULE is not set; asgi_quicktunnel.django serves the project whose "
            "settings it names, such as DJANGO_SETTINGS_MODULE=mysite.settings"
        )
    try:
        settings.INSTALLED_APPS  # noqa: B018  # reads the settings
    except ModuleNotFoundError as exc:
        if name and exc.name and f"{name}.".startswith(f"{exc.name}."):
            raise ImproperlyConfigured(
                f"DJANGO_SETTINGS_MODULE={name!r} can't be used: there is no module {exc.name!r}"
            ) from exc
        raise
    if not apps.ready:
        django.setup(set_prefix=False)
    if not apps.is_installed(THIS_APP):
        install()


def find_target() -> Target | None:
    """What QUICKTUNNEL names, else asgi.py beside ROOT_URLCONF; None where there is neither."""
    path = read_setting().application
    if path is not None:
        module, _, attribute = path.replace(":", ".", 1).rpartition(".")
        return Target(module, attribute, f'QUICKTUNNEL["{APPLICATION}"]={path!r}')
    urlconf = getattr(settings, "ROOT_URLCONF", None)
    if not isinstance(urlconf, str):
        return None
    package = urlconf.rpartition(".")[0]
    module = f"{package}.asgi" if package else "asgi"
    if not _exists(module) or not (package or _are_neighbours(urlconf, module)):
        return None
    return Target(module, "application", f"the application of {module!r}, beside ROOT_URLCONF,")


def find_application() -> ASGIApp:
    """The application of the project, imported.

    Raises:
        ImproperlyConfigured: what is named is not there, or is ours.
    """
    target = find_target()
    if target is None:
        return cast("ASGIApp", get_asgi_application())
    if target.is_this:
        raise ImproperlyConfigured(LEADS_BACK)
    app = cast("ASGIApp", import_target(target))
    if any(isinstance(inner, DjangoApplication) for inner in applications_in(app)):
        raise ImproperlyConfigured(LEADS_BACK)
    return app


def import_target(target: Target) -> Any:
    """Import what `find_target` found.

    Raises:
        ImproperlyConfigured: it is not there, or nothing that can be called.
    """
    try:
        module = import_module(target.module)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{target.module}.".startswith(f"{exc.name}."):
            raise
        raise ImproperlyConfigured(
            f"{target.said_by} can't be used: there is no module {exc.name!r}"
        ) from exc
    app = getattr(module, target.attribute, None)
    if not callable(app):
        what = "no" if app is None else "no callable"
        raise ImproperlyConfigured(
            f"{target.said_by} can't be used: {target.module!r} has {what} {target.attribute!r}"
        )
    return app


def wrap(app: ASGIApp, *, static_files: bool = False) -> ASGIApp:
    """Put a tunnel around an application, unless there is one.

    Args:
        app: of the project.
        static_files: whether visitors get those of the apps too, as long as DEBUG is set.
    """
    is_wrapped = type(app) is QuickTunnelASGI
    if not (static_files and settings.DEBUG and apps.is_installed("django.contrib.staticfiles")):
        return app if is_wrapped else QuickTunnelASGI(app)
    config: TunnelConfig | None = None
    if is_wrapped:
        # Visitors of the tunnel enter inside the wrapper, so the files have to be there too.
        app, config = cast("QuickTunnelASGI", app).__reduce__()[1]
    return QuickTunnelASGI(cast("ASGIApp", ASGIStaticFilesHandler(cast("Any", app))), config)


def applications_in(app: Any) -> Iterator[Any]:
    """An application and what it wraps, as far as its wrappers are known.

    Known are QuickTunnelASGI, Channels' ProtocolTypeRouter and Django's ASGIStaticFilesHandler.
    """
    yield app
    if type(app) is QuickTunnelASGI:
        yield from applications_in(app.__reduce__()[1][0])
        return
    inner = getattr(app, "application_mapping", None)
    if isinstance(inner, dict):
        for each in inner.values():
            yield from applications_in(each)
    elif isinstance(app, ASGIStaticFilesHandler):
        yield from applications_in(app.application)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its package can't be imported, or is no package
        return False


def _are_neighbours(one: str, other: str) -> bool:
    """Whether two modules outside any package lie in the same folder."""
    folders = []
    for name in (one, other):
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if path is None and (spec := find_spec(name)) is not None:
            path = spec.origin
        folders.append(None if path is None else Path(path).resolve().parent)
    return folders[0] is not None and folders[0] == folders[1]
