"""Where an origin listens, when it is not the app in this process."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

__all__ = ["OriginAddress", "is_host"]


@dataclass(frozen=True, slots=True)
class OriginAddress:
    """A TCP port or a unix socket that answers HTTP/1.1.

    Attributes:
        host: name or literal IP address, without brackets; "" for a unix socket.
        port: TCP port; 0 for a unix socket.
        is_tls: whether it speaks HTTPS.
        unix_path: absolute path of the socket, or None.
    """

    host: str = ""
    port: int = 0
    is_tls: bool = False
    unix_path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "8000", "host:port", "http://host", "https://host:port" or "unix:/path".

        A port alone is one of localhost, whichever loopback address listens there.

        Raises:
            ValueError: it is none of them, or names a path, a query or a user.
        """
        if text.startswith("unix:"):
            return cls(unix_path=_socket_path(text.removeprefix("unix:")))
        if not (text.isascii() and text.isprintable()):  # urlsplit reads over line ends
            raise ValueError(f"{text!r} is no host and port")
        if text.isdigit():
            text = f"localhost:{text}"
        has_scheme = "://" in text
        parts = urlsplit(text if has_scheme else f"http://{text}")
        port = parts.port
        if parts.scheme not in _DEFAULT_PORTS or (port is None and not has_scheme):
            raise ValueError(f"{text!r} has no port")
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        host = parts.hostname or ""
        if "@" in parts.netloc or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"{text!r} has more than a host and a port")
        if not port or not is_host(parts.netloc) or len(host) > _LONGEST_NAME:
            raise ValueError(f"{text!r} is no host and port")
        return cls(host, port, parts.scheme == "https")

    @property
    def authority(self) -> str:
        """What a request names as Host that names none itself (RFC 9110 §7.2)."""
        if self.unix_path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == _DEFAULT_PORTS["https" if self.is_tls else "http"]:
            return host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.is_tls else ''}://{host}:{self.port}"


def is_host(text: str) -> bool:
    """Whether this can stand in a Host header: a name or address with an optional port."""
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    if match[1] is None:
        return True
    try:
        ipaddress.IPv6Address(match[1])
    except ValueError:
        return False
    return True


def _socket_path(path: str) -> str:
    path = path.removeprefix("//")  # unix:///run/app.sock is meant as unix:/run/app.sock
    if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"{path!r} is no absolute path of a socket")
    return path


_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_LONGEST_NAME = 253  # RFC 1035 §2.3.4
_LONGEST_SOCKET_PATH = 107  # bytes; unix(7), sun_path without its final NUL
