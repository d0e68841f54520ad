"""What each option of a tunnel takes, and how the environment spells it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from asgi_quicktunnel.origin_address import OriginAddress, is_host

__all__ = [
    "ENVIRONMENT",
    "LOCAL_EDGE",
    "SECRET",
    "TAKES",
    "EngineName",
    "Takes",
    "boolean",
    "header_names",
    "host_and_port",
    "ip_and_port",
    "shown",
]

EngineName = Literal["auto", "native", "aioquic"]
LOCAL_EDGE = "local"  # the value of `edge` that means: the embedded edge


class Takes(NamedTuple):
    """What an option takes: a check that never raises, and the words for who fails it."""

    usable: Callable[[Any], bool]
    what: str


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_address(value: Any) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (TypeError, ValueError, AttributeError):
        return False


def _is_edge(value: Any) -> bool:
    if value is None or value == LOCAL_EDGE:
        return True
    try:
        return bool([host_and_port(entry.strip()) for entry in value.split(",")])
    except (ValueError, AttributeError):
        return False


def _is_nameservers(value: Any) -> bool:
    try:
        return bool([ip_and_port(entry.strip()) for entry in value.split(",")])
    except (ValueError, AttributeError):
        return False


def _is_origin(value: Any) -> bool:
    try:
        OriginAddress.parse(value)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_file()


def _has_certificates(value: Any) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except (OSError, TypeError):  # SSLError is an OSError
        return False
    return isinstance(value, str)


def _is_file_to_be(value: Any) -> bool:
    return isinstance(value, str) and Path(value).parent.is_dir() and not Path(value).is_dir()


def _is_header_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _is_header_names(value: Any) -> bool:
    try:
        return all(_HEADER_NAME.fullmatch(name) for name in header_names(value))
    except TypeError:
        return False


def _is_plain_path(value: Any) -> bool:
    return (
        isinstance(value, str)
        and _PLAIN_PATH.fullmatch(value) is not None
        and not {".", ".."} & set(value.split("/"))
    )


def _is_secret(value: Any) -> bool:
    """Whether it is long enough, and fits into a header and a query as it is."""
    return (
        isinstance(value, str)
        and _SHORTEST_SECRET <= len(value) <= _LONGEST_SECRET
        and value.isascii()
        and value.isprintable()
        and not set(value) & set(" &#")
    )


def _seconds_from(lowest: float, *, or_none: bool = False) -> Takes:
    def usable(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and lowest <= value <= _LONGEST

    what = f"a number of seconds from {lowest:g} to {_LONGEST:g}"
    return Takes(_or_none(usable), f"{what}, or None") if or_none else Takes(usable, what)


def _is_message_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def shown(option: str, value: Any) -> str:
    """A value as an error says it; a secret is left out."""
    return "'***'" if option in SECRET else repr(value)


def boolean(text: str) -> bool:
    """Yes or no, as people write it in the environment; ValueError for the rest."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _ip_version(text: str) -> str | int:
    return int(text) if text in ("4", "6") else text


def _optional(text: str) -> str | None:
    return text or None


def _optional_number(text: str) -> float | None:
    return float(text) if text else None


def _optional_whole(text: str) -> int | None:
    return int(text) if text else None


