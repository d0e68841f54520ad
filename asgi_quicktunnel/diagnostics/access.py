"""Who may change something through the diagnostics, and who else may read them (design.md §5)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection
from starlette.types import Scope

from asgi_quicktunnel.diagnostics.local import is_direct

__all__ = ["SAFE_METHODS", "TOKEN_HEADER", "AccessToken", "PageToken"]


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
        return _is_same(headers.get(TOKEN_HEADER, ""), self.value)


class AccessToken:
    """A secret that lets other hosts read the diagnostics (`TunnelConfig.diagnostics_token`).

    Shown as `Authorization: Bearer SECRET`, or once as `?token=SECRET`, for which there is a
    cookie. The cookie holds another word that only who knows the secret can make, so that it works
    in each worker and after a reload, and tells nobody the secret.

    Args:
        value: the secret.
    """

    def __init__(self, value: str) -> None:
        self._value = value
        self._cookie = hmac.digest(value.encode(), _COOKIE_LABEL, hashlib.sha256).hex()

    def __repr__(self) -> str:
        return "<AccessToken>"

    def admits(self, scope: Scope) -> bool:
        """Whether this "http" or "websocket" request comes straight to us and shows the secret.

        The query counts for reading alone: what it asks for is a cookie.
        """
        if not is_direct(scope):
            return False
        connection = HTTPConnection(scope)
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _is_same(given.strip(), self._value):
            return True
        if _is_same(connection.cookies.get(_COOKIE, ""), self._cookie):
            return True
        return scope.get("method") in ("GET", "HEAD") and self.is_in_query(scope)

    def is_in_query(self, scope: Scope) -> bool:
        """Whether the secret stands in the query."""
        return len(self._without_secret(scope)) < len(_members(scope))

    def hide(self, scope: Scope) -> None:
        """Take the secret out of the scope, from which servers write their access log later."""
        scope["query_string"] = self._clean_query(scope)

    def clean_location(self, scope: Scope) -> str:
        """The address that was asked for, without the secret."""
        query = self._clean_query(scope).decode("latin-1")
        return quote(scope["path"], errors="replace") + (f"?{query}" if query else "")

    def cookie(self, scope: Scope, path: str) -> str:
        """The value of a Set-Cookie that shows the secret from now on.

        Args:
            scope: of the request it answers.
            path: of the diagnostics, as the visitor sees it.
        """
        secure = "; Secure" if scope.get("scheme") in ("https", "wss") else ""
        return f"{_COOKIE}={self._cookie}; Path={quote(path)}; HttpOnly; SameSite=Strict{secure}"

    def _clean_query(self, scope: Scope) -> bytes:
        return b"&".join(self._without_secret(scope))

    def _without_secret(self, scope: Scope) -> list[bytes]:
        return [member for member in _members(scope) if not self._is_secret(member)]

    def _is_secret(self, member: bytes) -> bool:
        name, _, value = member.partition(b"=")
        return name == b"token" and _is_same(unquote(value.decode("latin-1")), self._value)


def _members(scope: Scope) -> list[bytes]:
    query: bytes = scope.get("query_string", b"")
    return query.split(b"&") if query else []


def _is_same(given: str, wanted: str) -> bool:
    """In a time that tells nothing; text that can't be bytes is another text."""
    return secrets.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


TOKEN_HEADER = "x-quicktunnel-token"  # noqa: S105  # the name of it
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 §9.2.1
_COOKIE = "quicktunnel_access"
_COOKIE_LABEL = b"asgi_quicktunnel diagnostics cookie"
