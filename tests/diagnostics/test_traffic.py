"""The traffic of the last minutes as JSON types."""

import json
import time

from starlette.responses import PlainTextResponse

from asgi_quicktunnel.diagnostics.traffic import describe_traffic
from asgi_quicktunnel.events import RequestDone
from asgi_quicktunnel.tunnel import QuickTunnel

CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "reset"]


def test_traffic_without_a_tunnel():
    """The shape is the same, and nothing came."""
    before = int(time.time())
    described = describe_traffic(None)
    assert before <= described.pop("until") <= time.time()
    assert described == {"version": 1, "step": 1, "classes": CLASSES, "counts": []}


def test_traffic_of_a_tunnel():
    """Each second that had a request is a list of its offset and six counts."""
    tunnel = QuickTunnel(PlainTextResponse("the app"), enabled=False)
    for status in (200, 200, 404, None):
        tunnel.traffic.on_event(RequestDone(0, "GET", "/", status, 0.01, 0, 5))
    described = json.loads(json.dumps(describe_traffic(tunnel)))
    assert (described["version"], described["step"], described["classes"]) == (1, 1, CLASSES)
    counts = described["counts"]
    assert all(-2 <= offset <= 0 for offset, *_ in counts)
    assert [sum(column) for column in list(zip(*counts, strict=True))[1:]] == [0, 2, 0, 1, 0, 1]
