"""The URL told to a callback and a file."""

import asyncio
import os
import stat

import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.announcement import Announcement
from asgi_quicktunnel.emulator import LocalEdge

pytestmark = pytest.mark.anyio
URL = "https://words.example"


async def test_the_callback_gets_the_url_whether_it_is_a_function_or_a_coroutine():
    """A function is called, a coroutine awaited."""
    heard = asyncio.Queue()
    Announcement(heard.put_nowait, None).announce(URL)
    Announcement(heard.put, None).announce(URL + "/2")
    assert {await heard.get(), await heard.get()} == {URL, URL + "/2"}


async def test_a_callback_that_raises_is_logged(caplog):
    """What goes wrong in the callback is in the log, and nowhere else."""

    async def fail(url):
        raise RuntimeError("on purpose")

    announcement = Announcement(fail, None)
    announcement.announce(URL)
    await asyncio.gather(*announcement._calls)
    assert "on_url failed" in caplog.text
    assert "on purpose" in caplog.text


async def test_a_callback_that_never_ends_is_ended():
    """Closing cancels what still runs."""
    cancelled = asyncio.Event()

    async def wait(url):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    announcement = Announcement(wait, None)
    announcement.announce(URL)
    await asyncio.sleep(0)
    await announcement.aclose()
    assert cancelled.is_set()


async def test_the_file_holds_the_url_while_it_works(tmp_path):
    """Written in one step, private, replaced by the next, and removed at the end."""
    path = tmp_path / "url"
    announcement = Announcement(None, str(path))
    announcement.announce(URL)
    assert path.read_text() == URL + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    announcement.announce(URL + "/2")
    assert path.read_text() == URL + "/2\n"
    assert os.listdir(tmp_path) == ["url"]
    announcement.withdraw()
    announcement.withdraw()
    assert os.listdir(tmp_path) == []


async def test_a_file_that_another_tunnel_wrote_meanwhile_stays(tmp_path):
    """Only our own URL is removed."""
    path = tmp_path / "url"
    announcement = Announcement(None, str(path))
    announcement.announce(URL)
    path.write_text("https://other.example\n")
    announcement.withdraw()
    assert path.read_text() == "https://other.example\n"


async def test_a_file_that_can_not_be_written_is_a_warning(tmp_path, caplog):
    """The tunnel goes on; the warning names the option and the path."""
    announcement = Announcement(None, str(tmp_path / "gone" / "url"))
    announcement.announce(URL)
    announcement.withdraw()
    assert "url_file=" in caplog.text


async def test_a_tunnel_announces_and_withdraws(tmp_path):
    """With both options a tunnel calls, writes, and removes the file when it ends."""

    async def app(scope, receive, send):
        raise NotImplementedError

    heard = asyncio.Queue()
    path = tmp_path / "url"
    async with LocalEdge() as edge:
        config = edge.config(ha_connections=1, on_url=heard.put, url_file=str(path))
        async with QuickTunnel(app, config) as tunnel:
            assert await heard.get() == tunnel.url
            assert path.read_text().strip() == tunnel.url
        assert not path.exists()
