"""The state of a tunnel as JSON types."""

import json
import uuid

import pytest
from starlette.responses import PlainTextResponse

from asgi_quicktunnel.diagnostics.status import describe, describe_readiness
from asgi_quicktunnel.errors import DialError
from asgi_quicktunnel.events import ConnectionLost, Dialled, Registered, RequestDone, TunnelState
from asgi_quicktunnel.model import EdgeAddress, Registration
from asgi_quicktunnel.origin.pool import PoolStatistics
from asgi_quicktunnel.statistics import (
    ConnectionState,
    ConnectionStatistics,
    MissingConnection,
    Transferred,
    TunnelStatistics,
)
from asgi_quicktunnel.traffic import Traffic
from asgi_quicktunnel.transport.base import TransportStatistics
from asgi_quicktunnel.tunnel import QuickTunnel


class Snapshot:
    """Has what the diagnostics ask of a tunnel."""

    def __init__(self, statistics, *events):
        self._statistics = statistics
        self.traffic = Traffic()
        for event in events:
            self.traffic.on_event(event)

    def statistics(self):
        return self._statistics


NOTHING_YET = {
    "protocol": None,
    "handshake_time": None,
    "register_time": None,
    "registrations": 0,
    "reconnects": 0,
    "failures": {},
    "cause": None,
}


def test_status_without_a_tunnel():
    """Where no lifespan has begun, the shape is the same and nothing is made up."""
    assert describe(None) == {
        "version": 1,
        "state": "stopped",
        "cause": None,
        "waiting_for": None,
        "since": None,
        "url": None,
        "connector_id": None,
        "reconnects": 0,
        "requests_total": 0,
        "streams_total": 0,
        "bytes_received": 0,
        "bytes_sent": 0,
        "connections": [],
        "missing": [],
        "pool": None,
    }


def test_status_of_a_tunnel_with_a_connection():
    """Every documented key is there, in JSON's types."""
    transport = TransportStatistics(
        address=EdgeAddress("2001:db8::7", 7844),
        engine="native",
        rtt=0.02,
        streams_open=1,
        streams_total=5,
        streams_refused=2,
        bytes_received=300,
        bytes_sent=400,
        packets_lost=3,
    )
    tunnel = Snapshot(
        TunnelStatistics(
            state=TunnelState.DEGRADED,
            cause="the peer went silent",
            since=1.5e9,
            url="https://words.example",
            connector_id=uuid.UUID(int=7),
            connections=(ConnectionStatistics(0, "bog01", 12.5, 5, transport),),
            transferred=Transferred(8, 600, 700),
            reconnects=1,
            pool=PoolStatistics(open=6, idle=5, created=9, reused=8, retried=2, failures=4),
            missing=(
                MissingConnection(1, ConnectionState.CONNECTING, EdgeAddress("192.0.2.1", 7844)),
                MissingConnection(2, ConnectionState.WAITING),
                MissingConnection(3, ConnectionState.GIVEN_UP),
            ),
        ),
        Dialled(0, transport.address, "quic", 0.04),
        Registered(0, transport.address, Registration(uuid.UUID(int=1), "bog01"), 0.1),
        ConnectionLost(2, EdgeAddress("192.0.2.2", 7844), DialError("no answer", address="")),
        RequestDone(0, "GET", "/", 200, 0.01, 0, 5),
    )
    assert json.loads(json.dumps(describe(tunnel))) == {
        "version": 1,
        "state": "degraded",
        "cause": "the peer went silent",
        "waiting_for": None,
        "since": 1.5e9,
        "url": "https://words.example",
        "connector_id": "00000000-0000-0000-0000-000000000007",
        "reconnects": 1,
        "requests_total": 1,
        "streams_total": 8,
        "bytes_received": 600,
        "bytes_sent": 700,
        "connections": [
            {
                "conn_index": 0,
                "colo": "bog01",
                "address": "[2001:db8::7]:7844",
                "engine": "native",
                "age": 12.5,
                "rtt": 0.02,
                "requests": 5,
                "streams_open": 1,
                "streams_total": 5,
                "streams_refused": 2,
                "bytes_received": 300,
                "bytes_sent": 400,
                "packets_lost": 3,
                "state": "registered",
                "protocol": "quic",
                "handshake_time": 0.04,
                "register_time": 0.1,
                "registrations": 1,
                "reconnects": 0,
                "failures": {},
                "cause": None,
            }
        ],
        "missing": [
            {"conn_index": 1, "address": "192.0.2.1:7844", "state": "connecting"} | NOTHING_YET,
            {
                "conn_index": 2,
                "address": "192.0.2.2:7844",
                "state": "waiting",
                **NOTHING_YET,
                "failures": {"dial": 1},
                "cause": "no answer",
            },
            {"conn_index": 3, "address": None, "state": "given_up"} | NOTHING_YET,
        ],
        "pool": {
            "open": 6,
            "idle": 5,
            "created": 9,
            "reused": 8,
            "retried": 2,
            "failures": 4,
        },
    }


@pytest.mark.parametrize(
    ("url", "count", "status"),
    [("https://words.example", 1, 200), ("https://words.example", 0, 503), (None, 1, 503)],
)
def test_readiness(url, count, status):
    """Ready is an announced URL with a connection that serves."""
    transport = TransportStatistics(
        EdgeAddress("192.0.2.1", 7844), "aioquic", None, 0, 0, 0, 0, 0, 0
    )
    connection = ConnectionStatistics(0, "bog01", 1.0, 0, transport)
    tunnel = Snapshot(
        TunnelStatistics(
            state=TunnelState.READY,
            cause=None,
            since=0.0,
            url=url,
            connector_id=uuid.UUID(int=7),
            connections=(connection,) * count,
            transferred=Transferred(),
            reconnects=0,
        )
    )
    assert describe_readiness(tunnel) == {
        "status": status,
        "readyConnections": count,
        "connectorId": "00000000-0000-0000-0000-000000000007",
    }


def test_readiness_without_a_tunnel():
    """Where there is no tunnel, nothing is ready."""
    assert describe_readiness(None) == {"status": 503, "readyConnections": 0, "connectorId": None}


def test_status_of_a_tunnel_that_was_not_started():
    """A real tunnel at rest is described as stopped."""
    answer = describe(QuickTunnel(PlainTextResponse("the app"), enabled=False))
    assert (answer["state"], answer["url"], answer["connections"]) == ("stopped", None, [])
