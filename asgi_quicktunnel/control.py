"""The registration calls over a control stream, under timeouts (protocol.md §5)."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Callable
from contextlib import suppress

from asgi_quicktunnel.errors import (
    ConnectionLost,
    DuplicateConnection,
    ProtocolError,
    QuickTunnelError,
    RegistrationError,
    TransportError,
)
from asgi_quicktunnel.model import Credentials, Registration
from asgi_quicktunnel.protocol.registration import (
    ClientIdentity,
    Done,
    Ended,
    Failed,
    Refused,
    Registered,
    RegistrationClient,
)
from asgi_quicktunnel.transport.base import ByteStream

__all__ = ["ControlSession", "local_configuration"]

logger = logging.getLogger(__name__)

_Answer = Registered | Refused | Done | Failed


class ControlSession:
    """One connection's registration, on its control stream.

    `start` begins to read what the edge says; `aclose` ends that.
    """

    def __init__(self, stream: ByteStream, identity: ClientIdentity) -> None:
        self._stream = stream
        self._identity = identity
        self._rpc = RegistrationClient()
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._ended: QuickTunnelError | None = None

    def start(self) -> None:
        """Begin to read what the edge says."""
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def register(
        self,
        credentials: Credentials,
        conn_index: int,
        *,
        local_ip: str = "",
        replace_existing: bool = False,
        previous_attempts: int = 0,
        timeout: float = 15.0,
    ) -> Registration:
        """Register this connection, so the edge may send it requests.

        Args:
            credentials: from `provisioning.request_tunnel`.
            conn_index: 0..3; the edge refuses an index it already holds.
            local_ip: address the connection is sent from, "" when unknown.
            replace_existing: whether this connector may take the index from an older connection.
            previous_attempts: tries since this index was last registered, 0..255.
            timeout: seconds, for the whole exchange.

        Raises:
            DuplicateConnection: this connector has a connection on that edge server already.
            RegistrationError: refused; `retry_after` in seconds, or None.
            ConnectionLost: the control stream ended before the answer.

        Source: tunnelrpc.capnp, RegistrationServer.registerConnection @0 (protocol.md §5.5, §5.7).
        """
        answer = await self._call(
            lambda: self._rpc.register(
                credentials,
                conn_index,
                self._identity,
                origin_local_ip=_sixteen_bytes(local_ip),
                replace_existing=replace_existing,
                previous_attempts=previous_attempts,
            ),
            "registerConnection",
            timeout,
        )
        if isinstance(answer, Registered):
            return answer.registration
        if isinstance(answer, Refused):
            raise _refusal(answer, conn_index)
        reason = answer.reason if isinstance(answer, Failed) else "an empty answer"
        raise RegistrationError(f"the edge failed to register connection {conn_index}: {reason}")

    async def push_configuration(self, config: bytes, *, timeout: float = 5.0) -> None:
        """Tell the edge what this connector serves (protocol.md §5.8).

        Raises:
            RegistrationError: the edge did not take it.
            ConnectionLost: the control stream ended before the answer.
        """
        answer = await self._call(
            lambda: self._rpc.update_local_configuration(config),
            "updateLocalConfiguration",
            timeout,
        )
        if isinstance(answer, Failed):
            raise RegistrationError(f"the edge did not take the configuration: {answer.reason}")

    async def unregister(self, *, timeout: float) -> None:
        """Ask the edge to send no more requests (protocol.md §5.9).

        Raises:
            RegistrationError: the edge failed to, or did not answer in time.
            ConnectionLost: the control stream ended before the answer.
        """
        answer = await self._call(self._rpc.unregister, "unregisterConnection", timeout)
        if isinstance(answer, Failed):
            raise RegistrationError(f"the edge failed to unregister: {answer.reason}")

    async def aclose(self) -> None:
        """Say goodbye and stop reading; harmless when repeated."""
        if self._reader is None:
            return
        reader, self._reader = self._reader, None
        if not reader.done():
            self._rpc.shutdown()
            try:
                await self._stream.send(self._rpc.data_to_send())
                await self._stream.send_eof()
            except QuickTunnelError as exc:
                logger.debug("the control stream had ended: %s", exc)
            reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

    async def _call(self, ask: Callable[[], int], name: str, timeout: float) -> _Answer:
        if self._ended is not None:
            raise self._ended
        question = ask()
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting[question] = answer
        try:
            async with asyncio.timeout(timeout):
                await self._stream.send(self._rpc.data_to_send())
                return await answer
        except TimeoutError:
            self._rpc.cancel(question)
            raise RegistrationError(
                f"the edge did not answer {name} within {timeout:g} s"
            ) from None
        finally:
            # The answer freed the number, and another call may have it by now.
            if self._waiting.get(question) is answer:
                del self._waiting[question]

    async def _read(self) -> None:
        try:
            while data := await self._stream.receive():
                for event in self._rpc.receive_data(data):
                    if isinstance(event, Ended):
                        raise ConnectionLost(f"the edge ended the registration: {event.reason}")
                    waiting = self._waiting.get(event.question)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(event)
                if answer := self._rpc.data_to_send():
                    await self._stream.send(answer)
            self._end(ConnectionLost("the edge ended the control stream"))
        except ProtocolError as exc:
            logger.warning("the edge broke the protocol on the control stream: %s", exc)
            self._end(exc)
            with suppress(TransportError):
                await self._stream.send(self._rpc.data_to_send())  # the abort that says why
        except TransportError as exc:
            self._end(exc)

    def _end(self, cause: QuickTunnelError) -> None:
        self._ended = cause
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(cause)


def local_configuration(service: str) -> bytes:
    """What `push_configuration` sends for one service (protocol.md §5.8).

    Args:
        service: what answers, such as "http://localhost:8000"; only a label for the edge.
    """
    configuration = {
        "ingress": [{"service": service, "originRequest": {}}],
        "warp-routing": {},
    }
    return json.dumps(configuration, separators=(",", ":")).encode()


def _refusal(answer: Refused, conn_index: int) -> RegistrationError:
    message = f"the edge refused to register connection {conn_index}: {answer.cause}"
    if answer.cause == "EDUPCONN":  # protocol.md §5.7
        return DuplicateConnection(message, retry_after=answer.retry_after)
    unauthorized = "Unauthorized" in answer.cause
    return RegistrationError(
        message,
        retry_after=answer.retry_after,
        # A record may be missing for a moment after its creation (protocol.md §5.7).
        retryable=answer.should_retry or unauthorized,
        unauthorized=unauthorized,
    )


def _sixteen_bytes(ip: str) -> bytes:
    """IPv4 addresses travel in their mapped form (protocol.md §5.5)."""
    if not ip:
        return b""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if address.version == 4:
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed
