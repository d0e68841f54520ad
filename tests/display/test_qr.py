"""A QR code in text."""

import itertools

import segno

from asgi_quicktunnel.display.qr import BORDER, qr_lines

from tests_support import told

UPPER_AND_LOWER = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}


def test_the_lines_hold_every_module():
    """Two modules a character: read back, they are the code of the URL, in its quiet zone."""
    lines = qr_lines(told.URL)
    halves = [[UPPER_AND_LOWER[character] for character in line] for line in lines]
    rows = itertools.chain.from_iterable(zip(*line, strict=True) for line in halves)
    matrix = [[bool(module) for module in row] for row in rows]
    expected = [
        [bool(module) for module in row]
        for row in segno.make_qr(told.URL, error="l").matrix_iter(border=BORDER)
    ]
    assert matrix[: len(expected)] == expected
    assert not any(itertools.chain.from_iterable(matrix[len(expected) :]))
