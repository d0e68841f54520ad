"""The setting QUICKTUNNEL: options of the tunnel, and the application behind it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from django.conf import settings

from asgi_quicktunnel.config import TunnelConfig
from asgi_quicktunnel.errors import ConfigError

__all__ = ["APPLICATION", "Problem", "ReadSetting", "read_setting"]

APPLICATION = "APPLICATION"  # the one key that is no option of the tunnel


class Problem(NamedTuple):
    """A part of the setting that can't be used, and what to do."""

    message: str
    hint: str | None = None


class ReadSetting(NamedTuple):
    """What the setting says.

    Attributes:
        options: of `TunnelConfig`.
        application: where the ASGI application is, as the setting has it, or None.
        problems: what can't be used, and is in neither of them.
    """

    options: dict[str, Any]
    application: str | None
    problems: list[Problem]


def read_setting(value: Any = None) -> ReadSetting:
    """Take the setting apart.

    Args:
        value: of the setting; None reads that of the project.
    """
    value = getattr(settings, "QUICKTUNNEL", None) if value is None else value
    options: dict[str, Any] = {}
    application: str | None = None
    problems: list[Problem] = []
    if value is None:
        return ReadSetting(options, application, problems)
    if not isinstance(value, Mapping):
        problem = Problem(
            f"QUICKTUNNEL is a {type(value).__name__} and can't be used: it takes a dict",
            'Such as {"HA_CONNECTIONS": 1}.',
        )
        return ReadSetting(options, application, [problem])
    for key, given in value.items():
        if key == APPLICATION:
            if _is_path(given):
                application = given
            elif given is not None:
                problems.append(_not_a_path(given))
        elif key not in _OPTIONS:
            problems.append(_unknown(key))
        else:
            option = _OPTIONS[key]
            try:
                TunnelConfig(**{option: given})
            except ConfigError as exc:
                problems.append(Problem(f'QUICKTUNNEL["{key}"]: {exc}'))
            else:
                options[option] = given
    return ReadSetting(options, application, problems)


def _is_path(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    module, _, attribute = value.replace(":", ".", 1).rpartition(".")
    return bool(module) and all(part.isidentifier() for part in (*module.split("."), attribute))


def _not_a_path(value: Any) -> Problem:
    return Problem(
        f'QUICKTUNNEL["{APPLICATION}"]={value!r} can\'t be used: it takes the path of an ASGI '
        'application such as "mysite.asgi.application"'
    )


def _unknown(key: Any) -> Problem:
    close = difflib.get_close_matches(str(key).upper(), [APPLICATION, *_OPTIONS], n=1)
    hint = f'Did you mean "{close[0]}"?' if close else "The keys are: " + ", ".join(_KEYS)
    return Problem(f'QUICKTUNNEL["{key}"] can\'t be used: there is no such option', hint)


_OPTIONS = {field.name.upper(): field.name for field in fields(TunnelConfig)}
_KEYS = sorted([APPLICATION, *_OPTIONS])
