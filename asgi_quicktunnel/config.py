"""Every option of a tunnel, checked once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from asgi_quicktunnel.errors import ConfigError

__all__ = ["LOCAL_EDGE", "PACKAGE_VERSION", "TunnelConfig"]

try:
    PACKAGE_VERSION = version("asgi-quicktunnel")
except PackageNotFoundError:  # a source tree that was never installed
    PACKAGE_VERSION = "0+unknown"

LOCAL_EDGE = "local"  # the value of `edge` that means: the embedded edge


@dataclass(frozen=True, kw_only=True)
class TunnelConfig:
    """The options of one tunnel; environment names in brackets.

    Attributes:
        enabled: False switches everything off; None means on, except under pytest
            (`PYTEST_VERSION` is set) when no `edge` is given [QUICKTUNNEL_ENABLED].
        strict: whether a tunnel that can't start makes the app's startup fail; otherwise it is
            logged and the app runs on [QUICKTUNNEL_STRICT].
        wait_ready: whether startup waits until the URL works [QUICKTUNNEL_WAIT_READY].
        service_url: where tunnels are provisioned [QUICKTUNNEL_SERVICE_URL].
        edge: comma-separated host:port entries that replace discovery (entries 1, 3, .. are
            region 1 and 2, 4, .. region 2), or "local" for the embedded edge [QUICKTUNNEL_EDGE].
        ca_file: PEM file that replaces the trust roots [QUICKTUNNEL_CA_FILE].
        edge_ip_version: "auto", 4 or 6 [QUICKTUNNEL_EDGE_IP_VERSION].
        user_agent: sent to the service.
        handshake_timeout: seconds for one dial and registration of the edge.
        grace_period: seconds that requests in flight may take at shutdown
            [QUICKTUNNEL_GRACE_PERIOD].
        diagnostics_path: where local visitors find the diagnostics, None switches them off
            [QUICKTUNNEL_DIAGNOSTICS_PATH; empty for None].

    Raises:
        ConfigError: a value that can't be used.
    """

    enabled: bool | None = None
    strict: bool = False
    wait_ready: bool = False
    service_url: str = "https://api.trycloudflare.com"
    edge: str | None = None
    ca_file: str | None = None
    edge_ip_version: Literal["auto", 4, 6] = "auto"
    user_agent: str = f"asgi-quicktunnel/{PACKAGE_VERSION}"
    handshake_timeout: float = 30.0
    grace_period: float = 30.0
    diagnostics_path: str | None = "/_quicktunnel"

    if TYPE_CHECKING:
        _given: ClassVar[frozenset[str]]  # per instance; ClassVar keeps it out of the fields

    def __new__(cls, **options: Any) -> Self:
        """Remember which options were given: the environment sets only the others."""
        config = super().__new__(cls)
        object.__setattr__(config, "_given", frozenset(options))
        return config

    def __post_init__(self) -> None:
        for name in ("strict", "wait_ready"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "True or False")
        if self.enabled is not None and not isinstance(self.enabled, bool):
            raise _wrong("enabled", self.enabled, "True, False or None")
        self._check_addresses()
        for name, lowest in (("handshake_timeout", 0.1), ("grace_period", 0.0)):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (lowest <= value <= 3600)
            ):
                raise _wrong(name, value, f"a number of seconds from {lowest:g} to 3600")
        if self.edge_ip_version not in ("auto", 4, 6):
            raise _wrong("edge_ip_version", self.edge_ip_version, '"auto", 4 or 6')
        if not isinstance(self.user_agent, str) or not _is_header_text(self.user_agent):
            raise _wrong("user_agent", self.user_agent, "printable ASCII text")
        path = self.diagnostics_path
        if path is not None and not (
            isinstance(path, str)
            and path.startswith("/")
            and not path.endswith("/")
            and not path.startswith("//")
            and not set(path) & set("?#% ")
        ):
            raise _wrong("diagnostics_path", path, 'a path such as "/_quicktunnel", or None')

    def _check_addresses(self) -> None:
        url = self.service_url
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except (TypeError, ValueError, AttributeError):
            usable = False
        if not usable:
            raise _wrong("service_url", url, 'an address such as "https://api.trycloudflare.com"')
        if self.edge is not None:
            if not isinstance(self.edge, str) or not self.edge.strip():
                raise _wrong("edge", self.edge, '"local", or "host:port" entries with commas')
            _ = self.edge_entries
        if self.ca_file is not None and not Path(self.ca_file).is_file():
            raise _wrong("ca_file", self.ca_file, "a PEM file that exists")

    @property
    def edge_entries(self) -> tuple[tuple[str, int], ...]:
        """The (host, port) pairs of `edge`; empty without one and for "local".

        Raises:
            ConfigError: an entry is not host:port.
        """
        if self.edge is None or self.edge == LOCAL_EDGE:
            return ()
        return tuple(_host_and_port(entry.strip()) for entry in self.edge.split(","))

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
            raise _wrong("config", config, "a TunnelConfig")
        resolved = cls.from_env(environ)
        if config is not None:
            given = {name: getattr(config, name) for name in config._given}
            resolved = resolved.with_options(given)
        return resolved.with_options(options)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> TunnelConfig:
        """The options that environment variables set, the defaults for the rest.

        Raises:
            ConfigError: a variable with a value that can't be used.
        """
        options: dict[str, Any] = {}
        for option, parse in _ENVIRONMENT.items():
            variable = f"QUICKTUNNEL_{option.upper()}"
            if variable not in environ:
                continue
            text = environ[variable].strip()
            try:
                options[option] = parse(text)
            except ValueError as exc:
                raise ConfigError(f"{variable}={text!r} can't be used: it takes {exc}") from None
        try:
            return cls(**options)
        except ConfigError as exc:
            raise ConfigError(f"{exc} (set by an environment variable QUICKTUNNEL_...)") from None


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("1 or 0")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number of seconds") from None


def _ip_version(text: str) -> Any:
    return int(text) if text in ("4", "6") else text


def _optional(text: str) -> str | None:
    return text or None


_ENVIRONMENT: dict[str, Callable[[str], Any]] = {
    "enabled": _boolean,
    "strict": _boolean,
    "wait_ready": _boolean,
    "service_url": str,
    "edge": _optional,
    "ca_file": _optional,
    "edge_ip_version": _ip_version,
    "grace_period": _seconds,
    "diagnostics_path": _optional,
}


def _wrong(option: str, value: object, what_would_do: str) -> ConfigError:
    return ConfigError(f"{option}={value!r} can't be used: it takes {what_would_do}")


def _is_header_text(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def _host_and_port(entry: str) -> tuple[str, int]:
    host, colon, port_text = entry.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            colon = ""
    elif ":" in host:
        colon = ""
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else 0
    if not colon or not host or not 1 <= port <= 65535:
        raise _wrong("edge", entry, 'entries such as "198.51.100.7:7844" or "[2001:db8::7]:7844"')
    return host, port
