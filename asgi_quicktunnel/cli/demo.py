"""`demo`: an example behind the embedded edge."""

from __future__ import annotations

import logging

import click

from asgi_quicktunnel.cli.outcome import log_to_standard_error, run_to_end

__all__ = ["command"]


@click.command("demo")
@click.argument("example", type=click.Choice(["fastapi", "django"]), default="fastapi")
@click.option("--check", is_flag=True, help="Visit the example, say how it went, end.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Local port, 0 for any.")
def command(example: str, check: bool, port: int) -> None:
    """Run an example with a tunnel to the embedded edge. Ends at Ctrl-C.

    EXAMPLE is fastapi (the default) or django.
    """
    from asgi_quicktunnel.demo.run import run_demo

    log_to_standard_error(logging.INFO)
    run_to_end(lambda: run_demo(example, check=check, port=port, say=click.echo))
