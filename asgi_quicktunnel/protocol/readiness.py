"""How a connector proves that a request to the public URL came back to it, and to no other.

The path is ours, below RFC 8615's /.well-known/; the edge takes it for any request of a visitor.
"""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["READINESS_PREFIX", "answer_for", "expected_answer", "new_nonce", "readiness_path"]


def new_nonce() -> str:
    """What nobody can guess: 128 bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def readiness_path(nonce: str) -> str:
    """The path to ask for, such as "/.well-known/quicktunnel/5f0c.."."""
    return READINESS_PREFIX.decode("ascii") + nonce


def expected_answer(nonce: str) -> bytes:
    """The body of the answer, which a page that repeats its own path does not contain.

    Returns:
        The SHA-256 of the nonce, 64 hexadecimal digits.
    """
    return hashlib.sha256(nonce.encode("ascii")).hexdigest().encode("ascii")


def answer_for(path: bytes, nonce: str) -> bytes | None:
    """What the connector answers to a GET for this path, or None when the path is the app's.

    Args:
        path: of the request as it came, percent-encoded, without the query.
        nonce: of this connector.
    """
    if path != readiness_path(nonce).encode("ascii"):
        return None
    return expected_answer(nonce)


READINESS_PREFIX = b"/.well-known/quicktunnel/"
