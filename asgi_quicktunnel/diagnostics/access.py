"""Who may change something through the diagnostics: whoever could read them (design.md §5)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

__all__ = ["TOKEN_HEADER", "PageToken"]


class PageToken:
    """A word that only a reader of the diagnostics knows; `is_local` says who may read them.

    Attributes:
        value: random, for the life of the process; 32 characters of URL-safe base64.
    """

    def __init__(self) -> None:
        self.value = secrets.token_urlsafe(24)

    def __repr__(self) -> str:
        return "<PageToken>"

    def matches(self, headers: Mapping[str, str]) -> bool:
        """Whether a request that changes something says the word, in `X-Quicktunnel-Token`.

        Args:
            headers: of the request; looked up in lower case.
        """
        given = headers.get(TOKEN_HEADER, "")
        return secrets.compare_digest(given.encode("latin-1", "replace"), self.value.encode())


TOKEN_HEADER = "x-quicktunnel-token"  # noqa: S105  # the name of it
