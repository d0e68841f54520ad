"""Many datagrams in one system call, where the kernel segments (engine-notes.md §2)."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable, Sequence

__all__ = ["SegmentingSender"]


class SegmentingSender:
    """Sends datagrams on one UDP socket, those of one size together (Linux: UDP_SEGMENT).

    A kernel or device that refuses is believed: from then on each datagram costs a call again.

    Args:
        sock: the socket; its `sendmsg`, `send` and `sendto` are all that is used.
        segmenting: whether to try; None for where it exists.
    """

    def __init__(self, sock: socket.socket, *, segmenting: bool | None = None) -> None:
        self.segmenting = sys.platform == "linux" if segmenting is None else segmenting
        self._socket = sock

    def send(
        self,
        datagrams: Sequence[bytes],
        address: tuple[object, ...] | None = None,
        *,
        on_error: Callable[[OSError], None] | None = None,
    ) -> int:
        """Send each, in order; what the kernel refuses is a lost packet.

        Args:
            datagrams: UDP payloads.
            address: where to, on a socket that is not connected.
            on_error: told of each refusal.

        Returns:
            How many were dealt with: fewer than given when the socket would block.
        """
        count = len(datagrams)
        start = 0
        while start < count:
            end = _run(datagrams, start) if self.segmenting and start + 1 < count else start + 1
            try:
                if end > start + 1:
                    self._send_segments(datagrams[start:end], address)
                elif address is None:
                    self._socket.send(datagrams[start])
                else:
                    self._socket.sendto(datagrams[start], address)
            except (BlockingIOError, InterruptedError):
                return start
            except OSError as exc:
                if end > start + 1:  # which of them it was is not known
                    self._refused(exc)
                    sent = self._send_singly(datagrams[start:end], address, on_error)
                    if start + sent < end:
                        return start + sent
                elif on_error is not None:
                    on_error(exc)
            start = end
        return count

    def _send_segments(self, segments: Sequence[bytes], address: tuple[object, ...] | None) -> None:
        size = _SIZE.pack(len(segments[0]))
        self._socket.sendmsg(segments, [(_SOL_UDP, _UDP_SEGMENT, size)], 0, address)

    def _send_singly(
        self,
        datagrams: Sequence[bytes],
        address: tuple[object, ...] | None,
        on_error: Callable[[OSError], None] | None,
    ) -> int:
        single = SegmentingSender(self._socket, segmenting=False)
        return single.send(datagrams, address, on_error=on_error)

    def _refused(self, error: OSError) -> None:
        if error.errno in _REFUSALS:
            self.segmenting = False


def _run(datagrams: Sequence[bytes], start: int) -> int:
    """Where the datagrams end that may go with the one at `start`: all but the last of its size."""
    size = len(datagrams[start])
    end = start + 1
    last = min(len(datagrams), start + min(_MAX_SEGMENTS, _MAX_BYTES // max(size, 1)))
    while end < last and len(datagrams[end]) == size:
        end += 1
    if end < last and 0 < len(datagrams[end]) < size:
        end += 1
    return end


_SIZE = struct.Struct("=H")
_SOL_UDP, _UDP_SEGMENT = 17, 103  # linux/udp.h; the socket module has no names for them
_MAX_SEGMENTS = 64  # linux/udp.h, UDP_MAX_SEGMENTS; later kernels take 128
_MAX_BYTES = 65507  # the largest UDP payload over IPv4 (RFC 768, RFC 791)
_REFUSALS = {errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP}
