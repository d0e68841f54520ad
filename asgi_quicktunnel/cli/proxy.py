"""`proxy`: a tunnel to whatever listens on a local port."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from asgi_quicktunnel.cli.options import (
    display_options,
    export,
    take_display_settings,
    tunnel_options,
)
from asgi_quicktunnel.cli.outcome import CUT_SHORT, FAILED, log_to_standard_error, run_to_end
from asgi_quicktunnel.cli.stop import StopSignals, stop_signals
from asgi_quicktunnel.cli.viewer import USUAL_PORT, viewer
from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.display import Display, DisplaySettings, open_display
from asgi_quicktunnel.errors import QuickTunnelError
from asgi_quicktunnel.events import Event, StateChanged, TunnelState
from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["command"]


def _proxy(target: str, **values: Any) -> None:
    log_to_standard_error()
    settings = take_display_settings(values)
    port = values.pop("diagnostics_port")
    export(values)
    origin = f"127.0.0.1:{target}" if target.isdigit() else target
    run_to_end(lambda: _serve(origin, settings, port))


async def _serve(origin: str, settings: DisplaySettings, diagnostics_port: int | None) -> int:
    tunnel = QuickTunnel(origin, TunnelConfig.from_env(os.environ))
    async with viewer(tunnel, diagnostics_port) as diagnostics:
        facts = {"forwards to": origin}
        if diagnostics is not None:
            facts["diagnostics"] = diagnostics
        return await _show(tunnel, open_display(settings, facts))


async def _show(tunnel: QuickTunnel, display: Display) -> int:
    failed = asyncio.Event()

    def hear(event: Event) -> None:
        display.show(event)
        if isinstance(event, StateChanged) and event.state is TunnelState.FAILED:
            failed.set()

    tunnel.add_listener(hear)
    with stop_signals() as stop:
        try:
            return await _run(tunnel, stop, failed)
        finally:
            display.close()
            await tunnel.aclose()


async def _run(tunnel: QuickTunnel, stop: StopSignals, failed: asyncio.Event) -> int:
    """Serve until a signal asks for the end; what goes wrong is said by the log."""
    await tunnel.start()
    if tunnel.config.strict:
        try:
            await stop.until_asked(tunnel.wait_ready())
        except QuickTunnelError:
            return FAILED
    if await stop.until_asked(failed.wait()):
        return FAILED
    return 0 if await stop.until_insisted(tunnel.aclose()) else CUT_SHORT


# Of use where an ASGI server is around the tunnel, or given by the argument.
NOT_HERE = (
    *("mode", "origin", "enabled", "wait_ready"),
    *("diagnostics_token", "reuse_url", "websocket_*"),
)

command = click.Command(
    "proxy",
    callback=_proxy,
    params=[
        click.Argument(["target"], metavar="[HOST:]PORT"),
        *tunnel_options(without=NOT_HERE),
        click.Option(
            ["--diagnostics-port"],
            type=click.IntRange(0, 65535),
            help="Port on this machine where the diagnostics are, 0 for any free one."
            f"  [default: {USUAL_PORT}, or any if that is taken]",
        ),
        *display_options(),
    ],
    help="""Give what listens at [HOST:]PORT a public HTTPS address, until Ctrl-C.

    It may also be unix:/path/of/a/socket or https://host:port.
    """,
)
