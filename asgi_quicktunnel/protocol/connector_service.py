"""What the edge may call on a connector, how this one answers, and the edge's side of it.

The configuration is ours (a quick tunnel is locally managed) and UDP sessions are out of scope:
both are declined in the way that each call has for it.

Source: protocol.md §5.2, §7.1, §7.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asgi_quicktunnel.protocol import rpc
from asgi_quicktunnel.protocol.schema import Method, load_schemas
from asgi_quicktunnel.protocol.session import Done, RpcSession

__all__ = [
    "ConfigurationAnswered",
    "ConnectorService",
    "ConnectorServiceClient",
    "Declined",
    "UdpSessionAnswered",
    "connector_methods",
    "decline",
]


@dataclass(frozen=True, slots=True)
class Declined:
    """A call of the edge was declined; `call` is the method's name."""

    call: str


class ConnectorService(RpcSession[Declined]):
    """The connector's end of an RPC stream that the edge opened, behind the signature."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(connector_methods(), self._declined))

    def _declined(self, called: rpc.Called) -> list[Declined]:
        return decline(self._rpc, called)


def connector_methods() -> list[Method]:
    """The methods of CloudflaredServer, each of the interface that declares it."""
    return [load_schemas().method(interface, name) for interface, name in _METHODS]


def decline(connection: rpc.RpcConnection, called: rpc.Called) -> list[Declined]:
    """Answer one call of `connector_methods()`; call it inside `reading()`."""
    name = called.method.name
    if name == "unregisterUdpSession":
        connection.return_exception(called.answer_id, "this connector has no UDP sessions")
        return [Declined(name)]
    if name == "registerUdpSession":
        result: dict[str, Any] = {"err": "this connector does not support UDP sessions"}
        connection.return_results(called.answer_id, {"result": result})
        return [Declined(name)]
    result = {"latestAppliedVersion": NO_CONFIGURATION}
    is_news = called.params.version > NO_CONFIGURATION
    if is_news:
        result["err"] = "this tunnel is configured by its connector"
    connection.return_results(called.answer_id, {"result": result})
    return [Declined(name)] if is_news else []


@dataclass(frozen=True, slots=True)
class ConfigurationAnswered:
    """The connector answered `update_configuration`.

    Attributes:
        question: what the call returned.
        version: of the configuration it has now; -1 when none was ever applied.
        error: why that is not the one it was sent, or None.
    """

    question: int
    version: int
    error: str | None


@dataclass(frozen=True, slots=True)
class UdpSessionAnswered:
    """The connector answered `register_udp_session`; `error` is why there is no session."""

    question: int
    error: str | None


class ConnectorServiceClient(RpcSession[ConfigurationAnswered | UdpSessionAnswered | Done]):
    """The edge's end of an RPC stream, behind the signature that it sends first."""

    def update_configuration(self, version: int, config: bytes) -> int:
        """Push a configuration; `ConfigurationAnswered` comes of it.

        Args:
            version: -2^31 .. 2^31-1; no news unless above the connector's.
            config: JSON, protocol.md §7.2.
        """
        method = load_schemas().method("ConfigurationManager", "updateConfiguration")
        return self._call(method, {"version": version, "config": config}, _configuration_answered)

    def register_udp_session(
        self,
        session_id: bytes,
        destination: tuple[bytes, int],
        *,
        close_after_idle: float = 0.0,
        trace_context: str = "",
    ) -> int:
        """Ask for a UDP session; `UdpSessionAnswered` comes of it.

        Args:
            session_id: 16 bytes.
            destination: 4 or 16 bytes of address, and a port.
            close_after_idle: seconds.
            trace_context: opaque.
        """
        params = {
            "sessionId": session_id,
            "dstIp": destination[0],
            "dstPort": destination[1],
            "closeAfterIdleHint": round(close_after_idle * 1e9),
            "traceContext": trace_context,
        }
        method = load_schemas().method("SessionManager", "registerUdpSession")
        return self._call(method, params, _udp_session_answered)

    def unregister_udp_session(self, session_id: bytes, message: str) -> int:
        """End a UDP session; `Done` or `Failed` comes of it."""
        method = load_schemas().method("SessionManager", "unregisterUdpSession")
        params = {"sessionId": session_id, "message": message}
        return self._call(method, params, lambda question, _: Done(question))


def _configuration_answered(question: int, results: Any) -> ConfigurationAnswered:
    result = results.result
    return ConfigurationAnswered(question, result.latestAppliedVersion, result.err or None)


def _udp_session_answered(question: int, results: Any) -> UdpSessionAnswered:
    return UdpSessionAnswered(question, results.result.err or None)


NO_CONFIGURATION = -1  # the version before any was applied, protocol.md §7.2
_METHODS = (
    ("SessionManager", "registerUdpSession"),
    ("SessionManager", "unregisterUdpSession"),
    ("ConfigurationManager", "updateConfiguration"),
)
