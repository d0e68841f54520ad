"""What the app does to a project: options, a middleware, and an ear for each tunnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from asgi_quicktunnel.django.assignment import Assignment
from asgi_quicktunnel.django.current import current
from asgi_quicktunnel.django.options import read_setting
from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.project import set_project
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["MIDDLEWARE", "DjangoProject", "install"]

MIDDLEWARE = "asgi_quicktunnel.django.middleware.QuickTunnelMiddleware"


class DjangoProject:
    """The project of `settings`, as tunnels ask for it; see `asgi_quicktunnel.project.Project`."""

    @property
    def starts_late(self) -> bool:
        """Whether the first request begins the tunnel: unless runserver has one to this process."""
        return current.tunnel is None

    def options(self) -> Mapping[str, Any]:
        """What QUICKTUNNEL says, and above it what `manage.py tunnel` was given.

        Raises:
            ConfigError: it says something that can't be used.
        """
        setting = read_setting()
        for problem in setting.problems:
            raise ConfigError(problem.message + (f" ({problem.hint})" if problem.hint else ""))
        assignment = Assignment.take()
        return setting.options | (assignment.parsed_options() if assignment is not None else {})

    def on_tunnel(self, tunnel: QuickTunnel) -> None:
        """Hear of a tunnel around the project's application."""
        current.adopt(tunnel)


def install() -> None:
    """Make tunnels know the project, and requests of a tunnel known to it; repeatable.

    MIDDLEWARE is the one setting that is extended, where it does not name ours. What decides about
    hosts and schemes (ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, SECURE_PROXY_SSL_HEADER,
    USE_X_FORWARDED_HOST) stays as it is.
    """
    set_project(DjangoProject())
    middleware = settings.MIDDLEWARE
    if MIDDLEWARE not in middleware:
        settings.MIDDLEWARE = type(middleware)([MIDDLEWARE, *middleware])
