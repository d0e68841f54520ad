"""The tunnels that were handed out, and which connections serve them."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from uuid import UUID, uuid4

from asgi_quicktunnel.emulator.base import Serving
from asgi_quicktunnel.emulator.changes import Changes
from asgi_quicktunnel.emulator.names import DOMAIN, words
from asgi_quicktunnel.model import Credentials

__all__ = ["Tunnel", "Tunnels"]


class Tunnel:
    """One quick tunnel.

    Args:
        credentials: what the connector was given.
        name: the public host name, without scheme and port.
        changes: told of its connections.
        on_unserved: called when its last connection has gone.

    Attributes:
        credentials: what the connector was given.
        name: the public host name, without scheme and port.
        in_flight: requests being answered now.
        registered_at: when a connection was first registered, on `time.monotonic`, or None.
    """

    def __init__(
        self,
        credentials: Credentials,
        name: str,
        changes: Changes,
        *,
        on_unserved: Callable[[Tunnel], None] | None = None,
    ) -> None:
        self.credentials = credentials
        self.name = name
        self.in_flight = 0
        self.registered_at: float | None = None
        self._serving: list[Serving] = []
        self._turn = 0
        self._changes = changes
        self._on_unserved = on_unserved

    @property
    def url(self) -> str:
        """The public URL, without a trailing slash."""
        return self.credentials.url

    @property
    def serving(self) -> tuple[Serving, ...]:
        """The connections that take requests, in order of registration."""
        return tuple(self._serving)

    def register(self, connection: Serving) -> None:
        """Send this connection its share of the requests from now on."""
        self._serving.append(connection)
        if self.registered_at is None:
            self.registered_at = time.monotonic()
        self._changes.notify()

    def withdraw(self, connection: Serving) -> None:
        """Send it no more; harmless when repeated."""
        if connection in self._serving:
            self._serving.remove(connection)
            if not self._serving and self._on_unserved is not None:
                self._on_unserved(self)
            self._changes.notify()

    def choose(self) -> Serving | None:
        """The connection whose turn it is, or None when none is registered."""
        if not self._serving:
            return None
        self._turn += 1
        return self._serving[self._turn % len(self._serving)]


class Tunnels(Mapping[str, Tunnel]):
    """Every tunnel by its name, oldest first; the names stand under `domain`.

    Args:
        changes: told of what happens to them.
        rng: chooses names.
        domain: what the names stand under.
        withdrawing: forget a tunnel whose last connection has gone.
    """

    def __init__(
        self,
        changes: Changes,
        rng: random.Random | None = None,
        *,
        domain: str = DOMAIN,
        withdrawing: bool = False,
    ) -> None:
        self._domain = domain
        self._by_name: dict[str, Tunnel] = {}
        self._by_id: dict[UUID, Tunnel] = {}
        self._rng = rng or secrets.SystemRandom()
        self._changes = changes
        self._withdrawing = withdrawing

    def create(self, *, scheme: str, port: int) -> Tunnel:
        """Hand out a new tunnel; its URL has this scheme and port."""
        name = f"{words(self._rng)}.{self._domain}"
        credentials = Credentials(
            tunnel_id=uuid4(),
            account_tag=secrets.token_hex(16),
            secret=secrets.token_bytes(SECRET_BYTES),
            hostname=f"{scheme}://{name}:{port}",
        )
        on_unserved = self._forget if self._withdrawing else None
        tunnel = Tunnel(credentials, name, self._changes, on_unserved=on_unserved)
        self._by_name[name] = self._by_id[credentials.tunnel_id] = tunnel
        self._changes.notify()
        return tunnel

    def by_id(self, tunnel_id: UUID) -> Tunnel | None:
        """The tunnel with this id, or None."""
        return self._by_id.get(tunnel_id)

    def _forget(self, tunnel: Tunnel) -> None:
        self._by_name.pop(tunnel.name, None)
        self._by_id.pop(tunnel.credentials.tunnel_id, None)

    @property
    def latest(self) -> Tunnel | None:
        """The tunnel that was handed out last."""
        return next(reversed(self._by_name.values()), None)

    def __getitem__(self, name: str) -> Tunnel:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


SECRET_BYTES = 32  # protocol.md §1
