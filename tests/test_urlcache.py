"""The tunnel that processes under one supervisor share."""

import json
import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.private_directory import PrivateDirectory
from asgi_quicktunnel.supervision import SupervisingProcess, start_of
from asgi_quicktunnel.urlcache import KeptTunnel, UrlCache, cache_key, decode, encode

SUPERVISOR = SupervisingProcess(os.getpid(), start_of(os.getpid()))
KEPT = KeptTunnel(
    Credentials(UUID(int=1), "tag", b"s" * 32, "four-words.trycloudflare.com"),
    UUID(int=2),
    "0123456789abcdef" * 2,
)
WHAT = {
    "application": "main",
    "service_url": "https://api.example",
    "edge": None,
    "working_directory": Path("/work"),
}


def open_cache(base, supervisor=SUPERVISOR, **what):
    key = cache_key(supervisor, **{**WHAT, **what})
    return UrlCache(PrivateDirectory.open(base, "ours"), supervisor, key)


@pytest.fixture
def cache(tmp_path):
    opened = open_cache(tmp_path)
    yield opened
    opened.close()


def kept_file(base):
    (path,) = (base / "ours").glob("*.json")
    return path


@pytest.mark.parametrize(
    "other",
    [
        {"supervisor": replace(SUPERVISOR, pid=1)},
        {"supervisor": replace(SUPERVISOR, started="later")},
        {"application": "main#1"},
        {"service_url": "https://other.example"},
        {"edge": "127.0.0.1:1"},
        {"working_directory": Path("/elsewhere")},
    ],
)
def test_whatever_differs_is_another_key(other):
    """Another supervisor, application, service, edge or folder has a tunnel of its own."""
    given = {"supervisor": SUPERVISOR, **WHAT}
    changed = {**given, **other}
    keys = [cache_key(each.pop("supervisor"), **each) for each in (given, changed)]
    assert keys[0] != keys[1]
    assert all(len(key) == 32 for key in keys)


def test_what_is_kept_is_found(tmp_path, cache):
    """By whoever opens the same, and nobody else."""
    assert cache.read() is None
    cache.write(KEPT)
    same, other = open_cache(tmp_path), open_cache(tmp_path, application="main#1")
    assert same.read() == KEPT
    assert same.written_at() == cache.written_at()
    assert other.read() is None
    assert other.written_at() is None
    same.close()
    other.close()


def test_no_secret_is_shown():
    """Neither the tunnel's nor the one that proves readiness."""
    assert "ssss" not in repr(KEPT)
    assert KEPT.nonce not in repr(KEPT)


def _planted_link(path):
    content = path.read_bytes()
    path.unlink()
    (path.parent / "target").write_bytes(content)
    (path.parent / "target").chmod(0o600)
    path.symlink_to("target")


PLANTED = {
    "a link": _planted_link,
    "open to others": lambda path: path.chmod(0o644),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:50]),
    "no JSON": lambda path: path.write_bytes(b"\xff\x00"),
    "endless": lambda path: path.write_bytes(b" " * 100_000 + path.read_bytes()),
}
if os.geteuid() == 0:
    PLANTED["of another user"] = lambda path: os.chown(path, 4711, -1)


@pytest.mark.parametrize("how", PLANTED)
def test_a_file_that_may_be_planted_is_ignored_with_a_warning(tmp_path, cache, caplog, how):
    """The warning names the file and the reason, and never the secret; a new one replaces it."""
    cache.write(KEPT)
    path = kept_file(tmp_path)
    PLANTED[how](path)
    assert cache.read() is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(path) in record.message
    assert "it is ignored" in record.message
    assert "c3Nzc3Nz" not in record.message  # the secret in base64
    cache.write(KEPT)
    assert cache.read() == KEPT


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"nonce": "short"},
        {"nonce": 7},
        {"connector_id": "no uuid"},
        {"connector_id": None},
        {"result": None},
        {"result": {}},
        {"result": {"id": str(UUID(int=1)), "account_tag": "t", "secret": "!", "hostname": "h"}},
    ],
)
def test_a_document_with_something_else_in_it_is_none(change):
    """Each part is checked."""
    document = json.loads(encode(KEPT))
    assert decode(json.dumps({**document, **change}).encode()) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tunnel_or_none(content):
    """Nothing is raised."""
    assert decode(content) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["version", "nonce", "connector_id", "result", "id"]), x
            )
        ),
    )
)
@pytest.mark.slow
def test_any_json_is_a_tunnel_or_none(document):
    """Nothing is raised."""
    assert decode(json.dumps(document).encode()) is None


def test_a_start_removes_what_belonged_to_supervisors_that_are_gone(tmp_path, cache):
    """Files of those that run stay, and so does whatever is not ours."""
    gone = SupervisingProcess(1 << 22, "once")
    reborn = replace(SUPERVISOR, started="earlier")
    for supervisor in (gone, reborn, SUPERVISOR):
        opened = open_cache(tmp_path, supervisor)
        opened.write(KEPT)
        opened.lock("0").close()
        opened.close()
    (tmp_path / "ours" / "notes.txt").touch()
    assert len(cache._directory.names()) == 7
    cache.sweep()
    assert len(cache._directory.names()) == 3
    assert cache.read() == KEPT
