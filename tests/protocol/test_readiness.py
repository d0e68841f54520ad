"""The answer that proves a URL."""

import hashlib

import pytest

from asgi_quicktunnel.protocol.readiness import (
    answer_for,
    expected_answer,
    new_nonce,
    readiness_path,
)

NONCE = "00112233445566778899aabbccddeeff"


def test_a_nonce_has_128_bits_and_is_new_each_time():
    """32 hexadecimal digits that don't repeat."""
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(len(bytes.fromhex(nonce)) == 16 for nonce in nonces)


def test_the_path_is_a_well_known_one():
    """It stands below /.well-known/ (RFC 8615) and ends with the nonce."""
    assert readiness_path(NONCE) == f"/.well-known/quicktunnel/{NONCE}"


def test_the_answer_is_derived_from_the_nonce():
    """It is the nonce's SHA-256, so a page that repeats its path does not give it."""
    answer = answer_for(readiness_path(NONCE).encode(), NONCE)

    assert answer == expected_answer(NONCE) == hashlib.sha256(NONCE.encode()).hexdigest().encode()
    assert NONCE.encode() not in answer


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/.well-known/quicktunnel/",
        b"/.well-known/quicktunnel/" + NONCE.upper().encode(),
        b"/.well-known/quicktunnel/" + NONCE.encode()[:-1],
        b"/.well-known/quicktunnel/" + NONCE.encode() + b"/",
        b"/x/.well-known/quicktunnel/" + NONCE.encode(),
        b"/.well-known/quicktunnel/" + b"f" * 32,
        b"\xff",
    ],
)
def test_every_other_path_is_the_apps(path):
    """One path alone is answered."""
    assert answer_for(path, NONCE) is None
