"""Reading the service's answer: every one becomes credentials or one clear sentence."""

import base64
import datetime
import json
import traceback
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.errors import ProvisioningError, RateLimited
from asgi_quicktunnel.protocol.tunnel_answer import ANSWER_LIMIT, TunnelAnswer, presentable

ASKED = "POST https://service.test/tunnel"
NOW = datetime.datetime(2026, 11, 23, 12, 0, 0, tzinfo=datetime.UTC)
SECRET = bytes(range(224, 256))
SECRET_TEXT = base64.b64encode(SECRET).decode()
RESULT = {
    "id": "1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "name": "qt-abc",
    "hostname": "four-random-words-here.trycloudflare.com",
    "account_tag": "0123456789abcdef0123456789abcdef",
    "secret": SECRET_TEXT,
}
ENVELOPE = {"success": True, "result": RESULT, "errors": []}


def read(body, status=200, content_type="application/json", **headers):
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return TunnelAnswer(status, {"content-type": content_type, **headers}, body).credentials(
        ASKED, now=NOW
    )


def refusal(body, status=200, content_type="application/json", **headers):
    with pytest.raises(ProvisioningError) as caught:
        read(body, status, content_type, **headers)
    return caught.value


def with_field(**fields):
    return {**ENVELOPE, "result": {**RESULT, **fields}}


def without_field(name):
    return {**ENVELOPE, "result": {key: RESULT[key] for key in RESULT if key != name}}


def test_a_complete_answer_becomes_credentials():
    """Id, account tag, secret and hostname are what the service wrote."""
    credentials = read(ENVELOPE)

    assert credentials.tunnel_id == UUID(RESULT["id"])
    assert credentials.account_tag == RESULT["account_tag"]
    assert credentials.secret == SECRET
    assert credentials.url == "https://four-random-words-here.trycloudflare.com"


def test_success_may_be_left_out():
    """An answer with a usable result counts, also without the key `success`."""
    assert read({"result": RESULT}).secret == SECRET


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("a-b.trycloudflare.com", "https://a-b.trycloudflare.com"),
        ("https://a-b.trycloudflare.com", "https://a-b.trycloudflare.com"),
        ("http://a-b.localhost:8080/", "http://a-b.localhost:8080"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_hostname_may_be_a_name_or_a_url(hostname, url):
    """A hostname with a scheme keeps it, any other gets https (protocol.md §1)."""
    assert read(with_field(hostname=hostname)).url == url


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        " ",
        "a b.test",
        "a..test",
        "-a.test",
        "ftp://a.test",
        "https://",
        "https://user@a.test",
        "a.test/path",
        "a.test?query",
        "a.test#fragment",
        "a.test\r\nX: y",
        "a.test:port",
        "ä.test",
        "a" * 64 + ".test",
        "a." * 200 + "test",
        7,
        None,
        ["a.test"],
    ],
)
def test_an_implausible_hostname_is_refused(hostname):
    """What can't be a public name is named as the unusable field."""
    expected = (
        f"{ASKED} answered 200, but its result has no usable hostname; "
        "try again later, or check the option service_url"
    )
    assert str(refusal(with_field(hostname=hostname))) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "not-a-uuid"),
        ("id", ""),
        ("id", 7),
        ("account_tag", ""),
        ("account_tag", "a\nb"),
        ("account_tag", "a" * 257),
        ("account_tag", {}),
        ("secret", "not base64!"),
        ("secret", base64.b64encode(bytes(15)).decode()),
        ("secret", base64.b64encode(bytes(1025)).decode()),
        ("secret", SECRET_TEXT + "\n"),
        ("secret", "ü" * 44),
        ("secret", list(SECRET)),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not_shown(field, value):
    """A field of the wrong shape is a ProvisioningError that names the field only."""
    error = refusal(with_field(**{field: value}))

    assert f"its result has no usable {field};" in str(error)
    assert (error.status, error.retryable) == (200, False)


@pytest.mark.parametrize("field", ["id", "account_tag", "secret", "hostname"])
def test_a_missing_field_is_named(field):
    """A result without one of its keys is a ProvisioningError that names the key."""
    assert f"its result has no usable {field};" in str(refusal(without_field(field)))


