"""The QUIC transport: one dialled edge connection that offers requests (protocol.md §4-§7)."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from asgi_quicktunnel.errors import (
    ConnectionLost,
    DialError,
    ProtocolError,
    StreamReset,
    TransportError,
)
from asgi_quicktunnel.model import EdgeAddress, RequestHead
from asgi_quicktunnel.protocol.connector_service import ConnectorService
from asgi_quicktunnel.protocol.datastream import MAX_HEAD_BYTES
from asgi_quicktunnel.transport.base import RequestStream, TransportStatistics
from asgi_quicktunnel.transport.clock import clock
from asgi_quicktunnel.transport.driver import EngineDriver
from asgi_quicktunnel.transport.engine import ClientSettings, QuicEngine
from asgi_quicktunnel.transport.engines import Engine
from asgi_quicktunnel.transport.opening import OPENING_READ, StreamOpening
from asgi_quicktunnel.transport.quic_stream import QuicStream
from asgi_quicktunnel.transport.request_stream import QuicRequestStream
from asgi_quicktunnel.transport.udp import UdpSocket

__all__ = ["QuicTransport", "StalledQuic", "dial_quic"]

logger = logging.getLogger(__name__)


async def dial_quic(
    address: EdgeAddress,
    settings: ClientSettings,
    engine: Engine,
    *,
    timeout: float,
    local_port: int = 0,
) -> QuicTransport:
    """Connect to one edge address.

    Args:
        address: where the edge listens.
        settings: trust roots, server name and limits.
        engine: what carries it.
        timeout: seconds for the whole handshake.
        local_port: UDP port to send from, 0 for any; one that is taken falls back to any.

    Raises:
        DialError: no connection came about; the message names the address and the usual causes.

    Source: protocol.md §3 and §4.
    """
    executor = ThreadPoolExecutor(1, "asgi-quicktunnel-handshake")
    try:
        dial = functools.partial(engine.dial, settings, now=clock())
        begun = await asyncio.get_running_loop().run_in_executor(executor, dial)
        try:
            transport = QuicTransport(address, settings, engine, begun, local_port=local_port)
        except OSError as exc:
            raise DialError(
                f"no UDP socket towards {address} could be opened: {exc}", address=str(address)
            ) from exc
        try:
            await transport.connect(timeout, executor)
        except BaseException:
            await transport.aclose()
            raise
        return transport
    finally:
        executor.shutdown(wait=False)


class QuicTransport:
    """One QUIC connection to the edge, an `EdgeTransport`. Made by `dial_quic`."""

    def __init__(
        self,
        address: EdgeAddress,
        settings: ClientSettings,
        engine: Engine,
        begun: QuicEngine,
        *,
        local_port: int = 0,
    ) -> None:
        self.address = address
        self._engine_name = engine.name
        self._read_request = engine.read_request
        self._server_name = settings.server_name
        self._socket = UdpSocket(address, local_port=local_port)
        self._driver = EngineDriver(
            begun,
            send_datagrams=self._socket.send,
            on_stream=self._begin,
            on_batch_end=self._hand_over,
        )
        self._stalled = StalledQuic(self._socket, self._driver)
        self._control: QuicStream | None = None
        self._arrived: list[RequestStream] = []  # and not handed over
        self._on_requests: Callable[[Sequence[RequestStream]], None] | None = None  # while we serve
        self._opening_bytes = 0
        self._services: set[asyncio.Task[None]] = set()
        self._closing = False
        self._streams_total = 0
        self._streams_refused = 0
        self._driver.closed.add_done_callback(lambda _: self._socket.close())

    async def connect(self, timeout: float, executor: Executor) -> None:
        """Do the handshake, with what it costs in a thread of `executor`.

        Raises:
            DialError: it failed, or took longer than `timeout` seconds.
        """
        await self._socket.start(self._driver.datagrams_received)
        try:
            async with asyncio.timeout(timeout):
                await self._driver.handshake(executor)
        except TimeoutError:
            raise self._dial_error("no answer", timeout) from None
        except ConnectionLost as exc:
            if exc.idle:
                raise self._dial_error("no answer", None) from exc
            raise DialError(
                f"the edge at {self.address} was reached but the handshake failed: {exc}; "
                "if a proxy or firewall inspects TLS here, its certificate is not accepted "
                "(ca_file= replaces the trust roots)",
                address=str(self.address),
            ) from exc

    @property
    def local_port(self) -> int:
        """The UDP port that the connection is sent from."""
        return self._socket.local_port

    @property
    def local_ip(self) -> str:
        """The local address that the connection is sent from."""
        return self._socket.local_ip

    async def control_stream(self) -> QuicStream:
        """Stream 0, opened when first asked for (protocol.md §5.1)."""
        if self._control is None:
            self._control = self._driver.open_stream()
        return self._control

    async def serve(self, on_requests: Callable[[Sequence[RequestStream]], None]) -> None:
        """Hand over requests until `aclose` is called; see `EdgeTransport.serve`."""
        self._on_requests = on_requests
        self._hand_over()
        try:
            await asyncio.shield(self._driver.closed)
        finally:
            self._on_requests = None
        if not self._closing:
            raise self._driver.lost or ConnectionLost("the connection ended")

    async def aclose(self, code: int = 0, reason: str = "") -> None:
        """Close the connection and free its socket; harmless when repeated."""
        self._closing = True
        self._driver.close(code, reason)
        await self._free()

    async def leave(self) -> None:
        """Free the socket and leave the edge in the belief that the connection lives.

        What is due is sent first. The edge notices by its idle timeout (protocol.md §4).
        """
        self._closing = True
        self._driver.leave()
        await self._free()

    async def _free(self) -> None:
        self._socket.close()
        for task in tuple(self._services):
            task.cancel()
        if self._services:
            await asyncio.gather(*self._services, return_exceptions=True)

    @property
    def stalled(self) -> StalledQuic:
        """How the guard serves this connection while the event loop is blocked."""
        return self._stalled

    def statistics(self) -> TransportStatistics:
        """A snapshot."""
        engine = self._driver.statistics()
        control = self._control is not None and self._control.stream_id in self._driver.streams
        return TransportStatistics(
            address=self.address,
            engine=self._engine_name,
            rtt=engine.rtt,
            streams_open=len(self._driver.streams) - control,
            streams_total=self._streams_total,
            streams_refused=self._streams_refused,
            bytes_received=engine.bytes_received,
            bytes_sent=engine.bytes_sent,
            packets_lost=engine.packets_lost,
        )

    def _dial_error(self, what: str, timeout: float | None) -> DialError:
        within = f" within {timeout:g} s" if timeout is not None else ""
        heard = f" ({self._socket.last_error})" if self._socket.last_error else ""
        return DialError(
            f"{what} from the edge at {self.address}{within}{heard}; the usual causes are a "
            f"firewall that blocks UDP port {self.address.port}, an address where no edge listens, "
            f"or a server name that the edge does not know ({self._server_name})",
            address=str(self.address),
        )

    def _begin(self, stream: QuicStream) -> None:
        """Read what a stream begins with; mostly that is a whole head."""
        try:
            data = stream.receive_nowait(OPENING_READ)
            if (begun := self._read_request(data)) is not None:
                head, rest = begun
                if rest:
                    stream.push_back(rest)
                self._accept(stream, head, data[: -len(rest)] if rest else data)
                return
        except (TransportError, ProtocolError) as exc:
            self._refuse(stream, exc)
            return
        opening = StreamOpening(self._read_request, self._accept, self._refuse, self._hold)
        stream.on_readable = opening.handle_readable
        opening.begin(stream, data)

    def _hold(self, amount: int) -> bool:
        """Count bytes of heads that are not complete; False when there are too many at once."""
        self._opening_bytes += amount
        return self._opening_bytes <= _MAX_OPENING_BYTES

    def _accept(self, stream: QuicStream, head: RequestHead | None, raw_head: bytes | None) -> None:
        if head is None:
            task = asyncio.get_running_loop().create_task(_serve_rpc(stream))
            self._services.add(task)
            task.add_done_callback(self._services.discard)
            return
        self._streams_total += 1
        self._arrived.append(QuicRequestStream(stream, head, raw_head))

    def _hand_over(self) -> None:
        """Let requests begin that came together, once all of them are read.

        A processor is faster at one step of each of them and then at the next step of each than at
        all steps of one and then of the next: a tenth of the time at 16 at once.
        """
        if self._arrived and self._on_requests is not None:
            arrived, self._arrived = self._arrived, []
            self._on_requests(arrived)

    def _refuse(self, stream: QuicStream, error: TransportError | ProtocolError) -> None:
        if isinstance(error, ProtocolError):  # otherwise the peer gave it up
            self._streams_refused += 1
            logger.debug("stream %d of %s refused: %s", stream.stream_id, self.address, error)
        stream.reset(0)


class StalledQuic:
    """One connection as the guard's thread sees it (`guard.Guarded`)."""

    def __init__(self, socket: UdpSocket, driver: EngineDriver) -> None:
        self._socket = socket
        self._driver = driver
        self.loop = asyncio.get_running_loop()

    @property
    def armed(self) -> float:
        """When the loop promised to look at its timer."""
        return self._driver.armed

    @property
    def wakeups(self) -> int:
        """How often the loop has worked for this connection."""
        return self._driver.wakeups

    @property
    def is_over(self) -> bool:
        """Whether the connection ended."""
        return self._driver.lost is not None

    def serve_stalled(self) -> None:
        """Do the loop's work: receive, timers, keep-alive, send."""
        datagrams = self._socket.receive_stalled()
        self._socket.send_stalled(self._driver.serve_stalled(datagrams))

    def resume(self) -> None:
        """Take up the work again, on the loop."""
        self._driver.resume()

    def close_stalled(self) -> None:
        """Close the connection without its loop."""
        self._socket.send_stalled(self._driver.close_stalled())
        self._socket.close_stalled()

    def disown(self) -> None:
        """Never send again: the connection is the parent process's."""
        self._driver.disown()


async def _serve_rpc(stream: QuicStream) -> None:
    """Answer what the edge calls on a stream of its own, for 5 s at most (protocol.md §7.1)."""
    service = ConnectorService()
    try:
        async with asyncio.timeout(_RPC_TIMEOUT):
            while data := await stream.receive():
                service.receive_data(data)
                if answer := service.data_to_send():
                    await stream.send(answer)
            await stream.send_eof()
    except TimeoutError:
        await stream.send_eof()
        stream.stop(0)
    except (ProtocolError, StreamReset, ConnectionLost) as exc:
        logger.debug("calls from the edge on stream %d ended: %s", stream.stream_id, exc)
        stream.reset(0)


_MAX_OPENING_BYTES = 64 * MAX_HEAD_BYTES  # over all streams whose head is incomplete
_RPC_TIMEOUT = 5.0  # s; protocol.md §7.1
