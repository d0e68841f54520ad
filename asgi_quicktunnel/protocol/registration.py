"""Registering a connection at the edge: both ends of the control stream, typed.

Source: protocol.md §5.2-5.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from asgi_quicktunnel.errors import LocalProtocolError
from asgi_quicktunnel.model import Credentials, Registration
from asgi_quicktunnel.protocol import rpc
from asgi_quicktunnel.protocol.connector_service import (
    ConfigurationAnswered,
    ConnectorService,
    ConnectorServiceClient,
    Declined,
    UdpSessionAnswered,
    connector_methods,
    decline,
)
from asgi_quicktunnel.protocol.schema import Method, load_schemas
from asgi_quicktunnel.protocol.session import Done, Ended, Failed, RpcSession

__all__ = [
    "DEFAULT_FEATURES",
    "ClientIdentity",
    "ConfigurationAnswered",
    "ConnectorService",
    "ConnectorServiceClient",
    "Declined",
    "Done",
    "Ended",
    "Failed",
    "LocalConfigurationPushed",
    "Refused",
    "RegisterRequested",
    "Registered",
    "RegistrationClient",
    "RegistrationServer",
    "UdpSessionAnswered",
    "UnregisterRequested",
]


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What a connector says about itself; the edge checks none of it (protocol.md §5.5).

    Attributes:
        connector_id: 16 bytes, one per process.
        version: such as "asgi-quicktunnel/0.1.0".
        arch: `<os>_<arch>`, such as "linux_amd64".
        features: protocol.md §5.6.
    """

    connector_id: bytes
    version: str
    arch: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registered:
    """The edge accepted the connection."""

    question: int
    registration: Registration


@dataclass(frozen=True, slots=True)
class Refused:
    """The edge refused the connection.

    Attributes:
        question: what `register` returned.
        cause: the edge's words; exactly "EDUPCONN" means that this connector already has a
            connection on that edge server.
        should_retry: whether the edge thinks that a later attempt may do.
        retry_after: seconds to wait before it, or None.
    """

    question: int
    cause: str
    should_retry: bool
    retry_after: float | None


class RegistrationClient(RpcSession[Registered | Refused | Done]):
    """The connector's end of the control stream.

    Every call may be made at once: the request for the edge's bootstrap goes ahead of the first,
    and nothing waits for its answer. Each returns a question's number, which one event will name.
    """

    def __init__(self) -> None:
        # The edge has not been seen to call here; a stub is harmless (protocol.md §5.1).
        super().__init__(dict.fromkeys(connector_methods(), self._declined))

    def register(
        self,
        credentials: Credentials,
        conn_index: int,
        identity: ClientIdentity,
        *,
        origin_local_ip: bytes = b"",
        replace_existing: bool = False,
        previous_attempts: int = 0,
    ) -> int:
        """Register this connection; `Registered`, `Refused` or `Failed` comes of it.

        Args:
            credentials: of the tunnel.
            conn_index: 0..3.
            identity: of this process.
            origin_local_ip: 16 bytes, IPv4 as ::ffff:a.b.c.d; empty when it is not known.
            replace_existing: whether this connector held the same index before.
            previous_attempts: since the last success; above 255 it is sent as 255.

        Raises:
            LocalProtocolError: a value does not fit, or the session has ended.

        Source: RegistrationServer.registerConnection @0, protocol.md §5.5.
        """
        if len(identity.connector_id) != 16 or len(origin_local_ip) not in (0, 16):
            raise LocalProtocolError("a connector id or local address that is not 16 bytes long")
        options: dict[str, Any] = {
            "client": {
                "clientId": identity.connector_id,
                "features": list(identity.features),
                "version": identity.version,
                "arch": identity.arch,
            },
            "replaceExisting": replace_existing,
            "numPreviousAttempts": min(previous_attempts, 255),
        }
        if origin_local_ip:
            options["originLocalIp"] = origin_local_ip
        params = {
            "auth": {"accountTag": credentials.account_tag, "tunnelSecret": credentials.secret},
            "tunnelId": credentials.tunnel_id.bytes,
            "connIndex": conn_index,
            "options": options,
        }
        return self._call(_method("registerConnection"), params, _registration_result)

    def unregister(self) -> int:
        """Ask for no more requests; `Done` or `Failed` comes of it.

        Source: RegistrationServer.unregisterConnection @1.
        """
        return self._call(_method("unregisterConnection"), {}, _done)

    def update_local_configuration(self, config: bytes) -> int:
        """Tell the edge how this connector is configured; `Done` or `Failed` comes of it.

        Args:
            config: UTF-8 JSON, protocol.md §5.8.

        Source: RegistrationServer.updateLocalConfiguration @2.
        """
        return self._call(_method("updateLocalConfiguration"), {"config": config}, _done)

    def _declined(self, called: rpc.Called) -> tuple[()]:
        decline(self._rpc, called)
        return ()


