"""A reader of Cap'n Proto objects that trusts nothing (capnproto.org/encoding.html).

It reads what the streams of visitors need: structs with numbers and texts, and lists of structs;
and the one thing that pycapnp does not tell about an RPC message, which capability it speaks of.
Every read is checked against its segment, and no byte can be read more often than it exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct, iter_unpack

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.protocol.framing import segments

__all__ = ["MessageReader", "StructListReader", "StructReader", "TextLayout"]


class MessageReader:
    """One framed message.

    Args:
        message: with its segment table, and nothing behind it.

    Raises:
        RemoteProtocolError: the segment table does not fit the bytes.
    """

    __slots__ = ("_budget", "segments")

    def __init__(self, message: bytes) -> None:
        self.segments = segments(message)
        # Objects never overlap in an honest message, so together they are no larger than it.
        self._budget = len(message)

    def root(self) -> StructReader:
        """The object the message is about; empty for a null pointer."""
        return self.struct(0, 0)

    def struct(self, segment_id: int, position: int) -> StructReader:
        """The struct that the pointer at `position`, in bytes, points to.

        Raises:
            RemoteProtocolError: it points elsewhere, or at something else.
        """
        segment_id, start, low, high = self._follow(segment_id, position)
        if low == high == 0:
            return StructReader(self, 0, 0, 0, 0)
        if low & 3 != _STRUCT:
            raise RemoteProtocolError("a pointer to something else where a struct belongs")
        data, pointers = 8 * (high & 0xFFFF), high >> 16
        self.claim(segment_id, start, data + 8 * pointers)
        return StructReader(self, segment_id, start, data, pointers)

    def text(self, segment_id: int, position: int) -> bytes:
        """The text that the pointer at `position` points to, less its NUL; b"" for null.

        Raises:
            RemoteProtocolError: it points elsewhere or at something else, or there is no NUL.
        """
        segment_id, start, low, high = self._follow(segment_id, position)
        if low == high == 0:
            return b""
        if low & 3 != _LIST or high & 7 != _BYTES:
            raise RemoteProtocolError("a pointer to something else where a text belongs")
        size = high >> 3
        if not size:
            return b""
        self.claim(segment_id, start, size)
        end = start + size - 1
        segment = self.segments[segment_id]
        if segment[end]:
            raise RemoteProtocolError("a text without a NUL at its end")
        return segment[start:end]

    def capability(self, segment_id: int, position: int) -> int | None:
        """The index, in the table beside it, of the capability a pointer stands for; or None."""
        _, _, low, high = self._follow(segment_id, position)
        return high if low == _CAPABILITY else None

    def structs(self, segment_id: int, position: int) -> StructListReader:
        """The list of structs that the pointer at `position` points to; empty for null.

        A list of plain values or pointers is read as structs of one field, as the encoding's
        rules for evolving a schema want it.

        Raises:
            RemoteProtocolError: it points elsewhere, or at something else.
        """
        segment_id, start, low, high = self._follow(segment_id, position)
        if low == high == 0:
            return StructListReader(self, 0, 0, 0, 0, 0)
        kind, size = high & 7, high >> 3
        if low & 3 != _LIST or kind == _BITS:
            raise RemoteProtocolError("a pointer to something else where a list of structs belongs")
        if kind != _COMPOSITE:
            data, pointers = _ELEMENTS[kind]
            self.claim(segment_id, start, size * (data + 8 * pointers))
            return StructListReader(self, segment_id, start, size, data, pointers)
        self.claim(segment_id, start, 8 + 8 * size)
        low, high = _POINTER.unpack_from(self.segments[segment_id], start)
        count, data, pointers = (low & 0xFFFFFFFF) >> 2, 8 * (high & 0xFFFF), high >> 16
        if low & 3 != _STRUCT or count * (data + 8 * pointers) > 8 * size:
            raise RemoteProtocolError("a list of structs that contradicts itself")
        return StructListReader(self, segment_id, start + 8, count, data, pointers)

    def claim(self, segment_id: int, start: int, size: int) -> None:
        """Make sure that these bytes exist, and that they were not all read before."""
        if not size:
            return  # nothing will be read of it, so it may lie anywhere, as capnp C++ has it
        if start < 0 or start + size > len(self.segments[segment_id]):
            raise RemoteProtocolError(_OUTSIDE)
        self._budget -= size
        if self._budget < 0:
            raise RemoteProtocolError("pointers to overlapping places")

    def _follow(self, segment_id: int, position: int) -> tuple[int, int, int, int]:
        """Where a pointer leads, far ones included: segment, byte, and the pointer's two halves."""
        low, high = self._pointer(segment_id, position)
        if low & 3 != _FAR:
            return segment_id, position + 8 + 8 * (low >> 2), low, high
        pad_segment, pad = high, _far_position(low)
        if not low & _DOUBLE:
            low, high = self._pointer(pad_segment, pad)
            if low & 3 == _FAR:
                raise RemoteProtocolError("a far pointer that leads to another one")
            return pad_segment, pad + 8 + 8 * (low >> 2), low, high
        # The landing pad says where the object is, the word behind it what it is.
        low, high = self._pointer(pad_segment, pad)
        if low & 7 != _FAR:
            raise RemoteProtocolError("a double-far pointer that leads to no far pointer")
        segment_id, start = high, _far_position(low)
        low, high = self._pointer(pad_segment, pad + 8)
        if segment_id >= len(self.segments):
            raise RemoteProtocolError("a pointer into a segment that does not exist")
        return segment_id, start, low, high

    def _pointer(self, segment_id: int, position: int) -> tuple[int, int]:
        if segment_id >= len(self.segments) or position + 8 > len(self.segments[segment_id]):
            raise RemoteProtocolError("a pointer into a segment or place that does not exist")
        low, high = _POINTER.unpack_from(self.segments[segment_id], position)
        return low, high


