"""What the typed ends of an RPC connection share: bytes in and out, answers to calls, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.protocol import rpc
from asgi_quicktunnel.protocol.schema import Method, reading

__all__ = ["Done", "Ended", "Failed", "RpcSession"]


@dataclass(frozen=True, slots=True)
class Done:
    """A call that has no results was carried out."""

    question: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A call ended in an exception; `reason` is the peer's words."""

    question: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer ended the session (protocol.md §5.1); calls still open get no answer."""

    reason: str


Event = TypeVar("Event")


class RpcSession(Generic[Event]):
    """An RPC connection whose calls and answers have names and types.

    Args:
        serves: what answers each method we serve, or reports it so that the caller does; None to
            serve none.
    """

    def __init__(
        self, serves: Mapping[Method, Callable[[rpc.Called], Iterable[Event]]] | None = None
    ) -> None:
        self._rpc = rpc.RpcConnection(serves)
        self._handlers = serves or {}
        self._decoders: dict[int, Callable[[int, Any], Event | Failed]] = {}

    @property
    def is_closed(self) -> bool:
        """Whether either side has ended the session."""
        return self._rpc.is_closed

    def data_to_send(self) -> bytes:
        """The bytes to send now, each once."""
        return self._rpc.data_to_send()

    def receive_data(self, data: bytes) -> list[Event | Failed | Ended]:
        """Take the next bytes of the peer; after the end they are ignored.

        Raises:
            RemoteProtocolError: the peer broke the rules. The session is closed, and an abort
                that says why is ready to be sent.
        """
        events: list[Event | Failed | Ended] = []
        try:
            for event in self._rpc.receive_data(data):
                match event:
                    case rpc.Called():
                        with reading():
                            events += self._handlers[event.method](event)
                    case rpc.Returned(question, results):
                        with reading():
                            events.append(self._decoders.pop(question)(question, results))
                    case rpc.Failed(question, reason):
                        del self._decoders[question]
                        events.append(Failed(question, reason))
                    case _:
                        events.append(Ended(event.reason))
        except RemoteProtocolError as exc:
            self._rpc.abort(f"rpc: {exc}")
            raise
        return events

    def cancel(self, question: int) -> None:
        """Give up a call: no event will name it. Harmless when it was answered."""
        if self._decoders.pop(question, None) is not None:
            self._rpc.finish(question)

    def shutdown(self) -> None:
        """End the session as cloudflared does (protocol.md §5.9); harmless when it has ended."""
        self._rpc.release_bootstrap()
        self._rpc.abort("rpc: shutdown")

    def _call(
        self,
        method: Method,
        params: Mapping[str, Any],
        decode: Callable[[int, Any], Event | Failed],
    ) -> int:
        question = self._rpc.call(method, params)
        self._decoders[question] = decode
        return question
