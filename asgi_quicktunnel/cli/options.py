"""The options of a tunnel and of its display, for any command that runs one."""

from __future__ import annotations

import fnmatch
import inspect
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

import click

from asgi_quicktunnel.config import (
    TunnelConfig,
    environment_name,
    environment_options,
    is_switch,
)
from asgi_quicktunnel.display import DisplaySettings
from asgi_quicktunnel.errors import ConfigError

__all__ = ["display_options", "export", "take_display_settings", "tunnel_options"]


def tunnel_options(
    *,
    only: Collection[str] = ("*",),
    without: Collection[str] = (),
    taken: Collection[str] = (),
) -> list[click.Option]:
    """One option for each of `TunnelConfig` that the environment can set.

    Args:
        only: options that the command has use for; "x_*" are all that begin with "x_".
        without: options among these that it has no use for.
        taken: flags that the command has itself; ours are then called `--tunnel-...`.
    """
    texts = _help_texts()
    return [
        _tunnel_option(name, texts.get(name, ""), taken)
        for name in environment_options()
        if _is_among(only, name) and not _is_among(without, name)
    ]


def export(values: Mapping[str, Any]) -> None:
    """Put the options that were given into the environment, where each process finds them.

    Args:
        values: a command's parameters; those that are not of a tunnel are left alone.
    """
    for name in environment_options():
        if (value := values.get(PREFIX + name)) is not None:
            os.environ[environment_name(name)] = _SWITCH.get(value, value)


def display_options() -> list[click.Option]:
    """How a tunnel is shown."""
    return [
        click.Option(["--json"], is_flag=True, help="Print events and requests as JSON lines."),
        click.Option(["--quiet", "-q"], is_flag=True, help="No line for each request."),
        click.Option(["--qr/--no-qr"], default=True, help="Whether a QR code of the URL is shown."),
    ]


def take_display_settings(values: dict[str, Any], **more: bool) -> DisplaySettings:
    """What `display_options` were given; they are taken out of `values`."""
    return DisplaySettings(**{name: values.pop(name) for name in ("json", "quiet", "qr")}, **more)


def _is_among(patterns: Collection[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Let a value through that the environment could hold.

    Raises:
        click.BadParameter: it can't be used; the message says what would do.
    """
    if value is not None:
        variable = environment_name(str(param.name).removeprefix(PREFIX))
        try:
            TunnelConfig.from_env({variable: _SWITCH.get(value, value)})
        except ConfigError as exc:
            reason = str(exc).removeprefix(f"{variable}=")
            raise click.BadParameter(reason, ctx, param) from exc
    return value


def _tunnel_option(name: str, text: str, taken: Collection[str]) -> click.Option:
    variable = environment_name(name)
    flag = name.replace("_", "-")
    if f"--{flag}" in taken:
        flag = f"tunnel-{flag}"
    switch = is_switch(name)
    return click.Option(
        [f"--{flag}/--no-{flag}" if switch else f"--{flag}", PREFIX + name],
        default=None,
        is_flag=switch,
        callback=_check,
        help=f"{text} [env: {variable}]",
        # Not click's own: the variable reaches the tunnel by itself, wherever that runs.
        allow_from_autoenv=False,
    )


def _help_texts() -> dict[str, str]:
    """From an option to what the docstring of `TunnelConfig` says of it; nothing under -OO."""
    attributes = (inspect.getdoc(TunnelConfig) or "").partition("Attributes:\n")[2]
    texts = {}
    for name, text in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", attributes, re.MULTILINE):
        plain = re.sub(
            r"\s*\[QUICKTUNNEL_\w+(?:; ([^]]+))?\]", _or_empty, re.sub(r"\s+", " ", text)
        )
        texts[name] = plain[0].upper() + plain[1:]
    return texts


def _or_empty(found: re.Match[str]) -> str:
    return f" ({found[1]})" if found[1] else ""


_SWITCH = {True: "1", False: "0"}
PREFIX = "tunnel_"  # of our parameters, so that none meets one of uvicorn's
