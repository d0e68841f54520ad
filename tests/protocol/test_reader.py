"""The reader of Cap'n Proto objects, on messages built word by word."""

from struct import pack

import pytest

from asgi_quicktunnel.errors import RemoteProtocolError
from asgi_quicktunnel.protocol.reader import MessageReader

from tests_support.capnp_messages import (
    far_pointer,
    frame,
    list_pointer,
    struct_pointer,
    text,
)

NULL = bytes(8)


class _Same(dict):
    """Every text stands for itself."""

    def __missing__(self, key):
        assert key.endswith(b"\0")
        return key[:-1]


SAME = _Same()
ROOT = struct_pointer(0, 1, 2)  # of (1 word, 2 pointers), right behind


def read(*segments):
    return MessageReader(frame(*segments)).root()


def refused(segments, read_it, match):
    with pytest.raises(RemoteProtocolError, match=match):
        read_it(read(*segments))


# Text


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 9, 300])
def test_a_text_is_read_without_its_nul(size):
    """A text comes out as the bytes before its NUL."""
    value = b"x" * size
    root = read(ROOT + NULL + list_pointer(1, 2, size + 1) + NULL + text(value))
    assert root.text(0) == value


def test_no_text_is_an_empty_text():
    """A null pointer, a text of no bytes at all, and a missing field read as b"" (Go: §5.1)."""
    root = read(ROOT + NULL + NULL + list_pointer(0, 2, 0))
    assert (root.text(0), root.text(1), root.text(2)) == (b"", b"", b"")


def test_a_text_may_lie_before_its_pointer():
    """Offsets are signed."""
    root = read(struct_pointer(1, 0, 1) + text(b"before") + list_pointer(-2, 2, 7))
    assert root.text(0) == b"before"


def test_a_text_needs_its_nul():
    """A text that does not end in NUL is refused."""
    segment = ROOT + NULL + list_pointer(1, 2, 8) + NULL + b"12345678"
    refused([segment], lambda root: root.text(0), "NUL")


@pytest.mark.parametrize(
    "pointer",
    [
        struct_pointer(1, 1, 0),
        list_pointer(1, 1, 8),
        list_pointer(1, 3, 4),
        list_pointer(1, 7, 1),
        pack("<II", 3, 0),
        pack("<II", 0, 1),
    ],
)
def test_a_text_is_nothing_else(pointer):
    """A struct, another list or a capability where a text belongs is refused."""
    segment = ROOT + NULL + pointer + NULL + text(b"1234567")
    refused([segment], lambda root: root.text(0), "something else where a text")


@pytest.mark.parametrize(
    "pointer", [list_pointer(1, 2, 17), list_pointer(2, 2, 9), list_pointer(-9, 2, 1)]
)
def test_a_text_lies_within_its_segment(pointer):
    """A text that begins before its segment or ends behind it is refused."""
    segment = ROOT + NULL + pointer + NULL + text(b"12345678")
    refused([segment, text(b"beside")], lambda root: root.text(0), "outside of its segment")


# Structs


def test_a_struct_has_what_it_has():
    """Fields behind the end of a shorter struct have their default; more than we know is fine."""
    root = read(struct_pointer(0, 2, 3) + pack("<HHI", 1, 2, 3) + pack("<Q", 4) + NULL * 3)
    assert [root.uint16(offset) for offset in (0, 2, 4, 8, 14, 16)] == [1, 2, 3, 4, 0, 0]
    assert root.text(7) == b""


def test_no_struct_is_an_empty_struct():
    """Null pointers and missing pointers read as a struct of defaults."""
    root = read(NULL)
    assert (root.uint16(0), root.text(0), len(root.structs(0))) == (0, b"", 0)
    assert root.struct(0).capability(0) is None
    nested = read(struct_pointer(0, 0, 1) + NULL).struct(0)
    assert (nested.data, nested.pointers) == (0, 0)


@pytest.mark.parametrize("pointer", [list_pointer(0, 2, 1), pack("<II", 3, 0), pack("<II", 3, 9)])
def test_a_struct_is_nothing_else(pointer):
    """A list or a capability where a struct belongs is refused."""
    refused([pointer + NULL], lambda root: None, "something else where a struct")


@pytest.mark.parametrize("pointer", [struct_pointer(0, 2, 1), struct_pointer(-9, 1, 0)])
def test_a_struct_lies_within_its_segment(pointer):
    """A struct that is not all inside its segment is refused."""
    refused([pointer + NULL * 2], lambda root: None, "outside of its segment")


def test_a_capability_is_an_index():
    """A pointer to a capability tells its index, any other none."""
    root = read(struct_pointer(0, 0, 3) + pack("<II", 3, 7) + NULL + list_pointer(0, 2, 0))
    assert [root.capability(index) for index in range(4)] == [7, None, None, None]


# Far pointers