class StructReader:
    """One struct; fields behind its end have their default, 0 or null.

    Attributes:
        data: bytes of plain values.
        pointers: how many pointers follow them.
    """

    __slots__ = ("_message", "_segment_id", "_start", "data", "pointers")

    def __init__(
        self, message: MessageReader, segment_id: int, start: int, data: int, pointers: int
    ) -> None:
        self._message = message
        self._segment_id = segment_id
        self._start = start
        self.data = data
        self.pointers = pointers

    def uint16(self, offset: int) -> int:
        """The number `offset` bytes into the struct."""
        if offset + 2 > self.data:
            return 0
        start = self._start + offset
        return int.from_bytes(self._message.segments[self._segment_id][start : start + 2], "little")

    def text(self, index: int) -> bytes:
        """The text of the pointer with this index, as `MessageReader.text`."""
        if index >= self.pointers:
            return b""
        return self._message.text(self._segment_id, self._start + self.data + 8 * index)

    def struct(self, index: int) -> StructReader:
        """The struct of the pointer with this index, as `MessageReader.struct`."""
        if index >= self.pointers:
            return StructReader(self._message, 0, 0, 0, 0)
        return self._message.struct(self._segment_id, self._start + self.data + 8 * index)

    def capability(self, index: int) -> int | None:
        """The capability of the pointer with this index, as `MessageReader.capability`."""
        if index >= self.pointers:
            return None
        return self._message.capability(self._segment_id, self._start + self.data + 8 * index)

    def structs(self, index: int) -> StructListReader:
        """The list of the pointer with this index, as `MessageReader.structs`."""
        if index >= self.pointers:
            return StructListReader(self._message, 0, 0, 0, 0, 0)
        return self._message.structs(self._segment_id, self._start + self.data + 8 * index)


