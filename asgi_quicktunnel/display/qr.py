"""A QR code in text, two modules a character."""

from __future__ import annotations

import itertools

import segno

__all__ = ["qr_lines"]


def qr_lines(text: str) -> list[str]:
    """The lines of a QR code; dark modules are the ink, so it belongs on a light ground."""
    code = segno.make_qr(text, error="l")
    rows = [list(row) for row in code.matrix_iter(border=BORDER)]
    blank = [0] * len(rows[0])
    return [
        "".join(
            _BLOCKS[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True)
        )
        for above, below in itertools.zip_longest(rows[::2], rows[1::2], fillvalue=blank)
    ]


BORDER = 2  # modules; the standard asks for 4, cameras are content with 2 and terminals are small
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
