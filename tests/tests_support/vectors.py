"""The dumps of protocol.md §13, as files in tests/vectors."""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_vector"]


def read_vector(name: str) -> bytes:
    """The bytes of one dump; lines that begin with # are comments."""
    lines = (_FOLDER / f"{name}.hex").read_text("utf-8").splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


_FOLDER = Path(__file__).parent.parent / "vectors"
