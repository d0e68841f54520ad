"""`manage.py tunnel`: the project on uvicorn, with a tunnel."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.commands.runserver import naiveip_re

from asgi_quicktunnel.config import TunnelConfig, environment_name, environment_options, is_switch
from asgi_quicktunnel.django.assignment import Assignment, parse_option
from asgi_quicktunnel.errors import ConfigError

__all__ = ["Command"]


class Command(BaseCommand):
    """Uvicorn with autoreload, and static files as `runserver` serves them."""

    help = "Serves the project on uvicorn and gives it a public HTTPS address, until Ctrl-C."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        """What `runserver` takes as far as it applies, and each option of the tunnel."""
        parser.add_argument("addrport", nargs="?", help="Optional port number, or ipaddr:port")
        parser.add_argument(
            "--ipv6", "-6", action="store_true", dest="use_ipv6", help="Listens on IPv6."
        )
        parser.add_argument(
            "--noreload",
            action="store_false",
            dest="use_reloader",
            help="Does not start anew when code changes.",
        )
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Does not serve static files at STATIC_URL; DEBUG has to be set for them.",
        )
        parser.add_argument(
            "--quiet", "-q", action="store_true", help="No line for each request of the tunnel."
        )
        parser.add_argument(
            "--noqr", action="store_false", dest="qr", help="No QR code of the URL."
        )
        group = parser.add_argument_group("options of the tunnel; they win over QUICKTUNNEL")
        for option in environment_options():
            if not option.startswith(_NOT_HERE):
                _add_option(group, option)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until Ctrl-C.

        Raises:
            CommandError: the address or an option can't be used, or a package is missing.
        """
        host, port = _address(options["addrport"], ipv6=options["use_ipv6"])
        try:
            import uvicorn

            from asgi_quicktunnel.django.served import SERVED
        except ImportError as exc:
            raise CommandError(
                f"the command tunnel needs {exc.name}, which is not installed: "
                'pip install "asgi-quicktunnel[django]"'
            ) from exc
        Assignment(
            options={
                option: value
                for option in environment_options()
                if (value := options.get(f"{_PREFIX}{option}")) is not None
            },
            static_files=options["use_static_handler"],
            local_url=_local_url(host, port),
            reloads=options["use_reloader"],
            quiet=options["quiet"],
            qr=options["qr"],
        ).hand_on()
        try:
            config = TunnelConfig.resolve(None, {}, os.environ)
        except ConfigError as exc:  # the checks were skipped
            raise CommandError(str(exc)) from exc
        if not config.is_enabled(os.environ):
            self.stderr.write("There is no tunnel: it is switched off (ENABLED).")
        uvicorn.run(
            SERVED,
            factory=True,
            host=host,
            port=port,
            reload=options["use_reloader"],
            proxy_headers=False,  # whoever connects is on this machine, and no proxy
        )


def _address(text: str | None, *, ipv6: bool) -> tuple[str, int]:
    """Host and port, spelled as `runserver` takes them.

    Raises:
        CommandError: they are spelled otherwise.
    """
    default = "::1" if ipv6 else "127.0.0.1"
    if not text:
        return default, _PORT
    found = re.match(naiveip_re, text)
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise CommandError(f"{text!r} is not a valid port number or address:port pair.")
    host = (found["addr"] or default).strip("[]")
    if ipv6 and found["ipv4"]:
        raise CommandError(f"{host!r} is not a valid IPv6 address.")
    return _SHORT.get(host, host), int(found["port"])


def _local_url(host: str, port: int) -> str | None:
    """Where visitors on this machine find the server; None if only uvicorn will know."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not bound here
    return f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else None


def _add_option(group: Any, option: str) -> None:
    flag = option.replace("_", "-")
    group.add_argument(
        f"--{flag}",
        dest=f"{_PREFIX}{option}",
        metavar="1|0" if is_switch(option) else option.rpartition("_")[2].upper(),
        type=_checked(option),
        help=f"Instead of {environment_name(option)}.",
    )


def _checked(option: str) -> Callable[[str], str]:
    """Lets a value pass that the environment could hold, as text."""

    def check(text: str) -> str:
        try:
            parse_option(option, text)
        except ConfigError as exc:
            reason = str(exc).removeprefix(f"{environment_name(option)}=")
            raise argparse.ArgumentTypeError(reason) from exc
        return text

    return check


_PREFIX = "tunnel_"  # of our options, so that none meets one of Django's
_NOT_HERE = ("mode", "origin", "host_header")  # of proxy mode
_SHORT = {"0": "0.0.0.0"}  # noqa: S104  # as people ask for it
_PORT = 8000
_HIGHEST_PORT = 65535
