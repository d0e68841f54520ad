"""aioquic's connection, with flow control that follows what was read (engine-notes.md §3).

aioquic raises its limits as data arrives and creates every stream that a peer skips. The few
internals that decide this are overridden here; `aioquic_internals` names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aioquic.buffer import encode_uint_var
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    Limit,
    NetworkAddress,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionState,
    QuicNetworkPath,
    stream_is_client_initiated,
    stream_is_unidirectional,
)
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicPacketType,
    QuicProtocolVersion,
)
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder, QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from asgi_quicktunnel.transport.aioquic_pacer import Pacer
from asgi_quicktunnel.transport.engine import ClientSettings, Closed, ServerSettings
from asgi_quicktunnel.transport.path_mtu import BASE_SIZE, LARGEST_SIZE, PathMtuSearch

__all__ = ["CID_LENGTH", "PEER", "Connection", "configuration"]


class _Streams(dict[int, QuicStream]):
    """The open streams. aioquic walks `values()` for each packet, looking for limits to raise.

    Attributes:
        raised: those whose limit has changed, which is all that it can find.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raised: dict[QuicStream, None] = {}

    def values(self) -> tuple[QuicStream, ...]:  # type: ignore[override]  # as iterable as it was
        """Streams with a limit to announce."""
        return tuple(self.raised)


