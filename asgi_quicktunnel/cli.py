"""The command `asgi-quicktunnel`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import click

from asgi_quicktunnel.config import PACKAGE_VERSION
from asgi_quicktunnel.errors import QuickTunnelError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(PACKAGE_VERSION, prog_name="asgi-quicktunnel")
def main() -> None:
    """A public HTTPS address for a running ASGI app, from inside its own process."""


@main.command()
@click.option("--check", is_flag=True, help="Fetch a page, post a body, say how it went, end.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Local port, 0 for any.")
def demo(check: bool, port: int) -> None:
    """Run the example app with a tunnel to the embedded edge. Ends at Ctrl-C."""
    from asgi_quicktunnel.demo import run_demo

    _configure_logging()
    sys.exit(_run(lambda: run_demo(check=check, port=port, say=click.echo)))


@main.command()
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Public port, 0 for any.")
@click.option("--tls", is_flag=True, help="Hand out https:// addresses.")
@click.option(
    "--fin",
    type=click.Choice(["held", "early"]),
    default="held",
    help="When a request without a body ends: after its answer, or with its head.",
)
def edge(port: int, tls: bool, fin: Literal["held", "early"]) -> None:
    """Run the embedded edge alone, for connectors in other processes. Ends at Ctrl-C."""
    _configure_logging()
    try:
        status = _run(lambda: _serve_edge(port=port, tls=tls, fin=fin))
    except OSError as exc:
        reason = exc.strerror or exc
        click.echo(f"error: port {port} can't be used ({reason}); --port takes another", err=True)
        status = 1
    sys.exit(status)


async def _serve_edge(*, port: int, tls: bool, fin: Literal["held", "early"]) -> int:
    from asgi_quicktunnel.emulator import LocalEdge

    async with LocalEdge(port=port, tls=tls, fin=fin) as local_edge:
        config = local_edge.config()
        click.echo("the embedded edge is up; let a connector use it with")
        click.echo(f"  export QUICKTUNNEL_SERVICE_URL={config.service_url}")
        click.echo(f"  export QUICKTUNNEL_EDGE={config.edge}")
        click.echo(f"  export QUICKTUNNEL_CA_FILE={config.ca_file}")
        click.echo("Ctrl-C ends it")
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, stop.set)
            except NotImplementedError:  # Windows: KeyboardInterrupt ends it
                break
        await stop.wait()
    return 0


def _run(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run to the end; what a user's mistake causes is one line on standard error."""
    try:
        return asyncio.run(command())
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells say it
    except QuickTunnelError as exc:
        click.echo(f"error: {exc}", err=True)
        return 1


def _configure_logging() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("asgi_quicktunnel").setLevel(logging.INFO)
