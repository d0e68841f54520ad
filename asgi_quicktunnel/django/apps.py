"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["QuickTunnelConfig"]


class QuickTunnelConfig(AppConfig):
    """The app `asgi_quicktunnel.django`. Its place is first, so that its `runserver` is found."""

    name = "asgi_quicktunnel.django"
    label = "quicktunnel"
    verbose_name = "QuickTunnel"

    def ready(self) -> None:
        """Prepare the project; no tunnel starts here."""
        from asgi_quicktunnel.django import checks  # noqa: F401  # registers them
        from asgi_quicktunnel.django.installation import install

        install()
