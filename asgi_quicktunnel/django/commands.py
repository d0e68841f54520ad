"""Which command an app of the project would have run, had this one none."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management import find_commands
from django.core.management.base import BaseCommand

__all__ = ["next_app_with", "next_command"]


def next_app_with(command: str) -> str:
    """The first of the other installed apps that has this command, else "django.core"."""
    for config in apps.get_app_configs():
        if config.name != "asgi_quicktunnel.django" and command in find_commands(
            f"{config.path}/management"
        ):
            return str(config.name)
    return "django.core"


def next_command(command: str) -> type[BaseCommand]:
    """The class of that command; staticfiles' or daphne's, for `runserver`."""
    module: Any = import_module(f"{next_app_with(command)}.management.commands.{command}")
    base: type[BaseCommand] = module.Command
    return base
