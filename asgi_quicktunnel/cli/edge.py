"""`edge`: the embedded edge alone."""

from __future__ import annotations

import logging
from typing import Literal

import click

from asgi_quicktunnel.cli.outcome import FAILED, log_to_standard_error, run_to_end
from asgi_quicktunnel.cli.stop import stop_signals

__all__ = ["command"]


@click.command("edge")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Public port, 0 for any.")
@click.option("--tls", is_flag=True, help="Hand out https:// addresses.")
@click.option(
    "--fin",
    type=click.Choice(["held", "early"]),
    default="held",
    help="When a request without a body ends: after its answer, or with its head.",
)
def command(port: int, tls: bool, fin: Literal["held", "early"]) -> None:
    """Run the embedded edge alone, for connectors in other processes. Ends at Ctrl-C."""
    log_to_standard_error(logging.INFO)
    run_to_end(lambda: _serve(port=port, tls=tls, fin=fin))


async def _serve(*, port: int, tls: bool, fin: Literal["held", "early"]) -> int:
    from asgi_quicktunnel.emulator import LocalEdge

    edge = LocalEdge(port=port, tls=tls, fin=fin)
    with stop_signals() as stop:
        try:
            await edge.__aenter__()
        except OSError as exc:
            reason = exc.strerror or exc
            click.echo(
                f"error: port {port} can't be used ({reason}); --port takes another", err=True
            )
            return FAILED
        try:
            config = edge.config()
            click.echo("the embedded edge is up; let a connector use it with")
            click.echo(f"  export QUICKTUNNEL_SERVICE_URL={config.service_url}")
            click.echo(f"  export QUICKTUNNEL_EDGE={config.edge}")
            click.echo(f"  export QUICKTUNNEL_CA_FILE={config.ca_file}")
            click.echo("Ctrl-C ends it")
            await stop.asked.wait()
        finally:
            await edge.aclose()
    return 0
