"""What requests of the tunnel are marked with, and no visitor can mark one."""

from __future__ import annotations

import secrets

__all__ = ["MARK", "MARK_HEADER", "REPLAY_HEADER"]

# By the first a server of this process knows what the tunnel brought to it through a socket; the
# second names the record that a request repeats.
MARK_HEADER = b"x-quicktunnel-mark"
REPLAY_HEADER = b"x-quicktunnel-replay"
MARK = secrets.token_hex(16).encode("ascii")  # of this process; design.md §5, "Local only"