@pytest.mark.parametrize("result", [None, [], "text", 7, {}])
def test_an_answer_without_a_result_names_all_that_is_missing(result):
    """Without any result the sentence lists every field."""
    error = refusal({"success": True, "result": result})

    assert "no usable id and account_tag and secret and hostname" in str(error)


def test_failures_that_the_service_lists_are_quoted():
    """`success: false` is refused with the service's own reasons, and is not worth a retry."""
    errors = [{"code": 1003, "message": "quota\nreached"}, {"message": "try\x1b[31m later"}, 7]
    error = refusal({"success": False, "result": None, "errors": errors})

    assert str(error) == (
        f"{ASKED} answered 200, but without success: "
        '"quota reached (code 1003), try [31m later"; '
        "try again later, or check the option service_url"
    )
    assert error.retryable is False


@pytest.mark.parametrize("success", [False, None, "true", 1])
def test_only_true_is_success(success):
    """Any other value of `success` than true is a failure, whatever the result."""
    assert "but without success;" in str(refusal({**ENVELOPE, "success": success}))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 60_000, b"1" * 60_000]
)
def test_an_answer_that_is_no_json_object_is_refused(body):
    """Whatever is not a JSON object, however hostile to a parser, is refused as such."""
    assert f"{ASKED} answered 200 with no JSON object" in str(refusal(body))


def test_an_endless_answer_is_refused():
    """An answer of more than 64 KiB is refused even if it would parse."""
    body = json.dumps({**ENVELOPE, "padding": "x" * ANSWER_LIMIT})

    assert f"{ASKED} answered 200 with more than 64 KiB" in str(refusal(body))


@pytest.mark.parametrize("status", [200, 403, 429, 503])
def test_error_1015_is_a_rate_limit_whatever_the_status(status):
    """The text "error code: 1015" means too many tunnels; it is quoted."""
    error = refusal("error code: 1015", status, "text/plain")

    assert isinstance(error, RateLimited)
    assert str(error) == (
        f'{ASKED} answered {status}: "error code: 1015"; the service limits how many tunnels it '
        "gives one address, so wait some minutes before you ask for another"
    )
    assert (error.status, error.retry_after, error.retryable) == (status, None, True)


