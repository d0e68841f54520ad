"""Which of the records that are kept somebody wants to see."""

import gzip

import pytest

from asgi_quicktunnel.diagnostics.redaction import Redaction
from asgi_quicktunnel.diagnostics.selection import Selection
from asgi_quicktunnel.inspector.store import RequestStore

from tests_support.recorded import exchange, request

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store():
    """Four exchanges of different kinds."""
    store = RequestStore()
    await exchange(request(dest=b"/Alpha?q=Needle"), store=store)
    await exchange(
        request("POST", b"/beta", [(b"x-note", b"hay")], body=b"body text"),
        store=store,
        body=b"body text",
        status=404,
        headers=[(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")],
        answer=[gzip.compress(b"packed Straw")],
    )
    await exchange(
        request(dest=b"/gamma", headers=[(b"authorization", b"SECRET")]),
        store=store,
        status=500,
        headers=[(b"set-cookie", b"SECRET"), (b"x-answer", b"hay")],
    )
    await exchange(request("PUT", b"/beta/open"), store=store, status=None, end=None)
    return store


def ids(store, **query):
    summaries = Selection.of(query).summaries(store.records(), Redaction())
    return "".join(summary["id"] for summary in summaries)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "4321"),
        ({"method": "get"}, "31"),
        ({"method": "PU"}, ""),
        ({"status": "404"}, "2"),
        ({"status": "4XX"}, "2"),
        ({"status": "5xx"}, "3"),
        ({"status": "2xx"}, "1"),
        ({"path": "BETA"}, "42"),
        ({"path": "needle"}, ""),
        ({"text": "needle"}, "1"),
        ({"text": "get /alpha"}, "1"),
        ({"text": "body TEXT"}, "2"),
        ({"text": "straw"}, "2"),
        ({"text": "hay"}, "32"),
        ({"text": "x-note: hay"}, "2"),
        ({"text": "secret"}, ""),
        ({"text": "cookie: ***"}, "3"),
        ({"limit": "2"}, "43"),
        ({"limit": "0"}, ""),
        ({"path": "beta", "limit": "1", "method": "post"}, "2"),
        ({"path": "", "other": "x"}, "4321"),
    ],
)
async def test_what_is_found(store, query, found):
    """The newest first; what is masked is not found by its value."""
    assert ids(store, **query) == found


@pytest.mark.parametrize(
    "query",
    [
        {"status": "x"},
        {"status": "4x"},
        {"status": "²xx"},
        {"limit": "-1"},
        {"limit": ""},
        {"limit": "9" * 50},
    ],
)
def test_what_can_not_be_used(query):
    """It is said what would do."""
    with pytest.raises(ValueError, match="can't be used: it takes"):
        Selection.of(query)
