"""A QUIC engine without QUIC: one frame a datagram, no loss, no clock, every call counted.

It shows what everything above the seam costs, the same on each machine.
"""

import struct
from collections import Counter, deque

from asgi_quicktunnel.transport.engine import (
    Connected,
    EngineStatistics,
    Readable,
    StreamOpened,
    Writable,
)
from asgi_quicktunnel.transport.engines import Engine

_HEADER = struct.Struct("<I?")


def frame(stream_id, data, *, end=False):
    """A datagram with bytes of one stream."""
    return _HEADER.pack(stream_id, end) + data


def parts(datagram):
    """What `frame` was given: stream, bytes, and whether they are the last."""
    stream_id, end = _HEADER.unpack_from(datagram)
    return stream_id, datagram[_HEADER.size :], end


class FrameEngine:
    """`transport.engine.QuicEngine`; what is written of a stream is kept, or sent in frames.

    Attributes:
        calls: how often each method was called.
        read_out: what `read` gave out, of all streams.
        written: what `write` accepted, of all streams.
        room: bytes that `write` accepts at a time; None takes all.
    """

    def __init__(self):
        self.calls = Counter()
        self.read_out = []
        self.written = []
        self.room = None
        self.keeps = False
        self._events = deque([Connected()])
        self._unread = {}
        self._frames = []

    def open_stream(self):
        self.calls["open_stream"] += 1
        self._unread[0] = deque()
        return 0

    def receive_datagrams(self, datagrams, *, now):
        self.calls["receive_datagrams"] += 1
        for datagram in datagrams:
            stream_id, data, end = parts(datagram)
            if stream_id not in self._unread:
                self._unread[stream_id] = deque()
                self._events.append(StreamOpened(stream_id))
            else:
                self._events.append(Readable(stream_id))
            self._unread[stream_id].append((data, end))

    def datagrams_to_send(self, *, now):
        self.calls["datagrams_to_send"] += 1
        frames, self._frames = self._frames, []
        return frames

    def next_timeout(self):
        self.calls["next_timeout"] += 1

    def handle_timeout(self, *, now):
        self.calls["handle_timeout"] += 1

    def poll_events(self, max_events):
        self.calls["poll_events"] += 1
        return [self._events.popleft() for _ in range(min(len(self._events), max_events))]

    def read(self, stream_id, max_bytes):
        self.calls["read"] += 1
        waiting = self._unread.get(stream_id)
        if not waiting:
            return b"", False
        data, end = waiting.popleft()
        assert len(data) <= max_bytes
        if end:
            del self._unread[stream_id]
        if self.keeps:
            self.read_out.append(data)
        return data, end

    def write(self, stream_id, data, *, end=False):
        self.calls["write"] += 1
        accepted = len(data) if self.room is None else min(len(data), self.room)
        if accepted < len(data):
            self._events.append(Writable(stream_id))
        if self.keeps:
            self.written.append((data, accepted))
        else:
            self._frames.append(frame(stream_id, data, end=end))
        return accepted

    def stop(self, stream_id, code):
        self.calls["stop"] += 1

    def reset(self, stream_id, code):
        self.calls["reset"] += 1

    def ping(self):
        self.calls["ping"] += 1

    def close(self, code, reason):
        self.calls["close"] += 1

    def statistics(self):
        return EngineStatistics(None, 0, 0, 0, 0)


def frames_over(engine):
    """An `Engine` whose every dial gives this one."""
    return Engine("frames", "0", lambda settings, *, now: engine, None)
