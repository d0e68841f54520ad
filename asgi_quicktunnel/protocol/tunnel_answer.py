"""What the service answers to a request for a tunnel: credentials, or one sentence why not."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from asgi_quicktunnel.errors import ProvisioningError, RateLimited
from asgi_quicktunnel.model import Credentials

__all__ = ["ANSWER_LIMIT", "TunnelAnswer", "presentable"]


@dataclass(frozen=True, slots=True)
class TunnelAnswer:
    """The answer to `POST /tunnel`, not yet judged.

    Attributes:
        status: of the response.
        headers: of the response; looked up by names in lower case.
        body: what was read of it, as it came; anything over ANSWER_LIMIT is refused. It may hold
            the secret, so no error, log line or repr shows it unchecked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def credentials(self, asked: str, *, now: datetime) -> Credentials:
        """What the service handed out.

        Args:
            asked: what was tried, such as "POST https://host/tunnel"; errors begin with it.
            now: aware; a Retry-After date is counted from it.

        Raises:
            RateLimited: status 429, or a page that says "error code: 1015".
            ProvisioningError: any other answer without credentials; retryable for a 5xx status.

        Source: protocol.md §1.
        """
        if self.status == 429 or _RATE_LIMIT_MARK in self._text:
            raise self._rate_limited(asked, now)
        if self._is_html or not 200 <= self.status <= 299:
            raise self._refused(asked)
        document = self._json()
        if not isinstance(document, dict):
            what = "more than 64 KiB" if len(self.body) > ANSWER_LIMIT else "no JSON object"
            raise self._useless(asked, f" with {what}")
        if document.get("success", True) is not True:
            raise self._useless(asked, ", but without success")
        fields = document.get("result")
        values, unusable = _read_fields(fields if isinstance(fields, dict) else {})
        if unusable:
            raise self._useless(asked, f", but its result has no usable {' and '.join(unusable)}")
        return Credentials(**values)

    def _rate_limited(self, asked: str, now: datetime) -> RateLimited:
        retry_after = _retry_after(self.headers.get("retry-after", ""), now)
        marked = _RATE_LIMIT_MARK in self._text
        said = f': "{_RATE_LIMIT_MARK}"' if marked else self._quoted()
        wait = "some minutes" if retry_after is None else f"{retry_after:.0f} s"
        return RateLimited(
            f"{asked} answered {self.status}{said}; the service limits how many tunnels it gives "
            f"one address, so wait {wait} before you ask for another",
            status=self.status,
            retry_after=retry_after,
        )

    def _refused(self, asked: str) -> ProvisioningError:
        said = (" with an HTML page" if self._is_html else "") + self._quoted()
        if self.status == 403 or self._is_html:
            advice = (
                "the service refused this client: try another value of the option user_agent, or "
                "check the option service_url"
            )
        elif self.status >= 500:
            advice = "the service has a fault, so try again later"
        elif 300 <= self.status <= 399:
            location = presentable(self.headers.get("location", "nowhere"))
            advice = f"it points to {location}, so check the option service_url"
        else:
            advice = "check the option service_url"
        return ProvisioningError(
            f"{asked} answered {self.status}{said}; {advice}",
            status=self.status,
            retryable=self.status >= 500,
        )

    def _useless(self, asked: str, why: str) -> ProvisioningError:
        return ProvisioningError(
            f"{asked} answered {self.status}{why}{self._quoted()}; "
            "try again later, or check the option service_url",
            status=self.status,
        )

    def _quoted(self) -> str:
        """What the answer says for itself, as the tail of a message; "" when that is nothing."""
        document = self._json()
        if isinstance(document, dict):
            said = _reasons(document)
        elif self._is_html:
            title = _TITLE.search(self._text)
            said = html.unescape(title[1]) if title else ""
        else:
            said = "" if "secret" in self._text.lower() else self._text
        said = presentable(said)
        return f': "{said}"' if said else ""

    def _json(self) -> Any:
        """The body as JSON, or None; the parser's own error would hold the body."""
        if len(self.body) > ANSWER_LIMIT:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def _is_html(self) -> bool:
        is_marked = "html" in self.headers.get("content-type", "").lower()
        return is_marked or self._text.lstrip("\ufeff \t\r\n").startswith("<")

    @property
    def _text(self) -> str:
        return self.body.decode("utf-8", "replace")


def presentable(text: str) -> str:
    """Text from outside, fit for a message: one line, at most 200 characters, nothing secret."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = _SECRET_LIKE.sub("[hidden]", text)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _read_fields(fields: Mapping[str, object]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of Credentials, and which keys of the result are missing or wrong."""
    values: dict[str, Any] = {}
    for key, (name, read) in _FIELDS.items():
        value = fields.get(key)
        with contextlib.suppress(ValueError):
            if isinstance(value, str):
                values[name] = read(value)
    return values, [key for key, (name, _) in _FIELDS.items() if name not in values]


def _read_account_tag(text: str) -> str:
    if not text or len(text) > 256 or not text.isprintable():
        raise ValueError("account_tag")
    return text


def _read_secret(text: str) -> bytes:
    secret = base64.b64decode(text, validate=True)
    # 32 in every known sample (protocol.md §1), but the edge alone judges it.
    if not 16 <= len(secret) <= 1024:
        raise ValueError("secret")
    return secret


def _read_hostname(text: str) -> str:
    if len(text) > 270 or not _HOSTNAME.fullmatch(text):
        raise ValueError("hostname")
    return text


def _reasons(document: Mapping[str, Any]) -> str:
    """The errors that an envelope lists, as one text without the secret."""
    errors = document.get("errors")
    texts = []
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            code = f" (code {error['code']})" if isinstance(error.get("code"), int) else ""
            texts.append(error["message"] + code)
    text = ", ".join(texts)
    result = document.get("result")
    secret = result.get("secret") if isinstance(result, dict) else None
    return text.replace(secret, "[hidden]") if isinstance(secret, str) and secret else text


def _retry_after(value: str, now: datetime) -> float | None:
    """Seconds, a day at most; None if it is neither number nor date (RFC 9110 §10.2.3)."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _DAY)
    with contextlib.suppress(ValueError, OverflowError):
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:  # "-0000"
            when = when.replace(tzinfo=UTC)
        return min(max((when - now).total_seconds(), 0.0), _DAY)
    return None


ANSWER_LIMIT = 64 * 1024  # bytes; a real answer has about 500

_DAY = 86400.0  # s
_RATE_LIMIT_MARK = "error code: 1015"  # plain text or part of a page; protocol.md §1
_FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "id": ("tunnel_id", UUID),
    "account_tag": ("account_tag", _read_account_tag),
    "secret": ("secret", _read_secret),
    "hostname": ("hostname", _read_hostname),
}
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(
    rf"(?:https?://)?(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?/?"
)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
# A base64 text of 32 bytes has 44 characters; JSON may write its "/" as "\/" or "\u002f".
_SECRET_LIKE = re.compile(r"[A-Za-z0-9+/=_%\\-]{32,}")
