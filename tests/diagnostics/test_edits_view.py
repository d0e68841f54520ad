"""What a page wants different, read from JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.diagnostics.edits_view import read_edits
from asgi_quicktunnel.errors import ReplayError
from asgi_quicktunnel.inspector.edits import Edits


@pytest.mark.parametrize("data", [b"", b" \n", b"{}", b'{"method": null, "headers": null}'])
def test_nothing_is_changed(data):
    """An empty body is as good as an empty object."""
    assert read_edits(data) == Edits()


def test_everything_is_changed():
    """Text is sent as UTF-8."""
    data = json.dumps(
        {"method": "PUT", "path": "/a", "headers": [["x", "y"], ["x", "z"]], "body": "é"}
    )
    assert read_edits(data.encode()) == Edits("PUT", "/a", (("x", "y"), ("x", "z")), "é".encode())
    assert read_edits(b'{"body_base64": "AP8="}').body == b"\x00\xff"
    assert read_edits(b'{"body": ""}').body == b""


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'"x"',
        b'{"url": "/"}',
        b'{"method": 1}',
        b'{"path": []}',
        b'{"headers": {}}',
        b'{"headers": [["a"]]}',
        b'{"headers": [["a", 1]]}',
        b'{"headers": ["ab"]}',
        b'{"body": 1}',
        b'{"body": "a", "body_base64": "YQ=="}',
        b'{"body_base64": "?"}',
        b'{"body_base64": "YQ"}',
        b'{"body": "\\ud800"}',
        b'{"method": "a b"}',
        b'{"path": "x"}',
    ],
)
def test_what_can_not_be_used(data):
    """Is a bad request, with a sentence."""
    with pytest.raises(ReplayError) as caught:
        read_edits(data)
    assert caught.value.status == 400


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["method", "path", "headers", "body"]), inner)
        ),
    )
)
def test_any_json_is_read_or_refused(value):
    """Never anything else."""
    try:
        assert isinstance(read_edits(json.dumps(value).encode()), Edits)
    except ReplayError as exc:
        assert exc.status == 400  # noqa: PT017
