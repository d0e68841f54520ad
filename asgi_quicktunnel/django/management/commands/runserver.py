"""`runserver` with a tunnel: the one that would have run, and a public URL for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.django.background import BackgroundTunnel
from asgi_quicktunnel.django.commands import next_command
from asgi_quicktunnel.errors import ConfigError

if TYPE_CHECKING:
    from django.core.management.commands.runserver import Command as Runserver
else:
    Runserver = next_command("runserver")

__all__ = ["Command"]


class Command(Runserver):
    """The next app's `runserver`; a tunnel leads to it once its address is bound.

    That happens in the process that serves alone: the reloader's child, or with --noreload.
    """

    addr: str  # set by Django's `handle`
    _is_itself = False
    _use_tunnel = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as the command of the command line."""
        self._is_itself = True
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Those of the command that is extended, and whether there is a tunnel."""
        super().add_arguments(parser)
        parser.add_argument(
            "--notunnel",
            action="store_const",
            const=False,
            dest="use_tunnel",
            help="Tells asgi_quicktunnel to leave the server without a public URL.",
        )

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Serve; called in the serving process."""
        wanted = options.get("use_tunnel")
        # Commands that call this one, such as testserver, have to ask for a tunnel.
        self._use_tunnel = self._is_itself if wanted is None else wanted
        _end_at_sigterm()
        self.server_cls = _telling(self.server_cls, self._on_listening)
        super().inner_run(*args, **options)

    def on_bind(self, server_port: int) -> None:
        """Django's own server listens."""
        super().on_bind(server_port)
        self._open_tunnel(self.addr, server_port)

    def _on_listening(self, addresses: list[tuple[str, int]]) -> None:
        """Daphne's server listens."""
        self._open_tunnel(*addresses[0])

    def _open_tunnel(self, host: str, port: int) -> None:
        if not self._use_tunnel:
            return
        try:
            if TunnelConfig.resolve(None, {}, os.environ).is_enabled(os.environ):
                BackgroundTunnel(_origin(host, port), self._show)
        except ConfigError as exc:  # the checks were skipped; the server runs on
            self.stderr.write(f"There is no tunnel: {exc}")

    def _show(self, url: str) -> None:
        self.stdout.write(f"asgi_quicktunnel: the app is public at {url}")
        self.stdout.flush()


def _end_at_sigterm() -> None:
    """Let SIGTERM end the interpreter in order where it would be killed, as with --noreload.

    Django does so in the reloader's child, and daphne in any.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _telling(server_cls: type[Any], on_listening: Any) -> type[Any]:
    """Daphne's server, extended so that it tells when and where it listens; others as they are."""
    if not hasattr(server_cls, "listen_success"):
        return server_cls

    class TellingServer(server_cls):  # type: ignore[misc]
        def listen_success(self, port: Any) -> None:
            super().listen_success(port)
            on_listening(self.listening_addresses)

    return TellingServer


def _origin(host: str, port: int) -> str:
    """Where a server that is bound to `host` is reached from this machine."""
    host = _ANY.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_ANY = {"0": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # not bound here
