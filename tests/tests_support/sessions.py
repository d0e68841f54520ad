"""Two typed ends of an RPC connection, joined in memory."""

from __future__ import annotations

__all__ = ["exchange"]


def exchange(one, other) -> tuple[list, list]:
    """Carry bytes both ways until there are none; the events of either end."""
    events, other_events = [], []
    while True:
        there, back = one.data_to_send(), other.data_to_send()
        if not (there or back):
            return events, other_events
        other_events += other.receive_data(there)
        events += one.receive_data(back)