class StructListReader:
    """A list of structs."""

    __slots__ = ("_count", "_data", "_message", "_pointers", "_segment_id", "_start")

    def __init__(
        self,
        message: MessageReader,
        segment_id: int,
        start: int,
        count: int,
        data: int,
        pointers: int,
    ) -> None:
        self._message = message
        self._segment_id = segment_id
        self._start = start
        self._count = count
        self._data = data
        self._pointers = pointers

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> StructReader:
        if not 0 <= index < self._count:
            raise IndexError(f"{index} in a list of {self._count}")
        start = self._start + index * (self._data + 8 * self._pointers)
        return StructReader(self._message, self._segment_id, start, self._data, self._pointers)

    @property
    def words(self) -> bytes:
        """The list as it lies there, with its tag, if it is one of structs of two pointers each;
        otherwise nothing.
        """
        if self._data or self._pointers != 2 or not self._count:
            return b""
        return self._segment[self._start - 8 : self._start + 16 * self._count]

    @property
    def _segment(self) -> bytes:
        return self._message.segments[self._segment_id]

    def __iter__(self) -> Iterator[StructReader]:
        return (self[index] for index in range(self._count))

    def text_pairs(self, names: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """The first two pointers of every struct, read as texts, the first one by another name.

        Look at the list's length first: structs of no size can be claimed by the million.

        Args:
            names: what stands for each first text; looked up with the NUL at its end, which is
                for the mapping to check, or b"" for a text of no bytes.

        Raises:
            RemoteProtocolError: as `MessageReader.text`, or by `names`.
        """
        if self._data or self._pointers != 2:
            return [(names[struct.text(0) + b"\0"], struct.text(1)) for struct in self]
        segment = self._segment
        first, after_list = self._start, self._start + 16 * self._count
        pairs = []
        # The hot path: each text lies behind the one before, padded to whole words, as every known
        # encoder lays them out. Texts that follow each other can't overlap, and whether they end
        # within the segment is known once the NUL of the last one was looked at.
        # With p the pointer's own place, its target is p + 8 + 8 * (low >> 2). The kind in low's
        # last two bits is 1, so that is p + 6 + 2 * low, and a whole word for no other kind.
        place, key = first + 6, after_list
        try:
            for key_low, key_high, value_low, value_high in iter_unpack(
                "<iIiI", segment[first:after_list]
            ):
                key_end = key + (key_high >> 3)
                value = key_end + 7 & -8
                value_end = value + (value_high >> 3) - 1
                if (
                    place + 2 * key_low == key
                    and place + 8 + 2 * value_low == value
                    and key_high & 7 == _BYTES == value_high & 7
                    and not segment[value_end]
                ):
                    pairs.append((names[segment[key:key_end]], segment[value:value_end]))
                    key = value_end + 8 & -8
                else:
                    # Null pointers, far ones, other orders, and what is wrong.
                    struct = self[len(pairs)]
                    pairs.append((names[struct.text(0) + b"\0"], struct.text(1)))
                    is_null = place + 2 * key_low == key and not value_low | value_high
                    key = value if is_null else key
                place += 16
        except IndexError:
            raise RemoteProtocolError(_OUTSIDE) from None
        return pairs


class TextLayout(Struct):
    """Where the texts lie in lists of pairs with the same pointers and the same first texts."""

    _between: tuple[bytes, ...]

    @classmethod
    def of(cls, entries: StructListReader) -> TextLayout | None:
        """The layout of a list whose `words` are some and that `text_pairs` could read.

        Returns:
            None unless the texts follow each other in order, each in whole words, as every known
            encoder lays them out.
        """
        pointers = entries.words[8:]
        text = len(pointers)
        sizes = [0]  # of what lies before each value, and of each value, in turn
        for place, (low, high) in enumerate(_POINTER.iter_unpack(pointers)):
            size = high >> 3
            if 8 * place + 6 + 2 * low != text or high & 7 != _BYTES or not size:
                return None
            if place & 1:
                sizes += [size - 1, 8 - (size - 1 & 7)]  # a value; its NUL and padding
            else:
                sizes[-1] += size + 7 & -8
            text += size + 7 & -8
        layout = cls("".join([f"{size}s" for size in sizes]))
        layout._between = layout.unpack_from(entries._segment, entries._start + len(pointers))[::2]
        return layout

    def values(self, data: bytes, start: int) -> tuple[bytes, ...] | None:
        """The second text of every pair, read in one go.

        Args:
            data: holds the texts of a list with the same pointers as this layout's.
            start: of the first of them.

        Returns:
            None when they are not all there, or anything between them is not what it was: then
            `StructListReader.text_pairs` says what there is.
        """
        if start + self.size > len(data):
            return None
        texts: tuple[bytes, ...] = self.unpack_from(data, start)
        return texts[1::2] if texts[::2] == self._between else None


def _far_position(low: int) -> int:
    return (low & 0xFFFFFFFF) >> 3 << 3


_OUTSIDE = "a pointer to a place outside of its segment"
_POINTER = Struct("<iI")  # kind and signed offset, then sizes or a segment's number
_STRUCT, _LIST, _FAR, _CAPABILITY = range(4)  # the last two bits of a pointer
_DOUBLE = 4  # the bit behind them, in a far pointer
_BITS, _BYTES, _COMPOSITE = 1, 2, 7  # element kinds of a list pointer
# What one element is, seen as a struct: bytes of data, pointers.
_ELEMENTS = {0: (0, 0), 2: (1, 0), 3: (2, 0), 4: (4, 0), 5: (8, 0), 6: (0, 1)}