def test_a_far_pointer_is_followed():
    """A pointer may say in which segment another pointer lies, the object behind it."""
    root = read(
        struct_pointer(0, 0, 2) + far_pointer(1, 1) + far_pointer(1, 0),
        list_pointer(1, 2, 4) + list_pointer(1, 2, 4) + text(b"one") + text(b"two"),
    )
    assert (root.text(0), root.text(1)) == (b"two", b"one")


def test_the_root_may_be_far():
    """Also the first pointer of a message."""
    root = read(far_pointer(2, 0), b"", struct_pointer(0, 1, 0) + pack("<Q", 42))
    assert root.uint16(0) == 42


def test_a_double_far_pointer_is_followed():
    """A landing pad may itself name another segment, with the object's kind behind it."""
    root = read(
        struct_pointer(0, 0, 2) + far_pointer(1, 0, double=True) + far_pointer(1, 2, double=True),
        far_pointer(2, 1) + list_pointer(0, 2, 5) + far_pointer(2, 0) + list_pointer(0, 2, 4),
        text(b"one") + text(b"four"),
    )
    assert (root.text(0), root.text(1)) == (b"four", b"one")


@pytest.mark.parametrize(
    ("pads", "match"),
    [
        ([far_pointer(9, 0)], "does not exist"),
        ([far_pointer(1, 9)], "does not exist"),
        ([far_pointer(1, 0), far_pointer(1, 0)], "leads to another one"),
        ([far_pointer(1, 0, double=True), NULL + NULL], "leads to no far pointer"),
        (
            [far_pointer(1, 0, double=True), far_pointer(0, 0, double=True) + NULL],
            "leads to no far pointer",
        ),
        ([far_pointer(1, 0, double=True), far_pointer(0, 0)], "does not exist"),
        (
            [far_pointer(1, 0, double=True), far_pointer(7, 0) + list_pointer(0, 2, 1)],
            "does not exist",
        ),
        (
            [far_pointer(1, 0, double=True), far_pointer(0, 9) + list_pointer(0, 2, 1)],
            "outside of its segment",
        ),
        (
            [far_pointer(1, 0, double=True), far_pointer(0, 0) + far_pointer(0, 0)],
            "something else",
        ),
    ],
)
def test_far_pointers_that_lead_nowhere_are_refused(pads, match):
    """Segments and places that don't exist, chains and landing pads of another kind."""
    first, *others = pads
    refused([struct_pointer(0, 0, 1) + first, *others], lambda root: root.text(0), match)


# Lists of structs


def entries(pointer, *words):
    return read(struct_pointer(0, 0, 1) + pointer + b"".join(words)).structs(0)


def test_structs_of_a_list_are_read():
    """A list of structs of the size we know."""
    elements = entries(
        list_pointer(0, 7, 4),
        struct_pointer(2, 0, 2),
        list_pointer(3, 2, 2) + list_pointer(3, 2, 2) + NULL + list_pointer(2, 2, 2),
        text(b"a") + text(b"b") + text(b"d"),
    )
    assert elements.text_pairs(SAME) == [(b"a", b"b"), (b"", b"d")]
    assert [(e.text(0), e.text(1)) for e in elements] == [(b"a", b"b"), (b"", b"d")]
    with pytest.raises(IndexError):
        elements[2]


def test_structs_may_have_grown():
    """Elements of a later version, with more data and pointers than we know."""
    elements = entries(
        list_pointer(0, 7, 4),
        struct_pointer(1, 1, 3),
        pack("<Q", 5) + list_pointer(2, 2, 2) + list_pointer(2, 2, 2) + NULL,
        text(b"k") + text(b"v"),
    )
    assert elements.text_pairs(SAME) == [(b"k", b"v")]
    assert elements[0].uint16(0) == 5


def test_structs_may_be_of_one_pointer():
    """Elements of an earlier version: structs of one pointer, or plain pointers."""
    texts = text(b"a") + text(b"b")
    pointers = list_pointer(1, 2, 2) + list_pointer(1, 2, 2)
    composite = entries(list_pointer(0, 7, 2), struct_pointer(2, 0, 1), pointers, texts)
    plain = entries(list_pointer(0, 6, 2), pointers, texts)
    assert composite.text_pairs(SAME) == plain.text_pairs(SAME) == [(b"a", b""), (b"b", b"")]


@pytest.mark.parametrize(("kind", "size"), [(0, 0), (2, 1), (3, 2), (4, 4), (5, 8)])
def test_structs_may_be_plain_values(kind, size):
    """A list of values reads as structs of one value."""
    elements = entries(list_pointer(0, kind, 2), b"\7\0\0\0\0\0\0\0" * 2)
    assert elements.text_pairs(SAME) == [(b"", b"")] * 2
    assert elements[0].uint16(0) == (7 if size >= 2 else 0)


def test_no_list_is_an_empty_list():
    """Null, an empty list with and without its tag, and a missing field."""
    root = read(struct_pointer(0, 0, 3) + NULL + list_pointer(1, 7, 0) + NULL + NULL)
    assert [len(root.structs(index)) for index in range(4)] == [0] * 4
    assert len(entries(list_pointer(0, 2, 0))) == 0