class Connection(QuicConnection):
    """aioquic's connection with limits that follow what was read (engine-notes.md §3)."""

    packets_lost = 0

    def prepare(self, settings: ClientSettings | ServerSettings) -> None:
        """Set what aioquic's configuration does not offer; before the first packet."""
        self._local_active_connection_id_limit = 4  # protocol.md §4
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = (
            settings.max_streams
        )
        # Neither side of the tunnel protocol uses unidirectional streams (protocol.md §4).
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 0
        self._window = settings.connection_window
        self._credited = 0
        self._skipped = RangeSet()  # stream numbers opened by a higher one, without state yet
        self._told = RangeSet()  # stream numbers of the peer that StreamOpened told of
        self._streams: _Streams = _Streams()
        self._loss._pacer = Pacer(max_datagram_size=BASE_SIZE)
        self._mtu = PathMtuSearch()
        self._count_losses()

    def _count_losses(self) -> None:
        on_packets_lost = self._loss._on_packets_lost

        def count(*, packets: Iterable[QuicSentPacket], **rest: Any) -> None:
            lost = tuple(packets)
            self.packets_lost += sum([packet.in_flight for packet in lost])  # no probe of the path
            on_packets_lost(packets=lost, **rest)

        self._loss._on_packets_lost = count  # type: ignore[method-assign]  # it has no other hook

    def raise_limit(self, stream: QuicStream, limit: int) -> None:
        """Let the peer send up to this offset of a stream."""
        stream.max_stream_data_local = limit
        self._streams.raised[stream] = None

    def credit(self, amount: int) -> None:
        """Let the peer send so much more on the connection as a whole."""
        self._credited += amount
        limit = self._credited + self._window
        if limit - self._local_max_data.value >= self._window // 4:
            self._local_max_data.value = limit

    def closed_event(self) -> Closed:
        """What ended this connection."""
        event = self._close_event
        assert event is not None
        idle = event.frame_type == QuicFrameType.PADDING and event.reason_phrase == "Idle timeout"
        return Closed(
            code=None if idle else event.error_code,
            reason=event.reason_phrase,
            by_peer=self._state is QuicConnectionState.DRAINING,
            idle=idle,
        )

    @property
    def is_closing(self) -> bool:
        """Whether either side has ended the connection."""
        return self._close_event is not None

    def was_told_of(self, stream_id: int) -> bool:
        """Whether `tell_of` was called for this stream."""
        return (stream_id // 4) in self._told

    def tell_of(self, stream_id: int) -> None:
        """Remember that the stream was announced."""
        self._told.add(stream_id // 4, stream_id // 4 + 1)

    def _serialize_transport_parameters(self) -> bytes:
        # aioquic leaves this one out, which allows 65527 bytes (RFC 9000 §18.2).
        return super()._serialize_transport_parameters() + _MAX_UDP_PAYLOAD

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        # Naming a stream opens all lower ones (RFC 9000 §2.1). aioquic creates each of them at
        # once; with 2^20 allowed, one frame of a hostile peer would cost gigabytes.
        if stream_is_client_initiated(stream_id) != self._is_client and not (
            stream_is_unidirectional(stream_id)
        ):
            number, limit = stream_id // 4, self._local_max_streams_bidi
            if number in self._skipped:
                self._skipped.subtract(number, number + 1)
                used, limit.used = limit.used, number
                try:
                    return super()._get_or_create_stream(frame_type, stream_id)
                finally:
                    limit.used = used
            if limit.used < number < limit.value:
                self._skipped.add(limit.used, number)
                limit.used = number
                if len(self._skipped) > _MAX_SKIPPED_RANGES:
                    raise QuicConnectionError(
                        error_code=QuicErrorCode.INTERNAL_ERROR,
                        frame_type=frame_type,
                        reason_phrase="too many streams opened out of order",
                    )
        return super()._get_or_create_stream(frame_type, stream_id)

    def _stream_is_discarded(self, stream_id: int) -> bool:
        return super()._stream_is_discarded(stream_id) and not (
            stream_is_client_initiated(stream_id) != self._is_client
            and stream_id // 4 in self._skipped
        )

    def _limits_due(self) -> list[Limit]:
        """The connection's limits that the peer should hear of now."""
        data, streams = self._local_max_data, self._local_max_streams_bidi
        due = [data] if data.value != data.sent else []
        # Announce streams in batches: only when the peer has fewer left than it would gain.
        if streams.sent - streams.used < streams.value - streams.sent:
            due.append(streams)
        return due

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        for limit in self._limits_due():
            buffer = builder.start_frame(
                limit.frame_type,
                capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
                handler=self._on_connection_limit_delivery,
                handler_args=(limit,),
            )
            buffer.push_uint_var(limit.value)
            limit.sent = limit.value

    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        if not stream.receiver.is_finished:
            assert stream.stream_id is not None
            buffer = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._on_max_stream_data_delivery,
                handler_args=(stream,),
            )
            buffer.push_uint_var(stream.stream_id)
            buffer.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local
        del self._streams.raised[stream]

    def _on_max_stream_data_delivery(self, delivery: QuicDeliveryState, stream: QuicStream) -> None:
        if delivery is not QuicDeliveryState.ACKED:
            self._streams.raised[stream] = None

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """What to send now; see aioquic's."""
        if self._has_nothing_to_send(now):
            self._pacing_at = None
            return []
        datagrams = super().datagrams_to_send(now)
        if (
            datagrams
            and self._handshake_confirmed
            and self._state is QuicConnectionState.CONNECTED
            and (size := self._mtu.next_probe(now)) is not None
        ):
            # The last one: a local network that refuses it must not take others with it.
            datagrams += self._probe_path(size, now)
        return datagrams

    def handle_timer(self, now: float) -> None:
        """Do what is due; see aioquic's."""
        super().handle_timer(now)
        if self._mtu.size > BASE_SIZE and self._loss._pto_count >= _BLACK_HOLE:
            self._mtu.on_black_hole(now)
            self._resize()

    def _probe_path(self, size: int, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """A PING in a datagram of this size, whose loss means nothing else (RFC 8899 §4.4)."""
        assert self._version is not None
        builder = _ProbeBuilder(
            host_cid=self.host_cid,
            is_client=self._is_client,
            max_datagram_size=size,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
            version=self._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[Epoch.ONE_RTT])
        builder.start_frame(QuicFrameType.PING, handler=self._on_probe, handler_args=(size,))
        builder._datagram_needs_padding = True
        self._loss._time_of_last_sent_ack_eliciting_packet = now
        return self._flush_builder(
            builder=builder,
            network_path=self._network_paths[0],
            peer_cid=self._peer_cid.cid,
            now=now,
        )

    def _on_probe(self, delivery: QuicDeliveryState, size: int) -> None:
        if delivery is QuicDeliveryState.ACKED:
            self._mtu.on_arrived(size)
            self._resize()
        else:
            self._mtu.on_lost(size)

    def _resize(self) -> None:
        size = self._max_datagram_size = self._mtu.size
        self._loss._pacer._max_datagram_size = size
        # Of the two controllers that aioquic has; their common class does not know it.
        self._loss._cc._max_datagram_size = size  # type: ignore[attr-defined]

    def _has_nothing_to_send(self, now: float) -> bool:
        """Whether aioquic would build a packet in vain, as after each acknowledgement alone."""
        ack_at = self._spaces[Epoch.ONE_RTT].ack_at
        return (
            self._handshake_confirmed
            and self._state is QuicConnectionState.CONNECTED
            and len(self._network_paths) == 1
            and self._network_paths[0].is_validated
            and (ack_at is None or ack_at > now)
            and not (
                self._limits_due()
                or self._close_pending
                or self._handshake_done_pending
                or self._ping_pending
                or self._probe_pending
                or self._streams_blocked_pending
                or self._datagrams_pending
                or self._retire_connection_ids
                or self._streams.raised
                or self._network_paths[0].remote_challenges
            )
            and self._crypto_streams[Epoch.ONE_RTT].sender.buffer_is_empty
            and all(cid.was_sent for cid in self._host_cids)
            and not any(map(_wants_service, self._streams_queue))
        )

    def _write_application(
        self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float
    ) -> None:
        # aioquic walks every open stream for each packet, twice; idle ones are left out of that.
        idle: list[QuicStream] = []
        busy: list[QuicStream] = []
        for stream in self._streams_queue:
            (busy if _wants_service(stream) else idle).append(stream)
        self._streams_queue = busy
        # Alone, an acknowledgement waits for others to join it; one that can go with data costs
        # no packet and no timer of its own (RFC 9000 §13.2.1).
        space = self._spaces[Epoch.ONE_RTT]
        if space.ack_at is not None and space.ack_at > now and any(map(_has_data, busy)):
            space.ack_at = now
        try:
            super()._write_application(builder, network_path, now)
        finally:
            self._streams_queue = idle + self._streams_queue


class _ProbeBuilder(QuicPacketBuilder):
    """Builds packets outside of congestion control."""

    def flush(self) -> tuple[list[bytes], list[QuicSentPacket]]:
        datagrams, packets = super().flush()
        for packet in packets:
            packet.in_flight = False
        return datagrams, packets


def _has_data(stream: QuicStream) -> bool:
    return not stream.sender.buffer_is_empty


def _wants_service(stream: QuicStream) -> bool:
    sender, receiver = stream.sender, stream.receiver
    return (
        not sender.buffer_is_empty
        or sender.reset_pending
        or receiver.stop_pending
        or (sender.is_finished and receiver.is_finished)
    )


def configuration(
    settings: ClientSettings | ServerSettings, *, is_client: bool
) -> QuicConfiguration:
    """What aioquic lets one configure, with the parameters of protocol.md §4."""
    return QuicConfiguration(
        alpn_protocols=[settings.alpn],
        connection_id_length=CID_LENGTH,
        idle_timeout=settings.idle_timeout,
        is_client=is_client,
        max_data=settings.connection_window,
        max_datagram_frame_size=_MAX_DATAGRAM_FRAME,
        max_datagram_size=BASE_SIZE,
        max_stream_data=settings.stream_window,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


PEER = ("", 0)  # aioquic wants an address; whose a datagram is was decided before it comes here
CID_LENGTH = 8  # bytes
_MAX_UDP_PAYLOAD = b"\x03\x02" + encode_uint_var(LARGEST_SIZE)  # id, length, value; protocol.md §4
_BLACK_HOLE = 3  # probe timeouts in a row; a second or so, where the idle timeout is 5
_MAX_DATAGRAM_FRAME = 16383  # bytes; protocol.md §4 (RFC 9221)
_MAX_SKIPPED_RANGES = 4096  # gaps among the stream numbers in use; loss leaves a few
