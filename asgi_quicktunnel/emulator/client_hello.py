"""What a QUIC client says before anything is answered: server name and protocols.

The edge decides by the server name whether to answer at all (protocol.md §3), and no engine tells
it. A client's first packets are readable by anyone (RFC 9001 §5.2), so it reads them itself.
"""

from __future__ import annotations

from contextlib import suppress

from aioquic._buffer import Buffer, BufferReadError
from aioquic._crypto import CryptoError
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicFrameType, QuicPacketType, pull_quic_header
from aioquic.tls import Alert, ClientHello, pull_client_hello

__all__ = ["ClientHello", "HelloReader"]


class HelloReader:
    """Collects the ClientHello of one new connection, which may take several datagrams."""

    def __init__(self) -> None:
        self._crypto: CryptoPair | None = None
        self._pieces: dict[int, bytes] = {}

    def receive_datagram(self, datagram: bytes) -> ClientHello | None:
        """Take one datagram of the client.

        Returns:
            The ClientHello once it is complete. None while it is not, and for ever if what comes
            is none.
        """
        with suppress(*_MALFORMED):  # many pad the datagram behind its last packet
            self._read_packets(datagram)
        with suppress(*_MALFORMED):
            return self._hello()
        return None

    def _read_packets(self, datagram: bytes) -> None:
        buffer = Buffer(data=datagram)
        while not buffer.eof():
            start = buffer.tell()
            header = pull_quic_header(buffer, host_cid_length=0)
            end = start + header.packet_length
            if header.packet_type == QuicPacketType.INITIAL and header.version is not None:
                if self._crypto is None:
                    self._crypto = CryptoPair()
                    self._crypto.setup_initial(
                        cid=header.destination_cid, is_client=False, version=header.version
                    )
                _, payload, _ = self._crypto.decrypt_packet(
                    datagram[start:end], buffer.tell() - start, 0
                )
                self._read_frames(payload)
            buffer.seek(end)

    def _read_frames(self, payload: bytes) -> None:
        buffer = Buffer(data=payload)
        while not buffer.eof():
            frame = buffer.pull_uint_var()
            if frame in (QuicFrameType.PADDING, QuicFrameType.PING):
                continue
            if frame != QuicFrameType.CRYPTO:
                return  # a client's first flight has nothing else to say
            offset = buffer.pull_uint_var()
            data = buffer.pull_bytes(buffer.pull_uint_var())
            if offset + len(data) <= MAX_HELLO_BYTES:
                self._pieces[offset] = data

    def _hello(self) -> ClientHello | None:
        hello = b""
        for offset in sorted(self._pieces):
            if offset > len(hello):
                return None
            hello = hello[:offset] + self._pieces[offset]
        size = _HEADER_BYTES + int.from_bytes(hello[1:_HEADER_BYTES], "big")
        if len(hello) < _HEADER_BYTES or len(hello) < size or hello[0] != _CLIENT_HELLO:
            return None
        return pull_client_hello(Buffer(data=hello[:size]))


MAX_HELLO_BYTES = 16 << 10  # post-quantum key shares make it about 1.5 KiB
_MALFORMED = (Alert, BufferReadError, CryptoError, ValueError)
_HEADER_BYTES = 4  # RFC 8446 §4: type and length
_CLIENT_HELLO = 1
