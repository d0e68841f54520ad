"""The base engine: aioquic behind the seam of `transport.engine`.

aioquic pushes: it hands out what arrives at once and queues what is written without bound. The
engine keeps what arrived until it is read, grants credit for that alone, and accepts only so much
to send.
"""

from __future__ import annotations

import functools
import logging
import ssl
from collections import deque
from collections.abc import Sequence

from aioquic.quic import events as aioquic_events
from aioquic.quic.connection import stream_is_client_initiated, stream_is_unidirectional
from cryptography import x509

from asgi_quicktunnel.errors import ConfigError
from asgi_quicktunnel.transport.aioquic_connection import (
    PEER,
    Connection,
    configuration,
)
from asgi_quicktunnel.transport.engine import (
    ClientSettings,
    Connected,
    EngineEvent,
    EngineStatistics,
    Readable,
    ServerSettings,
    StreamOpened,
    StreamReset,
    StreamStopped,
    Writable,
)

__all__ = ["AioquicEngine"]

logging.getLogger("quic").setLevel(logging.ERROR)  # it tells of every reset stream at INFO


@functools.lru_cache(maxsize=4)
def _check_roots(pem: bytes) -> None:
    """Parse them as aioquic will in the middle of the handshake, where an error has no place."""
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise ConfigError(
            f"no connection can be begun: no usable certificate, or a broken one, among the trust "
            f"roots ({exc}); ca_file= takes a file of PEM certificates"
        ) from exc


