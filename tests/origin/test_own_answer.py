"""The pages of the origin itself; what uses them is tested where it is used."""

import pytest

from asgi_quicktunnel.errors import OriginError
from asgi_quicktunnel.model import RequestHead, RequestKind
from asgi_quicktunnel.origin.own_answer import failure_page, is_own_business
from asgi_quicktunnel.protocol.readiness import new_nonce, readiness_path


def request(*headers):
    return RequestHead(RequestKind.HTTP, b"/", headers=headers)


@pytest.mark.parametrize(
    "accept", [(), ((b"accept", b"*/*"),), ((b"accept", b"application/json"),)]
)
def test_programs_get_text(accept):
    """Status, explanation and cause, a line each."""
    text, kind = failure_page(request(*accept), OriginError("nobody <there>", status=504))
    assert kind == b"text/plain; charset=utf-8"
    title, explanation, cause = text.decode().splitlines()
    assert title == "504 Gateway Timeout"
    assert "tunnel works" in explanation
    assert cause == "nobody <there>"


def test_browsers_get_html_in_which_nothing_can_be_injected():
    """The cause is escaped."""
    accept = (b"accept", b"text/HTML, */*")
    text, kind = failure_page(request(accept), OriginError("<script>&"))
    assert kind == b"text/html; charset=utf-8"
    assert b"<title>502 Bad Gateway</title>" in text
    assert b"&lt;script&gt;&amp;" in text
    assert b"<script>" not in text


def test_what_is_the_origins_own_business():
    """Proofs while there is a nonce, and what Cloudflare asks of the connector itself."""
    nonce = new_nonce()
    proof = RequestHead(RequestKind.HTTP, readiness_path(nonce).encode(), host=b"a.example")
    assert is_own_business(proof, nonce)
    assert is_own_business(
        RequestHead(RequestKind.HTTP, b"/", host=b"management.argotunnel.com"), None
    )
    for head in (
        proof._replace(method="POST"),
        proof._replace(kind=RequestKind.WEBSOCKET),
        proof._replace(dest=readiness_path(new_nonce()).encode()),
        request(),
    ):
        assert not is_own_business(head, nonce)
    assert not is_own_business(proof, None)
