"""Cap'n Proto stream framing: where one message ends and the next begins."""

from __future__ import annotations

from struct import Struct, unpack_from

from asgi_quicktunnel.errors import RemoteProtocolError

__all__ = ["MAX_SEGMENTS", "MessageSplitter", "framed_size", "segments"]


class MessageSplitter:
    """Cuts a stream of bytes into framed messages; the bytes may arrive cut anywhere.

    Args:
        max_bytes: the largest message accepted, its segment table included.

    Source: protocol.md §5.1 (unpacked stream framing).
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._needed = _COUNT.size
        self._failed = False

    @property
    def buffered(self) -> int:
        """Bytes held because their message is not complete."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream.

        Returns:
            The messages that became complete, in order, each whole with its segment table.

        Raises:
            RemoteProtocolError: a message declares more than `max_bytes` or too many segments;
                the stream can't be read any further.
        """
        if self._failed:
            raise RemoteProtocolError("the stream lost its framing before")
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._needed:
            return []
        messages: list[bytes] = []
        start = 0
        try:
            while True:
                size = framed_size(buffer, start, self._max_bytes)
                if size is None or len(buffer) - start < size:
                    break
                messages.append(bytes(buffer[start : start + size]))
                start += size
        except RemoteProtocolError:
            self._failed = True
            self._buffer = bytearray()
            raise
        del buffer[:start]
        # Until then nothing can become complete: a message in a million pieces costs no more
        # than one in two.
        self._needed = size or len(buffer) + 1
        return messages


def framed_size(buffer: bytes | bytearray, start: int, max_bytes: int) -> int | None:
    """The size in bytes of the message that begins at `start`, its segment table included.

    Returns:
        None while the segment table is not complete.

    Raises:
        RemoteProtocolError: above `max_bytes`, or more than `MAX_SEGMENTS` segments.
    """
    available = len(buffer) - start
    if available < _COUNT.size:
        return None
    (more_segments,) = _COUNT.unpack_from(buffer, start)
    if more_segments == 0:
        if available < _SINGLE.size:
            return None
        size = _SINGLE.size + 8 * _SINGLE.unpack_from(buffer, start)[1]
    else:
        if more_segments >= MAX_SEGMENTS:
            raise RemoteProtocolError(
                f"a message of {more_segments + 1} segments; at most {MAX_SEGMENTS} are accepted"
            )
        table = _table_size(more_segments + 1)
        if available < table:
            return None
        size = table + 8 * sum(unpack_from(f"<{more_segments + 1}I", buffer, start + 4))
    if size > max_bytes:
        raise RemoteProtocolError(f"a message of {size} bytes; at most {max_bytes} are accepted")
    return int(size)


def segments(message: bytes) -> list[bytes]:
    """The segments of one framed message, each a multiple of 8 bytes long.

    Raises:
        RemoteProtocolError: the segment table does not describe exactly these bytes.
    """
    if framed_size(message, 0, len(message)) != len(message):
        raise RemoteProtocolError("a message that is shorter or longer than its segment table says")
    (more_segments,) = _COUNT.unpack_from(message)
    if more_segments == 0:
        return [message[_SINGLE.size :]]
    position = _table_size(more_segments + 1)
    result = []
    for words in unpack_from(f"<{more_segments + 1}I", message, 4):
        result.append(message[position : position + 8 * words])
        position += 8 * words
    return result


def _table_size(count: int) -> int:
    return (4 + 4 * count + 7) & ~7


_COUNT = Struct("<I")  # number of segments less one
_SINGLE = Struct("<II")  # the whole table of a message of one segment
MAX_SEGMENTS = 512  # as capnp C++ (serialize.c++); Go takes 513, nobody writes more than a few
