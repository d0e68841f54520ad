"""Every option of a tunnel, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.option_values import (
    ENVIRONMENT,
    LOCAL_EDGE,
    TAKES,
    EngineName,
    boolean,
    header_names,
    host_and_port,
    ip_and_port,
    shown,
)
from asgi_quicktunnel.project import current_project

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
        diagnostics_token: a secret of at least 16 characters that lets other hosts, straight and
            never through a tunnel, see the diagnostics too: as `Authorization: Bearer SECRET`, or
            once as `?token=SECRET` [QUICKTUNNEL_DIAGNOSTICS_TOKEN; empty for None].
        inspect: whether the last requests and their answers are kept in memory, for
            `QuickTunnel.inspector` and the diagnostics [QUICKTUNNEL_INSPECT].
        inspect_redact: names of headers, with commas between, or several of them, whose values are
            shown as `***`, besides Authorization, Proxy-Authorization, Cookie and Set-Cookie
            [QUICKTUNNEL_INSPECT_REDACT].
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
    diagnostics_token: str | None = field(default=None, repr=False)
    inspect: bool = True
    inspect_redact: str | Sequence[str] = ()
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
        for option, takes in TAKES.items():
            value = getattr(self, option)
            if not takes.usable(value):
                raise ConfigError(
                    f"{option}={shown(option, value)} can't be used: it takes {takes.what}"
                )
        object.__setattr__(self, "ha_connections", min(max(self.ha_connections, 1), 4))

    @property
    def edge_entries(self) -> tuple[tuple[str, int], ...]:
        """The (host, port) pairs of `edge`; empty without one and for "local"."""
        if self.edge is None or self.edge == LOCAL_EDGE:
            return ()
        return tuple(host_and_port(entry.strip()) for entry in self.edge.split(","))

    @property
    def nameserver_entries(self) -> tuple[tuple[str, int], ...]:
        """The (IP, port) pairs of `nameservers`; empty without it."""
        if self.nameservers is None:
            return ()
        return tuple(ip_and_port(entry.strip()) for entry in self.nameservers.split(","))

    @property
    def redacted_headers(self) -> frozenset[str]:
        """The names of `inspect_redact`, in lower case."""
        return frozenset(name.lower() for name in header_names(self.inspect_redact))

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
        """What holds: keyword before config, project, environment and default, in this order.

        Raises:
            ConfigError: as `with_options`, `from_env` and `Project.options`.
        """
        if config is not None and not isinstance(config, TunnelConfig):
            raise ConfigError(f"config={config!r} can't be used: it takes a TunnelConfig")
        resolved = cls.from_env(environ)
        if (project := current_project()) is not None:
            resolved = resolved.with_options(project.options())
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
        for option, parse in ENVIRONMENT.items():
            variable = environment_name(option)
            if variable not in environ:
                continue
            text = environ[variable].strip()
            takes = TAKES[option]
            try:
                options[option] = parse(text)
            except ValueError:
                usable = False
            else:
                usable = takes.usable(options[option])
            if not usable:
                what = "1 or 0" if parse is boolean else takes.what
                raise ConfigError(
                    f"{variable}={shown(option, text)} can't be used: it takes {what}"
                )
        return cls(**options)


def environment_options() -> tuple[str, ...]:
    """The options that the environment can set, in the order of `TunnelConfig`."""
    return tuple(field.name for field in fields(TunnelConfig) if field.name in ENVIRONMENT)


def environment_name(option: str) -> str:
    """The variable that sets an option."""
    return f"QUICKTUNNEL_{option.upper()}"


def is_switch(option: str) -> bool:
    """Whether the variable of an option takes 1 or 0."""
    return ENVIRONMENT[option] is boolean
