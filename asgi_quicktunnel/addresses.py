"""Which HA connection uses which edge address (protocol.md §2, "Address allocation")."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from asgi_quicktunnel.errors import DiscoveryError
from asgi_quicktunnel.model import EdgeAddress

__all__ = ["AddressBook"]


class AddressBook:
    """Hands out edge addresses: one per connection, spread over both regions, kept until rotated.

    Pure: discovery's answer comes in through `update`.
    """

    def __init__(self) -> None:
        self._known: list[EdgeAddress] = []
        self._held: dict[int, EdgeAddress] = {}
        self._left: dict[int, EdgeAddress] = {}

    def update(self, addresses: Sequence[EdgeAddress]) -> None:
        """Take what discovery found, best first; a held address that is gone is let go."""
        self._known = list(addresses)
        self._held = {
            index: address for index, address in self._held.items() if address in self._known
        }

    def take(
        self,
        conn_index: int,
        *,
        preferred: EdgeAddress | None = None,
        elsewhere: Collection[EdgeAddress] = (),
    ) -> EdgeAddress:
        """The address for this connection: the one it holds, or a free one.

        A free one comes from the region with fewer connections, and is not the one it just left
        unless there is no other.

        Args:
            conn_index: 0..3; connections that know nothing of each other begin at different ones.
            preferred: the one to take if it is free and was not just left.
            elsewhere: addresses that other processes use.

        Raises:
            DiscoveryError: every address is in use by another connection, or none is known.
        """
        held = self._held.get(conn_index)
        if held is not None:
            return held
        in_use = {*self._held.values(), *elsewhere}
        free = [address for address in self._known if address not in in_use]
        if not free:
            raise DiscoveryError(
                f"no edge address is free for connection {conn_index}: {len(self._known)} known, "
                f"{len(in_use)} in use; edge= takes more host:port entries"
            )
        left = self._left.get(conn_index)
        candidates = [address for address in free if address != left] or free
        if not self._held and left is None:  # others may be choosing at this moment too
            first = conn_index % len(candidates)
            candidates = candidates[first:] + candidates[:first]
        if preferred in candidates and preferred != left:
            address = preferred
        else:
            address = min(candidates, key=lambda each: _count(in_use, each.region))
        self._held[conn_index] = address
        return address

    def rotate(self, conn_index: int) -> None:
        """Let the connection take another address next time."""
        held = self._held.pop(conn_index, None)
        if held is not None:
            self._left[conn_index] = held
            # Best last: an address that failed is tried again after the others.
            self._known.sort(key=lambda address: address == held)

    def release(self, conn_index: int) -> None:
        """The connection is not kept any more."""
        self._held.pop(conn_index, None)


def _count(addresses: Iterable[EdgeAddress], region: int) -> int:
    return sum(address.region == region for address in addresses)
