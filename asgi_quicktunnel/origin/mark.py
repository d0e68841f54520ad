"""How a server of this process knows a request that the tunnel brought to it through a socket."""

from __future__ import annotations

import secrets

__all__ = ["MARK", "MARK_HEADER"]

MARK_HEADER = b"x-quicktunnel-mark"
MARK = secrets.token_hex(16).encode("ascii")  # of this process; design.md §5, "Local only"
