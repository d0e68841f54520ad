"""A peer of any engine that sends what bytes it is told, in datagrams or within good packets."""

from aioquic.quic.packet import QuicFrameType

from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.engine_pair import EnginePair


class HostilePeer:
    """aioquic as the edge of a connection; `target` is the connector's engine under attack."""

    def __init__(self, dial=None):
        self.pair = EnginePair(dial=dial, accept=choose_engine("aioquic")).connect()
        self.target = self.pair.client.engine

    def send_datagram(self, data):
        """Deliver these bytes as they are."""
        self.target.receive_datagrams([data], now=self.pair.now)
        self.pair.client.poll()

    def send_frames(self, payload):
        """Deliver these bytes as the frames of a packet that is encrypted as it should be."""
        connection = self.pair.server.engine._connection
        write = connection._write_connection_limits

        def write_payload(*, builder, space):
            connection._write_connection_limits = write
            buffer = builder.start_frame(QuicFrameType.PING, capacity=len(payload) + 1)
            buffer.push_bytes(payload)

        connection._write_connection_limits = write_payload
        self.pair.server.engine.ping()
        self.pair.pass_time(0.1)

    @property
    def closed(self):
        """How the target ended the connection, or None while it lives."""
        return self.pair.client.closed

    def assert_is_alive(self):
        """The target still carries a stream both ways."""
        pair = self.pair
        stream_id = pair.client.engine.open_stream()
        pair.client.engine.write(stream_id, b"still here", end=True)
        assert pair.run(lambda: stream_id in pair.server.ended)
        assert pair.server.received[stream_id] == b"still here"