def test_a_rate_limit_page_is_a_rate_limit():
    """Status 429 with an HTML page is a rate limit, not a refused client."""
    error = refusal("<html><title>Slow down</title>", 429, "text/html")

    assert isinstance(error, RateLimited)
    assert 'answered 429: "Slow down"; the service limits' in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 400, 86400.0),
        ("Mon, 23 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Mon, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    """Retry-After counts in seconds from now, at most a day; anything else is ignored."""
    error = refusal("", 429, "text/plain", **{"retry-after": value})

    assert error.retry_after == seconds
    assert ("some minutes" if seconds is None else f"wait {seconds:.0f} s") in str(error)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, "error code: 1010", ': "error code: 1010"'),
        (403, {"errors": [{"message": "no"}]}, ': "no"'),
        (403, "<html></html>", " with an HTML page"),
        (404, "<!doctype html><TITLE>Not &amp; found</TITLE>", ' with an HTML page: "Not & found"'),
        (200, "\ufeff \n<html>", " with an HTML page"),
    ],
)
def test_a_refused_client_is_told_about_user_agent(status, body, said):
    """403 or an HTML page says that the service refused the client and names `user_agent`."""
    error = refusal(body, status, "text/plain")

    assert str(error) == (
        f"{ASKED} answered {status}{said}; the service refused this client: try another value of "
        "the option user_agent, or check the option service_url"
    )
    assert (error.status, error.retryable) == (status, False)


def test_html_is_known_by_its_content_type_too():
    """A page that does not begin like one is known by its Content-Type."""
    assert "with an HTML page" in str(refusal("oops", 200, "text/HTML; charset=utf-8"))


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (503, True), (599, True)])
def test_a_fault_of_the_service_is_worth_a_retry(status, retryable):
    """A 5xx status is retryable and says that the service has a fault."""
    error = refusal("internal", status, "text/plain")

    assert str(error) == (
        f'{ASKED} answered {status}: "internal"; the service has a fault, so try again later'
    )
    assert (error.status, error.retryable) == (status, retryable)


def test_a_fault_with_a_page_is_worth_a_retry():
    """A 5xx status with an HTML page is retryable as well."""
    assert refusal("<html>", 502).retryable is True


@pytest.mark.parametrize("status", [400, 404, 405, 410, 199])
def test_other_refusals_point_to_the_service_url(status):
    """Any other status is final and names the option that chose the service."""
    error = refusal("", status, "text/plain")

    assert str(error) == f"{ASKED} answered {status}; check the option service_url"
    assert error.retryable is False


def test_a_redirect_says_where_to():
    """A redirect is not followed; the sentence says where it points."""
    error = refusal("", 302, "text/plain", location="https://else\x00where.test/")

    assert str(error) == (
        f"{ASKED} answered 302; it points to https://else where.test/, so check the option "
        "service_url"
    )


def shown(error):
    """All that a log, a debugger's repr or a traceback would show of an error."""
    chain = [error, error.__cause__, error.__context__]
    return "".join(traceback.format_exception(error)) + repr(chain) + str([vars(error)])


@pytest.mark.parametrize("status", [200, 302, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(with_field(id=7)),
        json.dumps({**ENVELOPE, "success": False, "errors": [{"message": f"not {SECRET_TEXT}"}]}),
        json.dumps(ENVELOPE)[:-1],
        json.dumps(ENVELOPE).replace("/", "\\/")[:-1],
        f'x {{"secret": "{SECRET_TEXT[:12]}',
        f"key={SECRET_TEXT}",
        f"key={SECRET.hex()}",
        f"<title>{SECRET_TEXT}</title>",
        json.dumps([ENVELOPE]),
    ],
)
def test_the_secret_is_never_shown(status, body):
    """No error shows any eight characters of the secret, however the answer holds it."""
    text = shown(refusal(body, status))

    for form in (SECRET_TEXT, SECRET.hex()):
        assert not [form[i : i + 8] for i in range(len(form) - 7) if form[i : i + 8] in text]


def test_a_short_secret_is_not_quoted_either():
    """A secret that is too short to look like one is taken out of quoted errors."""
    document = with_field(secret="c2hvcnQ=") | {"errors": [{"message": "bad c2hvcnQ= here"}]}

    assert 'no usable secret: "bad [hidden] here";' in str(refusal(document))


def test_an_answer_shows_no_body():
    """The repr of an answer leaves the body out."""
    assert "secret" not in repr(TunnelAnswer(200, {}, json.dumps(ENVELOPE).encode()))


@pytest.mark.parametrize(
    ("text", "presented"),
    [
        ("plain", "plain"),
        (" a\r\n\tb\x00c\x1b[0m ", "a b c [0m"),
        ("right\u202eleft\ud800", "right left"),
        ("x" * 31, "x" * 31),
        ("x" * 32, "[hidden]"),
        ("word " * 100, ("word " * 100)[:199] + "…"),
    ],
)
def test_text_from_outside_is_made_presentable(text, presented):
    """Control characters, long runs and length are cut before text reaches a message."""
    assert presentable(text) == presented


@pytest.mark.slow
@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps),
    st.integers(100, 999),
)
def test_no_answer_raises_anything_else(body, status):
    """Whatever comes back, only a ProvisioningError of one line with the status comes out."""
    error = refusal(body, status, "text/plain")

    assert error.status == status
    assert str(error).isprintable()
    assert str(error).startswith(f"{ASKED} answered {status}")


FIELD = st.none() | st.text() | st.integers() | st.sampled_from(list(RESULT.values()))


@given(st.fixed_dictionaries(dict.fromkeys(RESULT, FIELD)))
def test_no_result_raises_anything_else(result):
    """Whatever the fields hold, credentials or a ProvisioningError come out."""
    try:
        credentials = read({"success": True, "result": result})
    except ProvisioningError:
        return
    assert 16 <= len(credentials.secret) <= 1024
    assert credentials.url.isascii()
