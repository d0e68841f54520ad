"""How fast aioquic lets packets go."""

from __future__ import annotations

from aioquic.quic.recovery import QuicPacketPacer

__all__ = ["Pacer"]


class Pacer(QuicPacketPacer):
    """Lets packets go in small bursts rather than one by one.

    aioquic paces each packet by a timer of its own, at just the window per round trip. A timer
    costs more than a packet here, and at that rate the window never fills. RFC 9002 §7.7 allows
    bursts of the initial window and advises a rate above the window per round trip.
    """

    def next_send_time(self, now: float) -> float | None:  # type: ignore[override]  # as it does
        """When the next burst may go, or None for now."""
        if self.packet_time is None:
            return None
        self.update_bucket(now=now)
        if self.bucket_time > 0:
            return None
        return now + self.packet_time * _BURST / 2

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """Follow the window and the round-trip time."""
        rate = _PACING_GAIN * congestion_window / max(smoothed_rtt, 1e-6)
        self.packet_time = max(1e-6, min(self._max_datagram_size / rate, 1.0))
        self.bucket_max = _BURST * self.packet_time
        self.bucket_time = min(self.bucket_time, self.bucket_max)


_BURST = 10  # packets; the initial window, RFC 9002 §7.2
_PACING_GAIN = 1.25  # RFC 9002 §7.7