@dataclass(frozen=True, slots=True)
class RegisterRequested:
    """A connector wants to be registered; answer with `accept`, `refuse` or `fail`.

    Attributes:
        answer: what to answer with.
        account_tag: with `secret`, what authorises the connector.
        secret: never shown.
        tunnel_id: 16 bytes, if the connector is honest.
        conn_index: 0..255.
        identity: who it says it is.
        origin_local_ip: 16 bytes or none.
        replace_existing: whether it held this index before.
        compression_quality: 0 from every known connector.
        previous_attempts: since its last success.
    """

    answer: int
    account_tag: str
    secret: bytes = field(repr=False)
    tunnel_id: bytes
    conn_index: int
    identity: ClientIdentity
    origin_local_ip: bytes
    replace_existing: bool
    compression_quality: int
    previous_attempts: int


@dataclass(frozen=True, slots=True)
class UnregisterRequested:
    """A connector wants no more requests; answer with `done` or `fail`."""

    answer: int


@dataclass(frozen=True, slots=True)
class LocalConfigurationPushed:
    """A connector tells its configuration, JSON; answer with `done` or `fail`."""

    answer: int
    config: bytes


Request = RegisterRequested | UnregisterRequested | LocalConfigurationPushed


class RegistrationServer(RpcSession[Request]):
    """The edge's end of the control stream. Each request is answered once.

    An answer to a request that the connector gave up, or after the session's end, is harmless.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                _method("registerConnection"): _register_requested,
                _method("unregisterConnection"): _unregister_requested,
                _method("updateLocalConfiguration"): _configuration_pushed,
            }
        )

    def accept(self, answer: int, registration: Registration) -> None:
        """Answer `RegisterRequested`: the connection is registered."""
        details = {
            "uuid": registration.connection_id.bytes,
            "locationName": registration.colo,
            "tunnelIsRemotelyManaged": registration.remotely_managed,
        }
        result = {"result": {"result": {"connectionDetails": details}}}
        self._rpc.return_results(answer, result)

    def refuse(
        self, answer: int, cause: str, *, should_retry: bool, retry_after: float | None = None
    ) -> None:
        """Answer `RegisterRequested`: the connection is refused.

        Args:
            answer: of the request.
            cause: such as "EDUPCONN".
            should_retry: whether a later attempt may do.
            retry_after: seconds to wait before it.
        """
        error = {
            "cause": cause,
            "retryAfter": round((retry_after or 0) * 1e9),
            "shouldRetry": should_retry,
        }
        self._rpc.return_results(answer, {"result": {"result": {"error": error}}})

    def done(self, answer: int) -> None:
        """Answer `UnregisterRequested` or `LocalConfigurationPushed`: carried out."""
        self._rpc.return_results(answer, {})

    def fail(self, answer: int, reason: str) -> None:
        """Answer any request with an exception."""
        self._rpc.return_exception(answer, reason)


def _register_requested(called: rpc.Called) -> tuple[Request]:
    params = called.params
    auth, options = params.auth, params.options
    client = options.client
    request = RegisterRequested(
        answer=called.answer_id,
        account_tag=auth.accountTag,
        secret=auth.tunnelSecret,
        tunnel_id=params.tunnelId,
        conn_index=params.connIndex,
        identity=ClientIdentity(
            connector_id=client.clientId,
            version=client.version,
            arch=client.arch,
            features=tuple(client.features),
        ),
        origin_local_ip=options.originLocalIp,
        replace_existing=options.replaceExisting,
        compression_quality=options.compressionQuality,
        previous_attempts=options.numPreviousAttempts,
    )
    return (request,)


def _unregister_requested(called: rpc.Called) -> tuple[Request]:
    return (UnregisterRequested(called.answer_id),)


def _configuration_pushed(called: rpc.Called) -> tuple[Request]:
    return (LocalConfigurationPushed(called.answer_id, called.params.config),)


def _registration_result(question: int, results: Any) -> Registered | Refused | Failed:
    result = results.result.result
    if str(result.which) == "error":
        error = result.error
        retry_after = error.retryAfter / 1e9 if error.retryAfter > 0 else None
        return Refused(question, error.cause, error.shouldRetry, retry_after)
    details = result.connectionDetails
    uuid = details.uuid
    if len(uuid) != 16:
        # As cloudflared: no registration, but a session that goes on (protocol.md §5.3).
        return Failed(question, f"the edge names the connection with {len(uuid)} bytes, not 16")
    registration = Registration(
        connection_id=UUID(bytes=uuid),
        colo=details.locationName,
        remotely_managed=details.tunnelIsRemotelyManaged,
    )
    return Registered(question, registration)


def _done(question: int, results: Any) -> Done:
    return Done(question)


def _method(name: str) -> Method:
    return load_schemas().method("RegistrationServer", name)


# cloudflared's own list less "management_logs", whose requests are not served; protocol.md §5.6.
DEFAULT_FEATURES = (
    "allow_remote_config",
    "serialized_headers",
    "support_datagram_v2",
    "support_quic_eof",
)