@pytest.mark.parametrize(
    ("pointer", "words", "match"),
    [
        (list_pointer(0, 1, 8), [NULL], "something else where a list"),
        (struct_pointer(0, 1, 0), [NULL], "something else where a list"),
        (pack("<II", 3, 0), [NULL], "something else where a list"),
        (list_pointer(0, 7, 2), [list_pointer(0, 2, 1), NULL, NULL], "contradicts itself"),
        (list_pointer(0, 7, 2), [struct_pointer(2, 0, 2), NULL, NULL], "contradicts itself"),
        (list_pointer(0, 7, 9), [struct_pointer(2, 0, 2), NULL, NULL], "outside of its segment"),
        (list_pointer(0, 5, 3), [NULL, NULL], "outside of its segment"),
        (list_pointer(0, 6, 3), [NULL, NULL], "outside of its segment"),
    ],
)
def test_lists_that_are_none_are_refused(pointer, words, match):
    """Other objects, tags that contradict their pointer, and lists that leave their segment."""
    with pytest.raises(RemoteProtocolError, match=match):
        entries(pointer, *words)


def test_structs_without_size_are_counted_and_cost_nothing():
    """A tag may claim any number of structs of no size; nothing is made of them unasked."""
    elements = entries(list_pointer(0, 7, 0), struct_pointer((1 << 29) - 1, 0, 0))
    assert len(elements) == (1 << 29) - 1
    assert elements[12345].text(0) == b""


# The texts of a list, read in one go


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (0, 2, 1, 3), (2, 3, 0, 1)]
)
def test_texts_may_lie_in_any_order(order):
    """Where the texts lie changes nothing."""
    values = [b"key", b"value", b"another key", b"another value"]
    places, words = {}, b""
    for index in order:
        places[index] = len(words) // 8
        words += text(values[index])
    pointers = [list_pointer(3 - i + places[i], 2, len(values[i]) + 1) for i in range(4)]
    elements = entries(list_pointer(0, 7, 4), struct_pointer(2, 0, 2), *pointers, words)
    assert elements.text_pairs(SAME) == [(values[0], values[1]), (values[2], values[3])]


def test_texts_may_lie_in_another_segment():
    """One text alone may be far, among others that are not."""
    root = read(
        struct_pointer(0, 0, 1)
        + list_pointer(0, 7, 4)
        + struct_pointer(2, 0, 2)
        + list_pointer(3, 2, 2)
        + far_pointer(1, 0)
        + list_pointer(2, 2, 2)
        + list_pointer(2, 2, 2)
        + text(b"a")
        + text(b"c")
        + text(b"d"),
        list_pointer(0, 2, 2) + text(b"b"),
    )
    assert root.structs(0).text_pairs(SAME) == [(b"a", b"b"), (b"c", b"d")]


@pytest.mark.parametrize(
    "pointer",
    [
        list_pointer(1, 3, 2),
        struct_pointer(1, 1, 0),
        list_pointer(1, 2, 8),
        list_pointer(9, 2, 2),
        list_pointer(-9, 2, 2),
        list_pointer(1, 2, 900),
        pack("<II", 3, 0),
    ],
)
@pytest.mark.parametrize("place", ["key", "value"])
def test_texts_of_a_list_are_checked_like_any_other(pointer, place):
    """The hot path refuses what the general one does."""
    good = list_pointer(1, 2, 2)
    pair = (pointer, NULL) if place == "key" else (good, pointer)
    elements = entries(list_pointer(0, 7, 2), struct_pointer(1, 0, 2), *pair, b"12345678" * 2)
    with pytest.raises(RemoteProtocolError):
        elements.text_pairs(SAME)


# No byte is read more often than it exists


def test_overlapping_texts_are_refused():
    """A thousand pointers to one large text would be a thousand copies of it."""
    count, size = 1000, 50_000
    pointers = [list_pointer(2 * count - 1 - i, 2, size) for i in range(2 * count)]
    elements = entries(
        list_pointer(0, 7, 2 * count),
        struct_pointer(count, 0, 2),
        *pointers,
        text(b"x" * (size - 1)),
    )
    with pytest.raises(RemoteProtocolError, match="overlapping"):
        elements.text_pairs(SAME)


def test_a_struct_that_contains_itself_is_refused():
    """Following a pointer in a circle ends."""
    struct = read(struct_pointer(0, 0, 1) + struct_pointer(-1, 0, 1))
    depth = 0
    with pytest.raises(RemoteProtocolError, match="overlapping"):  # noqa: PT012 - the last raises
        while depth < 100:
            struct = struct.struct(0)
            depth += 1
    assert depth < 10


def test_an_honest_message_is_never_refused_for_its_size():
    """Objects that fill their message to the last word are all read."""
    values = [b"x" * 7] * 400
    pointers = [list_pointer(400 - 1, 2, 8) for _ in values]
    elements = entries(
        list_pointer(0, 7, 400), struct_pointer(200, 0, 2), *pointers, *map(text, values)
    )
    assert [v for pair in elements.text_pairs(SAME) for v in pair] == values
