"""The traffic of the last minutes as JSON types."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from asgi_quicktunnel.traffic import CLASSES

if TYPE_CHECKING:  # it brings the QUIC engine along, and a page that nobody opened needs none
    from asgi_quicktunnel.tunnel import QuickTunnel

__all__ = ["TRAFFIC_VERSION", "describe_traffic"]


def describe_traffic(tunnel: QuickTunnel | None) -> dict[str, Any]:
    """What `GET /traffic` answers, as JSON types; version 1.

    Keys: `version` (1, changes when a key changes its meaning or goes), `until` (the second of the
    answer, since the epoch), `step` (seconds that one entry of `counts` covers), `classes` (of
    status; "reset" for requests that were given up before an answer), and `counts`, one list for
    each second of the last `WINDOW` in which a request ended, oldest first: its offset from
    `until`, 0 or less, then how many requests each class had.
    """
    if tunnel is None:
        return {**_SHAPE, "until": int(time.time()), "counts": []}
    statistics = tunnel.traffic.statistics()
    return {
        **_SHAPE,
        "until": statistics.until,
        "counts": [[second.offset, *second.counts] for second in statistics.seconds],
    }


TRAFFIC_VERSION = 1
_SHAPE = {"version": TRAFFIC_VERSION, "step": 1, "classes": list(CLASSES)}
