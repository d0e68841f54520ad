"""Every option of a tunnel, checked once."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, get_args
from urllib.parse import urlsplit

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.origin_address import OriginAddress, is_host

__all__ = [
    "LOCAL_EDGE",
    "PACKAGE_VERSION",
    "EngineName",
    "OnUrl",
    "TunnelConfig",
    "environment_name",
    "environment_options",
    "is_switch",
]

try:
    PACKAGE_VERSION = version("asgi-quicktunnel")
except PackageNotFoundError:  # a source tree that was never installed
    PACKAGE_VERSION = "0+unknown"

OnUrl = Callable[[str], object]  # what it returns is awaited if it can be
EngineName = Literal["auto", "native", "aioquic"]
LOCAL_EDGE = "local"  # the value of `edge` that means: the embedded edge


@dataclass(frozen=True, kw_only=True)
class TunnelConfig:
    """The options of one tunnel; environment names in brackets.

    Attributes:
        mode: "asgi" hands visitors to the app in this process, "proxy" to `origin`. Where it was
            not chosen, an `origin` means "proxy" [QUICKTUNNEL_MODE].
        origin: what answers in proxy mode: "host:port", "port", "http://host:port",
            "https://host:port" or "unix:/path" [QUICKTUNNEL_ORIGIN].
        host_header: in proxy mode, the Host that the origin sees instead of the public one, which
            X-Forwarded-Host then names [QUICKTUNNEL_HOST_HEADER].
        origin_connect_timeout: seconds for a connection to the origin, TLS included
            [QUICKTUNNEL_ORIGIN_CONNECT_TIMEOUT].
        origin_response_timeout: seconds that the origin may be silent until its answer begins, None
            for ever [QUICKTUNNEL_ORIGIN_RESPONSE_TIMEOUT; empty for None].
        origin_idle_timeout: seconds that an idle connection to the origin is kept
            [QUICKTUNNEL_ORIGIN_IDLE_TIMEOUT].
        origin_idle_connections: how many idle connections to the origin are kept at most
            [QUICKTUNNEL_ORIGIN_IDLE_CONNECTIONS].
        origin_ca_file: PEM file that replaces the system's trust roots for an https:// origin
            [QUICKTUNNEL_ORIGIN_CA_FILE].
        origin_tls_verify: False trusts any certificate of an https:// origin
            [QUICKTUNNEL_ORIGIN_TLS_VERIFY].
        enabled: False switches everything off; None means on, except under pytest
            (`PYTEST_VERSION` is set) when no `edge` is given [QUICKTUNNEL_ENABLED].
        strict: whether a tunnel that can't start makes the app's startup fail, which then waits
            for it; otherwise it is logged and the app runs on [QUICKTUNNEL_STRICT].
        wait_ready: whether startup waits until the URL works [QUICKTUNNEL_WAIT_READY].
        ha_connections: how many connections to the edge, clamped to 1..4
            [QUICKTUNNEL_HA_CONNECTIONS].
        max_reconnect_attempts: failures in a row after which a connection is given up, None for
            never [QUICKTUNNEL_MAX_RECONNECT_ATTEMPTS; empty for None].
        engine: which QUIC engine carries the connections: "native" (the package
            asgi-quicktunnel-native), "aioquic", or "auto" for native where it is installed
            [QUICKTUNNEL_ENGINE].
        service_url: where tunnels are provisioned [QUICKTUNNEL_SERVICE_URL].
        edge: comma-separated host:port entries that replace discovery (entries 1, 3, .. are
            region 1 and 2, 4, .. region 2), or "local" for the embedded edge [QUICKTUNNEL_EDGE].
        nameservers: comma-separated IP or IP:port entries, port 53 if none is given, that replace
            the lookup of the servers that answer for the public URL's zone
            [QUICKTUNNEL_NAMESERVERS].
        ca_file: PEM file that replaces the trust roots [QUICKTUNNEL_CA_FILE].
        edge_ip_version: "auto", 4 or 6 [QUICKTUNNEL_EDGE_IP_VERSION].
        user_agent: sent to the service [QUICKTUNNEL_USER_AGENT].
        handshake_timeout: seconds for one dial and registration of the edge
            [QUICKTUNNEL_HANDSHAKE_TIMEOUT].
        grace_period: seconds that requests in flight may take at shutdown
            [QUICKTUNNEL_GRACE_PERIOD].
        diagnostics_path: where local visitors find the diagnostics, None switches them off
            [QUICKTUNNEL_DIAGNOSTICS_PATH; empty for None].
        on_url: called with the public URL, on the event loop, each time one begins to work; sync or
            async. What it raises is logged.
        url_file: path of a file that holds the URL while it works [QUICKTUNNEL_URL_FILE].
        reuse_url: whether a server's reloader and its workers keep one URL, as long as the process
            that starts them runs [QUICKTUNNEL_REUSE_URL].
        websocket_ping_interval: seconds between the pings on a WebSocket, None sends none
            [QUICKTUNNEL_WEBSOCKET_PING_INTERVAL; empty for None].
        websocket_ping_timeout: seconds of silence after a ping until the visitor counts as gone,
            None waits for ever [QUICKTUNNEL_WEBSOCKET_PING_TIMEOUT; empty for None].
        websocket_max_message_size: bytes that a WebSocket message of a visitor may have
            [QUICKTUNNEL_WEBSOCKET_MAX_MESSAGE_SIZE].

    Raises:
        ConfigError: a value that can't be used.
    """

    mode: Literal["asgi", "proxy"] = "asgi"
    origin: str | None = None
    host_header: str | None = None
    origin_connect_timeout: float = 10.0
    origin_response_timeout: float | None = 95.0
    origin_idle_timeout: float = 30.0
    origin_idle_connections: int = 16
    origin_ca_file: str | None = None
    origin_tls_verify: bool = True
    enabled: bool | None = None
    strict: bool = False
    wait_ready: bool = False
    ha_connections: int = 2
    max_reconnect_attempts: int | None = None
    engine: EngineName = "auto"
    service_url: str = "https://api.trycloudflare.com"
    edge: str | None = None
    nameservers: str | None = None
    ca_file: str | None = None
    edge_ip_version: Literal["auto", 4, 6] = "auto"
    user_agent: str = f"asgi-quicktunnel/{PACKAGE_VERSION}"
    handshake_timeout: float = 30.0
    grace_period: float = 30.0
    diagnostics_path: str | None = "/_quicktunnel"
    on_url: OnUrl | None = None
    url_file: str | None = None
    reuse_url: bool = True
    websocket_ping_interval: float | None = 20.0
    websocket_ping_timeout: float | None = 20.0
    websocket_max_message_size: int = 16 << 20

    if TYPE_CHECKING:
        _given: ClassVar[frozenset[str]]  # per instance; ClassVar keeps it out of the fields

    def __new__(cls, **options: Any) -> Self:
        """Remember which options were given: the environment sets only the others."""
        config = super().__new__(cls)
        object.__setattr__(config, "_given", frozenset(options))
        return config

    def __post_init__(self) -> None:
        for option, takes in _TAKES.items():
            value = getattr(self, option)
            if not takes.usable(value):
                raise ConfigError(f"{option}={value!r} can't be used: it takes {takes.what}")
        object.__setattr__(self, "ha_connections", min(max(self.ha_connections, 1), 4))

    @property
    def edge_entries(self) -> tuple[tuple[str, int], ...]:
        """The (host, port) pairs of `edge`; empty without one and for "local"."""
        if self.edge is None or self.edge == LOCAL_EDGE:
            return ()
        return tuple(_host_and_port(entry.strip()) for entry in self.edge.split(","))

    @property
    def nameserver_entries(self) -> tuple[tuple[str, int], ...]:
        """The (IP, port) pairs of `nameservers`; empty without it."""
        if self.nameservers is None:
            return ()
        return tuple(_ip_and_port(entry.strip()) for entry in self.nameservers.split(","))

    def is_given(self, option: str) -> bool:
        """Whether somebody chose this option, by keyword, config or environment."""
        return option in self._given

    def is_enabled(self, environ: Mapping[str, str]) -> bool:
        """Whether a tunnel should run at all."""
        if self.enabled is None:
            return self.edge is not None or "PYTEST_VERSION" not in environ
        return self.enabled

    def with_options(self, options: Mapping[str, Any]) -> TunnelConfig:
        """The same with some options replaced.

        Raises:
            ConfigError: an option that does not exist, or a value that can't be used.
        """
        unknown = sorted(options.keys() - {field.name for field in fields(self)})
        if unknown:
            known = ", ".join(sorted(field.name for field in fields(self)))
            raise ConfigError(f"there is no option {unknown[0]!r}; the options are: {known}")
        config = replace(self, **options)
        object.__setattr__(config, "_given", self._given | options.keys())
        return config

    @classmethod
    def resolve(
        cls,
        config: TunnelConfig | None,
        options: Mapping[str, Any],
        environ: Mapping[str, str],
    ) -> TunnelConfig:
        """What holds: keyword before config, before environment, before default.

        Raises:
            ConfigError: as `with_options` and `from_env`.
        """
        if config is not None and not isinstance(config, TunnelConfig):
            raise ConfigError(f"config={config!r} can't be used: it takes a TunnelConfig")
        resolved = cls.from_env(environ)
        if config is not None:
            given = {name: getattr(config, name) for name in config._given}
            resolved = resolved.with_options(given)
        resolved = resolved.with_options(options)
        if resolved.origin is not None and not resolved.is_given("mode"):
            return resolved.with_options({"mode": "proxy"})
        if resolved.mode == "proxy" and resolved.origin is None:
            raise ConfigError(
                "mode='proxy' can't be used without an origin such as \"127.0.0.1:8000\""
            )
        return resolved

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> TunnelConfig:
        """The options that environment variables set, the defaults for the rest.

        Raises:
            ConfigError: a variable with a value that can't be used.
        """
        options: dict[str, Any] = {}
        for option, parse in _ENVIRONMENT.items():
            variable = environment_name(option)
            if variable not in environ:
                continue
            text = environ[variable].strip()
            takes = _TAKES[option]
            try:
                options[option] = parse(text)
            except ValueError:
                usable = False
            else:
                usable = takes.usable(options[option])
            if not usable:
                what = "1 or 0" if parse is _boolean else takes.what
                raise ConfigError(f"{variable}={text!r} can't be used: it takes {what}")
        return cls(**options)


def environment_options() -> tuple[str, ...]:
    """The options that the environment can set, in the order of `TunnelConfig`."""
    return tuple(field.name for field in fields(TunnelConfig) if field.name in _ENVIRONMENT)


def environment_name(option: str) -> str:
    """The variable that sets an option."""
    return f"QUICKTUNNEL_{option.upper()}"


def is_switch(option: str) -> bool:
    """Whether the variable of an option takes 1 or 0."""
    return _ENVIRONMENT[option] is _boolean


class _Takes(NamedTuple):
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
        return bool([_host_and_port(entry.strip()) for entry in value.split(",")])
    except (ValueError, AttributeError):
        return False


def _is_nameservers(value: Any) -> bool:
    try:
        return bool([_ip_and_port(entry.strip()) for entry in value.split(",")])
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


def _is_plain_path(value: Any) -> bool:
    return (
        isinstance(value, str)
        and _PLAIN_PATH.fullmatch(value) is not None
        and not {".", ".."} & set(value.split("/"))
    )


def _seconds_from(lowest: float, *, or_none: bool = False) -> _Takes:
    def usable(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and lowest <= value <= _LONGEST

    what = f"a number of seconds from {lowest:g} to {_LONGEST:g}"
    return _Takes(_or_none(usable), f"{what}, or None") if or_none else _Takes(usable, what)


def _is_message_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _boolean(text: str) -> bool:
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


def _host_and_port(entry: str) -> tuple[str, int]:
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


def _ip_and_port(entry: str) -> tuple[str, int]:
    """Split "198.51.100.53", "2001:db8::53" and what has a port; ValueError for the rest."""
    try:
        return str(ipaddress.ip_address(entry)), _DNS_PORT
    except ValueError:
        host, port = _host_and_port(entry)
        return str(ipaddress.ip_address(host)), port


_DNS_PORT = 53
_LONGEST = 3600.0  # s
_LARGEST = 1 << 30  # bytes
_MOST_IDLE = 1000  # connections
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")  # RFC 3986 §2.3, what is never percent-encoded

_TAKES: dict[str, _Takes] = {
    "mode": _Takes(lambda value: value in ("asgi", "proxy"), '"asgi" or "proxy"'),
    "origin": _Takes(
        _or_none(_is_origin),
        '"8000", "127.0.0.1:8000", "https://localhost:8443", "unix:/run/app.sock" and the like, '
        "without a path",
    ),
    "host_header": _Takes(
        _or_none(lambda value: isinstance(value, str) and is_host(value)),
        'a host such as "localhost:8000", or None',
    ),
    "origin_connect_timeout": _seconds_from(0.1),
    "origin_response_timeout": _seconds_from(0.1, or_none=True),
    "origin_idle_timeout": _seconds_from(0.0),
    "origin_idle_connections": _Takes(
        lambda value: _is_whole(value) and 0 <= value <= _MOST_IDLE,
        f"a whole number from 0 to {_MOST_IDLE}",
    ),
    "origin_ca_file": _Takes(
        _or_none(_has_certificates), "a PEM file with certificates that exists"
    ),
    "origin_tls_verify": _Takes(_is_boolean, "True or False"),
    "enabled": _Takes(_or_none(_is_boolean), "True, False or None"),
    "strict": _Takes(_is_boolean, "True or False"),
    "wait_ready": _Takes(_is_boolean, "True or False"),
    "ha_connections": _Takes(_is_whole, "a whole number, 1 to 4"),
    "max_reconnect_attempts": _Takes(
        _or_none(lambda value: _is_whole(value) and value >= 0), "a whole number from 0, or None"
    ),
    "engine": _Takes(lambda value: value in get_args(EngineName), '"auto", "native" or "aioquic"'),
    "service_url": _Takes(_is_address, 'an address such as "https://api.trycloudflare.com"'),
    "edge": _Takes(
        _is_edge,
        f'"{LOCAL_EDGE}", or entries such as "198.51.100.7:7844" and "[2001:db8::7]:7844" '
        "with commas between",
    ),
    "nameservers": _Takes(
        _or_none(_is_nameservers),
        'IP addresses such as "198.51.100.53", "198.51.100.53:5353" and "[2001:db8::53]:5353" '
        "with commas between",
    ),
    "ca_file": _Takes(_or_none(_is_file), "a PEM file that exists"),
    "edge_ip_version": _Takes(lambda value: value in ("auto", 4, 6), '"auto", 4 or 6'),
    "user_agent": _Takes(_is_header_text, "printable ASCII text"),
    "handshake_timeout": _seconds_from(0.1),
    "grace_period": _seconds_from(0.0),
    "diagnostics_path": _Takes(_or_none(_is_plain_path), 'a path such as "/_quicktunnel", or None'),
    "on_url": _Takes(_or_none(callable), "a function that takes the URL"),
    "url_file": _Takes(_or_none(_is_file_to_be), "a path in a folder that exists"),
    "reuse_url": _Takes(_is_boolean, "True or False"),
    "websocket_ping_interval": _seconds_from(0.1, or_none=True),
    "websocket_ping_timeout": _seconds_from(0.1, or_none=True),
    "websocket_max_message_size": _Takes(
        _is_message_size, f"a whole number of bytes from 1 to {_LARGEST}"
    ),
}

_ENVIRONMENT: dict[str, Callable[[str], Any]] = {
    "mode": str,
    "origin": _optional,
    "host_header": _optional,
    "origin_connect_timeout": float,
    "origin_response_timeout": _optional_number,
    "origin_idle_timeout": float,
    "origin_idle_connections": int,
    "origin_ca_file": _optional,
    "origin_tls_verify": _boolean,
    "enabled": _boolean,
    "strict": _boolean,
    "wait_ready": _boolean,
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
    "url_file": _optional,
    "reuse_url": _boolean,
    "websocket_ping_interval": _optional_number,
    "websocket_ping_timeout": _optional_number,
    "websocket_max_message_size": int,
}
