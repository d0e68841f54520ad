"""Which of the records that are kept somebody wants to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asgi_quicktunnel.diagnostics.bodies import readable_text
from asgi_quicktunnel.diagnostics.record_view import summarize
from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.inspector.record import Record

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a record has to be; "" asks for nothing. Upper and lower case are the same.

    Attributes:
        method: the whole of it.
        status: such as "404", or "4xx" for a class.
        path: part of it.
        text: part of the method, the path with its query, a header as it is shown, or a body
            that is text.
        limit: how many are wanted at most, or None.
    """

    method: str = ""
    status: str = ""
    path: str = ""
    text: str = ""
    limit: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Selection:
        """From the parameters of a query; others are ignored.

        Raises:
            ValueError: a parameter that can't be used; the message says what would do.
        """
        status = query.get("status", "").lower()
        if status and not (status[0].isdecimal() and status[1:] == "xx") and not _is_digits(status):
            raise ValueError(f'status={status!r} can\'t be used: it takes "404" or "4xx"')
        limit = query.get("limit")
        if limit is not None and not _is_digits(limit):
            raise ValueError(f"limit={limit!r} can't be used: it takes a whole number")
        return cls(
            method=query.get("method", "").lower(),
            status=status,
            path=query.get("path", "").lower(),
            text=query.get("text", "").lower(),
            limit=None if limit is None else int(limit),
        )

    def summaries(self, records: Sequence[Record], redaction: Redaction) -> list[dict[str, Any]]:
        """`summarize` of those that are wanted, in their order.

        Args:
            records: to choose from.
            redaction: what is masked can't be found by its value.
        """
        wanted: list[dict[str, Any]] = []
        for record in records:
            if self.limit is not None and len(wanted) >= self.limit:
                break
            summary = summarize(record)
            if self._fits(summary, partial(_texts, record, redaction)):
                wanted.append(summary)
        return wanted

    def _fits(self, summary: Mapping[str, Any], texts: Callable[[], Sequence[str]]) -> bool:
        status = str(summary["status"] or "")
        if self.method and summary["method"].lower() != self.method:
            return False
        if self.status and self.status not in (status, status[:1] + "xx"):
            return False
        if self.path not in summary["path"].lower():
            return False
        if not self.text:
            return True
        line = "{method} {path}?{query}".format_map(summary)
        return any(self.text in text.lower() for text in (line, *texts()))


def _texts(record: Record, redaction: Redaction) -> list[str]:
    """The headers and bodies of a record that can be read."""
    texts = [f"{name}: {value}" for name, value in redaction.show(record.head.headers)]
    texts.append(readable_text(record.request_body, record.head.headers))
    if record.response is not None:
        texts += [f"{name}: {value}" for name, value in redaction.show(record.response.headers)]
        texts.append(readable_text(record.response_body, record.response.headers))
    return texts


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


_DIGITS = 9
