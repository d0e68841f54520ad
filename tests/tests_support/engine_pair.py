"""Two engines and a link between them, in memory and on a clock of their own."""

import heapq
import itertools
import random
from collections import defaultdict

from asgi_quicktunnel.transport.engine import (
    ClientSettings,
    Closed,
    Connected,
    Readable,
    ServerSettings,
    StreamOpened,
    StreamReset,
    StreamStopped,
    Writable,
)

from tests_support.edge_certificates import issue
from tests_support.engines import engine

SERVER_NAME = "quic.cftunnel.com"


def settings(issued=None, **changes):
    """Settings for both sides that trust each other, changed as told."""
    issued = issued or issue()
    client = {"server_name": SERVER_NAME, "trust_roots": issued.authority}
    server = {"certificate_chain": issued.chain, "private_key": issued.key}
    client.update(changes.get("client", {}))
    server.update(changes.get("server", {}))
    return ClientSettings(**client), ServerSettings(**server)


class Side:
    """One engine and what it said."""

    def __init__(self):
        self.engine = None
        self.events = []
        self.connected = False
        self.closed = None
        self.received = defaultdict(bytearray)
        self.ended = set()
        self.resets = {}
        self.stops = {}
        self.opened = []
        self.writable = []
        self.reads = True
        self.on_event = None

    def poll(self):
        while events := self.engine.poll_events(1):
            (event,) = events
            self.events.append(event)
            if isinstance(event, Connected):
                self.connected = True
            elif isinstance(event, Closed):
                self.closed = event
            elif isinstance(event, StreamOpened):
                self.opened.append(event.stream_id)
                if self.reads:
                    self.read(event.stream_id)
            elif isinstance(event, StreamReset):
                self.resets[event.stream_id] = event.code
            elif isinstance(event, StreamStopped):
                self.stops[event.stream_id] = event.code
            elif isinstance(event, Writable):
                self.writable.append(event.stream_id)
            elif isinstance(event, Readable) and self.reads:
                self.read(event.stream_id)
            if self.on_event is not None:
                self.on_event(event)

    def read(self, stream_id, limit=None):
        """Read to the end of what is there, at most `limit` bytes."""
        taken = 0
        while limit is None or taken < limit:
            step = 65536 if limit is None else min(65536, limit - taken)
            data, end = self.engine.read(stream_id, step)
            self.received[stream_id] += data
            taken += len(data)
            if end:
                self.ended.add(stream_id)
                break
            if len(data) < step:
                break


class EnginePair:
    """A client and a server engine on a link with delay and seeded loss.

    Datagrams longer than `mtu` are lost. `dial` and `accept` name the engines of the two sides;
    without them it is the one under test.
    """

    def __init__(self, *, loss=0.0, delay=0.01, seed=0, mtu=65507, **changes):
        dial, accept = changes.pop("dial", None), changes.pop("accept", None)
        client_settings, server_settings = settings(**changes)
        self.now = 1000.0
        self.rng = random.Random(seed)
        self.loss = loss
        self.delay = delay
        self.acceptor = (accept or engine()).acceptor(server_settings)
        self.client, self.server = Side(), Side()
        self.client.engine = (dial or engine()).dial(client_settings, now=self.now)
        self._wire = []
        self._order = itertools.count()
        self.mtu = mtu
        self.too_large = 0
        self.largest = 0
        self.dropping = None

    def run(self, until, *, seconds=60.0):
        """Let time pass until `until()` is true; says whether it came true."""
        deadline = self.now + seconds
        self._flush()
        while not until():
            moment = self._next_moment()
            if moment is None or moment > deadline:
                self.now = deadline
                return bool(until())
            self.now = max(self.now + CLOCK_STEP, moment)
            self._deliver()
            for side in self._sides():
                due = side.engine.next_timeout()
                if due is not None and due <= self.now:
                    side.engine.handle_timeout(now=self.now)
                side.poll()
            self._flush()
        return True

    def connect(self):
        """Run until both sides have the handshake behind them."""
        assert self.run(lambda: self.client.connected and self.server.connected)
        return self

    def pass_time(self, seconds):
        """Let that much time pass."""
        self.run(lambda: False, seconds=seconds)

    def _sides(self):
        return [side for side in (self.client, self.server) if side.engine is not None]

    def _next_moment(self):
        moments = [side.engine.next_timeout() for side in self._sides()]
        if self._wire:
            moments.append(self._wire[0][0])
        return min((moment for moment in moments if moment is not None), default=None)

    def _deliver(self):
        batches = {}
        while self._wire and self._wire[0][0] <= self.now:
            _, _, target, datagram = heapq.heappop(self._wire)
            if target is self.server:
                engine, answer = self.acceptor.accept(datagram, ("192.0.2.1", 1), now=self.now)
                assert answer is None
                if engine is None:
                    continue
                self.server.engine = engine
            batches.setdefault(id(target), (target, []))[1].append(datagram)
        for target, datagrams in batches.values():
            target.engine.receive_datagrams(datagrams, now=self.now)

    def _flush(self):
        for side, target in ((self.client, self.server), (self.server, self.client)):
            if side.engine is None:
                continue
            for datagram in side.engine.datagrams_to_send(now=self.now):
                if len(datagram) > self.mtu:
                    self.too_large += 1
                    continue
                self.largest = max(self.largest, len(datagram))
                if self.rng.random() < self.loss or (self.dropping and self.dropping(side)):
                    continue
                entry = (self.now + self.delay, next(self._order), target, datagram)
                heapq.heappush(self._wire, entry)
            side.poll()


CLOCK_STEP = 1e-6  # s; no clock stands still, and a rounded timer may need a moment more
