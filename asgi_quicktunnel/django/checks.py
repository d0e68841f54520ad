"""What `manage.py check` says of the tunnel: E is a setting that can't be used, W a doubt."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.core.management import find_commands

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.django.hook import LEADS_BACK, DjangoApplication
from asgi_quicktunnel.django.installation import MIDDLEWARE
from asgi_quicktunnel.django.options import read_setting
from asgi_quicktunnel.django.resolution import (
    THIS_APP,
    Target,
    applications_in,
    find_target,
    import_target,
)
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.middleware import QuickTunnelASGI

__all__ = ["check_application", "check_middleware", "check_options", "check_project"]


@register()
def check_options(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Each part of QUICKTUNNEL, and the environment, can be used."""
    problems = read_setting().problems
    found: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint, id="quicktunnel.E001") for problem in problems
    ]
    try:
        config = _config()
    except ConfigError as exc:
        return found if problems else [Error(str(exc), id="quicktunnel.E002")]
    if settings.DEBUG and config.is_enabled(os.environ):
        found.append(
            checks.Warning(
                "DEBUG is set, and the tunnel makes this project public: pages of errors show "
                "settings and code to anybody who has the URL.",
                hint='Give the URL to nobody you do not trust, or set QUICKTUNNEL["ENABLED"] = '
                "False. SILENCED_SYSTEM_CHECKS takes this warning away.",
                id="quicktunnel.W001",
            )
        )
    return found


@register()
def check_middleware(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The middleware is there, and first."""
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return [
            Error(
                f"MIDDLEWARE has lost {MIDDLEWARE!r}, which the app {THIS_APP!r} put first: "
                "visitors of the tunnel would be refused.",
                hint="Something replaced MIDDLEWARE after the apps were loaded. Name it there, "
                "first.",
                id="quicktunnel.E003",
            )
        ]
    if settings.MIDDLEWARE[0] != MIDDLEWARE:
        return [
            checks.Warning(
                f"MIDDLEWARE names {MIDDLEWARE!r}, but not first: what is before it takes visitors "
                "of the tunnel for requests to a foreign host.",
                hint="Put it first, or leave it out: the app puts it there.",
                id="quicktunnel.W002",
            )
        ]
    return []


@register()
def check_project(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The app stands before those whose `runserver` it extends."""
    for config in apps.get_app_configs():
        if config.name == THIS_APP:
            break
        if "runserver" in find_commands(f"{config.path}/management"):
            return [
                checks.Warning(
                    f"INSTALLED_APPS has {config.name!r} before {THIS_APP!r}: `runserver` is the "
                    "former's, which does not open the tunnel.",
                    hint=f"Put {THIS_APP!r} first; its `runserver` extends that of the others.",
                    id="quicktunnel.W003",
                )
            ]
    return []


@register()
def check_application(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The ASGI application is there, is not our own again, and is wrapped on the outside."""
    served = find_target()  # by our own
    named = _asgi_application()
    found: list[CheckMessage] = []
    if served is not None:
        found += _about(served, is_served=True)
    if named is not None and not named.is_this and named[:2] != (served or ())[:2]:
        found += _about(named, is_served=False)
    return found


def _about(target: Target, *, is_served: bool) -> Iterator[CheckMessage]:
    """What there is to say of one application.

    Args:
        target: where it is.
        is_served: whether it is what `asgi_quicktunnel.django.application` serves.
    """
    if target.is_this:
        yield Error(f"{target.said_by} can't be used: {LEADS_BACK}.", id="quicktunnel.E004")
        return
    is_set = is_served and read_setting().application is not None
    if not is_set and not _deserves_import(target):
        return
    try:
        app = import_target(target)
    except ImproperlyConfigured as exc:
        yield Error(str(exc), id="quicktunnel.E005")
        return
    except Exception as exc:  # noqa: BLE001  # whatever a module of the project raises
        yield Error(f"{target.said_by} can't be imported: {exc!r}", id="quicktunnel.E005")
        return
    inside = list(applications_in(app))
    if is_served and any(isinstance(each, DjangoApplication) for each in inside):
        yield Error(f"{target.said_by} can't be used: {LEADS_BACK}.", id="quicktunnel.E004")
    elif type(app) is not QuickTunnelASGI and any(type(each) is QuickTunnelASGI for each in inside):
        yield checks.Warning(
            f"{target.said_by} has QuickTunnelASGI inside another wrapper such as "
            "ProtocolTypeRouter: visitors of the tunnel don't pass that one, so they have no "
            "WebSockets, and the server's lifespan does not reach the tunnel.",
            hint="Put it outside: QuickTunnelASGI(ProtocolTypeRouter({...})).",
            id="quicktunnel.W004",
        )


def _config() -> TunnelConfig:
    """The options that hold.

    Raises:
        ConfigError: a setting or variable that can't be used.
    """
    return TunnelConfig.resolve(None, {}, os.environ)


def _asgi_application() -> Target | None:
    """What ASGI_APPLICATION names, or None; Channels' and daphne's setting, a dotted path."""
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not isinstance(path, str) or "." not in path:
        return None
    module, _, attribute = path.rpartition(".")
    return Target(module, attribute, f"ASGI_APPLICATION={path!r}")


def _deserves_import(target: Target) -> bool:
    """Whether its source gives cause to look closer; most projects' applications stay unloaded."""
    try:
        spec = find_spec(target.module)
        if spec is None or spec.origin is None:
            return False
        text = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
    except (ImportError, ValueError, OSError):
        return False
    if "get_default_application" in text or THIS_APP in text:
        return True
    return "QuickTunnelASGI" in text and "ProtocolTypeRouter" in text
