"""The group of commands. Each is a module that is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

__all__ = ["main"]


class Commands(click.Group):
    """A group whose commands are found by the name of their module.

    Args:
        name: of the group.
        modules: from a command's name to the module that holds it as `command`.
    """

    def __init__(self, name: str, modules: Mapping[str, str], **attributes: object) -> None:
        super().__init__(name, **attributes)  # type: ignore[arg-type]  # handed through as they are
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help page."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from asgi_quicktunnel.doctor.versions import versions_here
        from asgi_quicktunnel.transport.engines import choose_engine

        versions = versions_here(choose_engine())
        click.echo(f"asgi-quicktunnel, version {versions.package}")
        click.echo(str(versions))
        ctx.exit()


_HELP = """A public HTTPS address for a running ASGI app, from inside its own process.

Each option of a tunnel is also an environment variable, shown in its help; the command line wins.
"""

_EPILOG = """\b
Exit status:
  0    done; for what runs until Ctrl-C: ended in order
  1    it failed; a line on standard error says why
  2    the command line or an option can't be used
  3    run: the app could not be loaded or its startup failed (uvicorn's status)
  130  a Ctrl-C cut it short, or ended the demo
"""

main = Commands(
    "asgi-quicktunnel",
    {name: f"asgi_quicktunnel.cli.{name}" for name in ("run", "proxy", "demo", "edge", "doctor")},
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_show_version,
            help="Show the versions that are at work, and exit.",
        )
    ],
)
