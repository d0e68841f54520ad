"""What the aioquic engine reads, sets or overrides beyond aioquic's public interface.

A test fails when one of them is gone: aioquic's minor version is bounded for their sake.
"""

from __future__ import annotations

from aioquic.quic.connection import QuicConnection
from aioquic.quic.recovery import QuicPacketRecovery
from aioquic.quic.stream import QuicStream

__all__ = ["INTERNALS"]

INTERNALS = {
    QuicConnection: (
        "_close_at",
        "_close_event",
        "_close_pending",
        "_crypto_streams",
        "_cryptos",
        "_datagrams_pending",
        "_flush_builder",
        "_get_or_create_stream",
        "_get_or_create_stream_for_send",
        "_handshake_confirmed",
        "_handshake_done_pending",
        "_host_cids",
        "_is_client",
        "_local_active_connection_id_limit",
        "_local_max_data",
        "_local_max_streams_bidi",
        "_local_max_streams_uni",
        "_loss",
        "_max_datagram_size",
        "_network_paths",
        "_on_connection_limit_delivery",
        "_on_max_stream_data_delivery",
        "_pacing_at",
        "_packet_number",
        "_peer_cid",
        "_ping_pending",
        "_probe_pending",
        "_retire_connection_ids",
        "_serialize_transport_parameters",
        "_spaces",
        "_spin_bit",
        "_state",
        "_stream_is_discarded",
        "_streams",
        "_streams_blocked_pending",
        "_streams_queue",
        "_version",
        "_write_application",
        "_write_connection_limits",
        "_write_stream_limits",
    ),
    QuicPacketRecovery: (
        "_cc",
        "_on_packets_lost",
        "_pacer",
        "_pto_count",
        "_time_of_last_sent_ack_eliciting_packet",
    ),
    QuicStream: ("max_stream_data_local", "max_stream_data_local_sent", "receiver", "sender"),
}
