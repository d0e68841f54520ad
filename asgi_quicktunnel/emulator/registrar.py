"""Decides who may register: the same for every transport (protocol.md §5.5, §5.7)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from asgi_quicktunnel.emulator.faults import Faults, RegistrationFault
from asgi_quicktunnel.emulator.tunnels import Tunnel, Tunnels
from asgi_quicktunnel.emulator.violations import Report, Rule
from asgi_quicktunnel.protocol.registration import RegisterRequested

__all__ = ["Admitted", "Registrant", "Registrar"]


class Registrant(Protocol):
    """A connection that registers, or has."""

    @property
    def edge_index(self) -> int:
        """Which of the edge servers it is connected to."""
        ...

    def replaced(self) -> None:
        """Its connector registered anew: end it."""
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """A registration that holds.

    Attributes:
        replaces: connections that stood in its way; they end once it takes requests.
    """

    registrant: Registrant
    request: RegisterRequested
    tunnel: Tunnel
    replaces: tuple[Registrant, ...] = ()


class Registrar:
    """Knows what is registered on all edge servers together."""

    def __init__(self, tunnels: Tunnels, faults: Faults) -> None:
        self._tunnels = tunnels
        self._faults = faults
        self._admitted: list[Admitted] = []

    def register(
        self, registrant: Registrant, request: RegisterRequested, report: Report
    ) -> Admitted | RegistrationFault:
        """Admit a connection or say why not.

        A connector has one connection on each edge server, whatever its index: another one is
        refused as EDUPCONN, unless it says that it replaces the existing one.
        """
        _check_identity(request, report)
        if (fault := self._faults.registration) is not None:
            return fault
        tunnel = self._tunnel_of(request)
        if tunnel is None:
            report(Rule.REGISTRATION, "no such tunnel id")
            return RegistrationFault("Unauthorized: Failed to get tunnel")
        credentials = tunnel.credentials
        if request.account_tag != credentials.account_tag or not hmac.compare_digest(
            request.secret, credentials.secret
        ):
            report(Rule.REGISTRATION, "account tag or secret are not those of the tunnel")
            return RegistrationFault("Unauthorized: Invalid tunnel secret", should_retry=False)
        if request.conn_index > MAX_CONN_INDEX:
            report(Rule.REGISTRATION, f"conn_index {request.conn_index}")
            return RegistrationFault("connection index out of range", should_retry=False)
        duplicates = self._duplicates(registrant, request)
        if duplicates and not request.replace_existing:
            return RegistrationFault(DUPLICATE, should_retry=False)
        for other in duplicates:
            self.withdraw(other)
        replaces = tuple(other.registrant for other in duplicates)
        admitted = Admitted(registrant, request, tunnel, replaces)
        self._admitted.append(admitted)
        return admitted

    def withdraw(self, admitted: Admitted) -> None:
        """The registration ended; harmless when repeated."""
        if admitted in self._admitted:
            self._admitted.remove(admitted)

    def _tunnel_of(self, request: RegisterRequested) -> Tunnel | None:
        if len(request.tunnel_id) != 16:
            return None
        return self._tunnels.by_id(UUID(bytes=request.tunnel_id))

    def _duplicates(self, registrant: Registrant, request: RegisterRequested) -> list[Admitted]:
        """Registrations of the same connector that stand in the way of this one."""
        same_connector = [
            other
            for other in self._admitted
            if other.request.tunnel_id == request.tunnel_id
            and other.request.identity.connector_id == request.identity.connector_id
        ]
        return [
            other
            for other in same_connector
            if other.registrant.edge_index == registrant.edge_index
            or (request.replace_existing and other.request.conn_index == request.conn_index)
        ]


def _check_identity(request: RegisterRequested, report: Report) -> None:
    """What every known connector sends (protocol.md §5.5, §5.6); none of it refuses anyone."""
    identity = request.identity
    if len(identity.connector_id) != 16:
        report(Rule.REGISTRATION, f"a client id of {len(identity.connector_id)} bytes")
    if not identity.version or not identity.arch:
        report(Rule.REGISTRATION, "no version, or no architecture")
    if len(set(identity.features)) != len(identity.features):
        report(Rule.REGISTRATION, "a feature that comes twice")
    if unknown := sorted(set(identity.features) - KNOWN_FEATURES):
        report(Rule.REGISTRATION, f"unknown features: {', '.join(unknown)}")
    if len(request.origin_local_ip) not in (0, 16):
        report(Rule.REGISTRATION, f"a local address of {len(request.origin_local_ip)} bytes")


DUPLICATE = "EDUPCONN"
MAX_CONN_INDEX = 3
KNOWN_FEATURES = {  # protocol.md §5.6; deprecated spellings are not among them
    "allow_remote_config",
    "management_logs",
    "postquantum",
    "quick_reconnects",
    "serialized_headers",
    "support_datagram_v2",
    "support_datagram_v3_2",
    "support_quic_eof",
}