def header_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """The names in "x-api-key, x-token", or in several texts; TypeError for the rest."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(value)


def host_and_port(entry: str) -> tuple[str, int]:
    """Split "198.51.100.7:7844", "[2001:db8::7]:7844" or "host:7844"; ValueError for the rest."""
    host, _, port_text = entry.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        ipaddress.IPv6Address(host)
    elif not host or ":" in host:
        raise ValueError(entry)
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise ValueError(entry)
    return host, port


def ip_and_port(entry: str) -> tuple[str, int]:
    """Split "198.51.100.53", "2001:db8::53" and what has a port; ValueError for the rest."""
    try:
        return str(ipaddress.ip_address(entry)), _DNS_PORT
    except ValueError:
        host, port = host_and_port(entry)
        return str(ipaddress.ip_address(host)), port


_DNS_PORT = 53
_LONGEST = 3600.0  # s
_LARGEST = 1 << 30  # bytes
_MOST_IDLE = 1000  # connections
_SHORTEST_SECRET, _LONGEST_SECRET = 16, 1000  # characters
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")  # RFC 3986 §2.3, what is never percent-encoded
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2

TAKES: dict[str, Takes] = {
    "mode": Takes(lambda value: value in ("asgi", "proxy"), '"asgi" or "proxy"'),
    "origin": Takes(
        _or_none(_is_origin),
        '"8000", "127.0.0.1:8000", "https://localhost:8443", "unix:/run/app.sock" and the like, '
        "without a path",
    ),
    "host_header": Takes(
        _or_none(lambda value: isinstance(value, str) and is_host(value)),
        'a host such as "localhost:8000", or None',
    ),
    "origin_connect_timeout": _seconds_from(0.1),
    "origin_response_timeout": _seconds_from(0.1, or_none=True),
    "origin_idle_timeout": _seconds_from(0.0),
    "origin_idle_connections": Takes(
        lambda value: _is_whole(value) and 0 <= value <= _MOST_IDLE,
        f"a whole number from 0 to {_MOST_IDLE}",
    ),
    "origin_ca_file": Takes(
        _or_none(_has_certificates), "a PEM file with certificates that exists"
    ),
    "origin_tls_verify": Takes(_is_boolean, "True or False"),
    "enabled": Takes(_or_none(_is_boolean), "True, False or None"),
    "strict": Takes(_is_boolean, "True or False"),
    "wait_ready": Takes(_is_boolean, "True or False"),
    "ha_connections": Takes(_is_whole, "a whole number, 1 to 4"),
    "max_reconnect_attempts": Takes(
        _or_none(lambda value: _is_whole(value) and value >= 0), "a whole number from 0, or None"
    ),
    "engine": Takes(lambda value: value in get_args(EngineName), '"auto", "native" or "aioquic"'),
    "service_url": Takes(_is_address, 'an address such as "https://api.trycloudflare.com"'),
    "edge": Takes(
        _is_edge,
        f'"{LOCAL_EDGE}", or entries such as "198.51.100.7:7844" and "[2001:db8::7]:7844" '
        "with commas between",
    ),
    "nameservers": Takes(
        _or_none(_is_nameservers),
        'IP addresses such as "198.51.100.53", "198.51.100.53:5353" and "[2001:db8::53]:5353" '
        "with commas between",
    ),
    "ca_file": Takes(_or_none(_is_file), "a PEM file that exists"),
    "edge_ip_version": Takes(lambda value: value in ("auto", 4, 6), '"auto", 4 or 6'),
    "user_agent": Takes(_is_header_text, "printable ASCII text"),
    "handshake_timeout": _seconds_from(0.1),
    "grace_period": _seconds_from(0.0),
    "diagnostics_path": Takes(_or_none(_is_plain_path), 'a path such as "/_quicktunnel", or None'),
    "diagnostics_token": Takes(
        _or_none(_is_secret),
        f"{_SHORTEST_SECRET} to {_LONGEST_SECRET} printable ASCII characters without spaces, & "
        "and #, or None",
    ),
    "inspect": Takes(_is_boolean, "True or False"),
    "inspect_redact": Takes(
        _is_header_names, 'names of headers such as "x-api-key, x-token", or several of them'
    ),
    "on_url": Takes(_or_none(callable), "a function that takes the URL"),
    "url_file": Takes(_or_none(_is_file_to_be), "a path in a folder that exists"),
    "reuse_url": Takes(_is_boolean, "True or False"),
    "websocket_ping_interval": _seconds_from(0.1, or_none=True),
    "websocket_ping_timeout": _seconds_from(0.1, or_none=True),
    "websocket_max_message_size": Takes(
        _is_message_size, f"a whole number of bytes from 1 to {_LARGEST}"
    ),
}

ENVIRONMENT: dict[str, Callable[[str], Any]] = {
    "mode": str,
    "origin": _optional,
    "host_header": _optional,
    "origin_connect_timeout": float,
    "origin_response_timeout": _optional_number,
    "origin_idle_timeout": float,
    "origin_idle_connections": int,
    "origin_ca_file": _optional,
    "origin_tls_verify": boolean,
    "enabled": boolean,
    "strict": boolean,
    "wait_ready": boolean,
    "ha_connections": int,
    "max_reconnect_attempts": _optional_whole,
    "engine": str,
    "service_url": str,
    "edge": _optional,
    "nameservers": _optional,
    "ca_file": _optional,
    "edge_ip_version": _ip_version,
    "user_agent": str,
    "handshake_timeout": float,
    "grace_period": float,
    "diagnostics_path": _optional,
    "diagnostics_token": _optional,
    "inspect": boolean,
    "inspect_redact": str,
    "url_file": _optional,
    "reuse_url": boolean,
    "websocket_ping_interval": _optional_number,
    "websocket_ping_timeout": _optional_number,
    "websocket_max_message_size": int,
}

SECRET = frozenset({"diagnostics_token"})  # values that nothing may show