class AioquicEngine:
    """One connection on aioquic; `QuicEngine` says what each method does."""

    def __init__(self, settings: ClientSettings | ServerSettings, connection: Connection) -> None:
        self._connection = connection
        self._high_water = settings.send_high_water
        self._stream_window = settings.stream_window
        self._streams: dict[int, _StreamState] = {}
        self._ready: deque[EngineEvent] = deque()
        self._blocked: set[int] = set()
        self._closed = False
        self._bytes_received = 0
        self._bytes_sent = 0
        self._pings = 0

    @classmethod
    def client(cls, settings: ClientSettings, *, now: float) -> AioquicEngine:
        """Begin a connection: the first `datagrams_to_send` carries the client's Initial.

        Raises:
            ConfigError: no usable certificate among the trust roots.
        """
        _check_roots(settings.trust_roots)
        config = configuration(settings, is_client=True)
        config.server_name = settings.server_name
        config.cadata = settings.trust_roots
        config.verify_mode = ssl.CERT_REQUIRED
        connection = Connection(configuration=config)
        connection.prepare(settings)
        connection.connect(PEER, now=now)
        return cls(settings, connection)

    @property
    def connection_ids(self) -> set[bytes]:
        """The ids that the peer may address this connection by."""
        return {entry.cid for entry in self._connection._host_cids}

    def receive_datagrams(self, datagrams: Sequence[bytes], *, now: float) -> None:
        """Take UDP payloads from the peer."""
        receive = self._connection.receive_datagram
        for datagram in datagrams:
            self._bytes_received += len(datagram)
            receive(datagram, PEER, now)
        self._after_input()

    def datagrams_to_send(self, *, now: float) -> Sequence[bytes]:
        """UDP payloads to send now, possibly none."""
        if not self._connection._network_paths:
            return ()
        datagrams = [data for data, _ in self._connection.datagrams_to_send(now)]
        for data in datagrams:
            self._bytes_sent += len(data)
        return datagrams

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        if self._connection._close_at is None:
            return None
        return self._connection.get_timer()

    def handle_timeout(self, *, now: float) -> None:
        """Do what is due."""
        if self._connection._close_at is not None:
            self._connection.handle_timer(now)
            self._after_input()

    def poll_events(self, max_events: int) -> list[EngineEvent]:
        """The next events."""
        ready = self._ready
        while len(ready) < max_events and (event := self._connection.next_event()) is not None:
            self._translate(event)
        return [ready.popleft() for _ in range(min(len(ready), max_events))]

    def open_stream(self) -> int:
        """Open a bidirectional stream."""
        stream_id = self._connection.get_next_available_stream_id()
        self._connection._get_or_create_stream_for_send(stream_id)
        self._streams[stream_id] = _StreamState()
        return stream_id

    def read(self, stream_id: int, max_bytes: int) -> tuple[bytes, bool]:
        """Data, and "that was the end"; grants that much credit."""
        state = self._streams.get(stream_id)
        if state is None:
            return b"", True
        data = state.take(max_bytes)
        if data:
            self._grant(stream_id, state, len(data))
        if not state.chunks:
            state.announced = False
            if state.end_received:
                state.read_ended = state.receive_over = True
                self._forget_if_over(stream_id, state)
                return data, True
        return data, False

    def write(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> int:
        """Bytes accepted; fewer than given: wait for `Writable`."""
        state = self._streams.get(stream_id)
        stream = self._connection._streams.get(stream_id)
        if state is None or stream is None or state.write_ended:
            return len(data)  # the peer stopped it, or the connection is over: nobody reads it
        sender = stream.sender
        room = self._high_water - (sender._buffer_stop - sender._buffer_start)
        accepted = min(len(data), max(room, 0))
        if accepted < len(data):
            self._blocked.add(stream_id)
            if accepted:
                sender.write(data[:accepted])  # type: ignore[arg-type]  # it copies any buffer
            return accepted
        if data or end:
            sender.write(data, end_stream=end)  # type: ignore[arg-type]  # as above
        if end:
            state.write_ended = True
            self._forget_if_over(stream_id, state)
        return accepted

    def reset(self, stream_id: int, code: int) -> None:
        """Send RESET_STREAM."""
        state = self._streams.get(stream_id)
        stream = self._connection._streams.get(stream_id)
        if stream is not None:
            stream.sender.reset(code)
        if state is not None:
            state.write_ended = True
            self._blocked.discard(stream_id)
            self._forget_if_over(stream_id, state)

    def stop(self, stream_id: int, code: int) -> None:
        """Send STOP_SENDING and drop what arrives."""
        state = self._streams.get(stream_id)
        if state is None or state.read_ended:
            return
        stream = self._connection._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            stream.receiver.stop(code)
        self._connection.credit(state.drop())
        state.read_ended = True
        state.receive_over = state.end_received
        self._forget_if_over(stream_id, state)

    def ping(self) -> None:
        """Send a PING."""
        self._pings += 1
        self._connection.send_ping(self._pings)

    def close(self, code: int, reason: str) -> None:
        """Close with an application code."""
        self._connection.close(error_code=code, reason_phrase=reason)
        self._after_input()

    def statistics(self) -> EngineStatistics:
        """A snapshot."""
        loss = self._connection._loss
        return EngineStatistics(
            rtt=loss._rtt_smoothed if loss._rtt_initialized else None,
            congestion_window=loss.congestion_window,
            packets_lost=self._connection.packets_lost,
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
        )

    def _after_input(self) -> None:
        while (event := self._connection.next_event()) is not None:
            self._translate(event)
        for stream_id in tuple(self._blocked):
            stream = self._connection._streams.get(stream_id)
            if stream is None:
                self._blocked.discard(stream_id)
                continue
            queued = stream.sender._buffer_stop - stream.sender._buffer_start
            # Waiting for a quarter to be free spares a wake-up for each acknowledgement.
            if queued <= self._high_water * 3 // 4:
                self._blocked.discard(stream_id)
                self._ready.append(Writable(stream_id))
        if not self._closed and self._connection.is_closing:
            self._closed = True
            self._ready.append(self._connection.closed_event())

    def _translate(self, event: aioquic_events.QuicEvent) -> None:
        if isinstance(event, aioquic_events.StreamDataReceived):
            self._on_data(event)
        elif isinstance(event, aioquic_events.StreamReset):
            state = self._state_of(event.stream_id)
            if state is not None:
                self._connection.credit(state.drop() + self._undelivered(event.stream_id, state))
                state.read_ended = state.receive_over = True
                self._ready.append(StreamReset(event.stream_id, event.error_code))
                self._forget_if_over(event.stream_id, state)
        elif isinstance(event, aioquic_events.StopSendingReceived):
            state = self._state_of(event.stream_id)
            if state is not None:
                state.write_ended = True
                self._blocked.discard(event.stream_id)
                self._ready.append(StreamStopped(event.stream_id, event.error_code))
                self._forget_if_over(event.stream_id, state)
        elif isinstance(event, aioquic_events.HandshakeCompleted):
            self._ready.append(Connected())

    def _on_data(self, event: aioquic_events.StreamDataReceived) -> None:
        is_known = event.stream_id in self._streams
        state = self._state_of(event.stream_id)
        if state is None:
            self._connection.credit(len(event.data))
            return
        state.delivered += len(event.data)
        if state.read_ended:  # it was on its way when we sent STOP_SENDING
            self._connection.credit(len(event.data))
            if event.end_stream:
                state.receive_over = True
                self._forget_if_over(event.stream_id, state)
            return
        if event.data:
            state.chunks.append(event.data)
        state.end_received = state.end_received or event.end_stream
        if not state.announced:
            state.announced = True
            if is_known:
                self._ready.append(Readable(event.stream_id))

    def _state_of(self, stream_id: int) -> _StreamState | None:
        """What is known of a stream; created for one that the peer just opened."""
        state = self._streams.get(stream_id)
        if state is not None:
            return state
        ours = stream_is_client_initiated(stream_id) == self._connection._is_client
        if ours or stream_is_unidirectional(stream_id) or self._connection.was_told_of(stream_id):
            return None
        self._connection.tell_of(stream_id)
        state = self._streams[stream_id] = _StreamState()
        self._ready.append(StreamOpened(stream_id))
        return state

    def _undelivered(self, stream_id: int, state: _StreamState) -> int:
        """Bytes that count against the connection's window and will never come out."""
        stream = self._connection._streams.get(stream_id)
        return stream.receiver.highest_offset - state.delivered if stream is not None else 0

    def _grant(self, stream_id: int, state: _StreamState, amount: int) -> None:
        self._connection.credit(amount)
        state.read_bytes += amount
        stream = self._connection._streams.get(stream_id)
        if stream is None or stream.receiver.is_finished:
            return
        limit = state.read_bytes + self._stream_window
        # A frame for each read would cost more than it gives; a quarter keeps the peer sending.
        if limit - stream.max_stream_data_local >= self._stream_window // 4:
            self._connection.raise_limit(stream, limit)

    def _forget_if_over(self, stream_id: int, state: _StreamState) -> None:
        if state.receive_over and state.write_ended:
            self._streams.pop(stream_id, None)
            self._blocked.discard(stream_id)


class _StreamState:
    """What the engine keeps of one stream beside aioquic's own state."""

    __slots__ = (
        "announced",
        "chunks",
        "delivered",
        "end_received",
        "read_bytes",
        "read_ended",
        "receive_over",
        "write_ended",
    )

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.delivered = 0  # bytes that came out of aioquic
        self.read_bytes = 0  # bytes that our caller took
        self.announced = False
        self.end_received = False
        self.read_ended = False  # our caller wants no more
        self.receive_over = False  # the peer can send no more
        self.write_ended = False

    def take(self, max_bytes: int) -> bytes:
        chunks = self.chunks
        if len(chunks) == 1 and len(chunks[0]) <= max_bytes:
            return chunks.popleft()
        taken: list[bytes] = []
        room = max_bytes
        while chunks and room > 0:
            chunk = chunks.popleft()
            if len(chunk) > room:
                chunks.appendleft(chunk[room:])
                chunk = chunk[:room]
            taken.append(chunk)
            room -= len(chunk)
        return b"".join(taken)

    def drop(self) -> int:
        """Forget what was not read; its size."""
        size = sum(map(len, self.chunks))
        self.chunks.clear()
        return size
