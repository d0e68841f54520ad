"""The tunnel of this process, its URL for whoever asks, and who is told of it."""

import threading

import anyio
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.template import engines
from django.test import RequestFactory

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.django import public_url, tunnel_ready
from asgi_quicktunnel.django.context_processors import quicktunnel
from asgi_quicktunnel.django.current import CurrentTunnel, current
from asgi_quicktunnel.events import StateChanged, TunnelReady, TunnelState

pytestmark = pytest.mark.anyio
ONE, TWO = "https://one-two.trycloudflare.com", "https://three-four.trycloudflare.com"


async def app(scope, receive, send):
    raise AssertionError


class Told:
    """Receivers of `tunnel_ready`, and what they heard."""

    def __init__(self):
        self.sync, self.asynchronous, self.failures = [], [], []
        self._changed = anyio.Event()

    def receive(self, sender, url, **kwargs):
        with connection.cursor() as cursor:
            cursor.execute("select 1")
        self.sync.append((url, sender, threading.current_thread() is threading.main_thread()))

    async def receive_async(self, sender, url, **kwargs):
        self.asynchronous.append(url)

    def fail(self, sender, url, **kwargs):
        self.failures.append(url)
        raise RuntimeError("a receiver that fails")

    async def fail_async(self, sender, url, **kwargs):
        raise RuntimeError("another one")

    async def until(self, count):
        with anyio.fail_after(5):
            while len(self.sync) < count or len(self.asynchronous) < count:
                await anyio.sleep(0.01)


@pytest.fixture
def told():
    told = Told()
    receivers = (told.fail, told.fail_async, told.receive, told.receive_async)
    for receiver in receivers:
        tunnel_ready.connect(receiver)
    yield told
    for receiver in receivers:
        tunnel_ready.disconnect(receiver)


async def test_receivers_are_told_when_the_url_works_and_when_another_one_does(told):
    """Sync ones may ask the database, those that fail harm nobody, the same URL is told once."""
    tunnel = QuickTunnel(app)
    known = CurrentTunnel()
    known.adopt(tunnel)
    tunnel._tell(TunnelReady(ONE))
    tunnel._tell(TunnelReady(ONE))
    await told.until(1)
    tunnel._tell(TunnelReady(TWO))
    await told.until(2)
    assert told.sync == [(ONE, QuickTunnel, False), (TWO, QuickTunnel, False)]
    assert told.asynchronous == told.failures == [ONE, TWO]


async def test_a_query_on_the_loop_would_be_refused():
    """Which is why sync receivers are called in a thread."""
    with pytest.raises(SynchronousOnlyOperation):
        connection.cursor()


async def test_of_several_workers_one_tells(told):
    """Those that learnt the URL from the leader do not register a webhook once more."""
    follower, leader = QuickTunnel(app), QuickTunnel(app)
    for tunnel, leads in ((follower, False), (leader, True)):
        CurrentTunnel().adopt(tunnel)
        tunnel._tell(TunnelReady(ONE, leads=leads))
    await told.until(1)
    assert told.asynchronous == [ONE]


async def test_the_tunnel_that_was_made_last_is_the_current_one_until_it_is_closed(told):
    """What an earlier one says later is not heard."""
    known = CurrentTunnel()
    first, second = QuickTunnel(app), QuickTunnel(app)
    shown = []
    known.show_with(shown.append)
    for tunnel in (first, second):
        known.adopt(tunnel)
    first._tell(TunnelReady(ONE))
    first._tell(StateChanged(TunnelState.STOPPED, None, 1.0))
    assert known.tunnel is second
    second._tell(StateChanged(TunnelState.STOPPED, None, 1.0))
    assert known.tunnel is None
    assert known.url is None
    assert shown == [first, second]


async def test_the_url_is_in_templates_while_it_works(local_edge):
    """In the context processor's variable and in the tag, which makes URLs of paths."""
    template = engines["django"].from_string(
        "{% load quicktunnel %}{{ quicktunnel.url }}|{% public_url %}|{% public_url '/ä b?c' %}"
    )

    def rendered():
        request = RequestFactory().get("/")
        return template.render(quicktunnel(request), request)

    current.adopt(QuickTunnel(app))
    assert rendered() == "None||/ä b?c"
    with anyio.fail_after(30):
        async with QuickTunnel(app, local_edge.config(ha_connections=1)) as tunnel:
            current.adopt(tunnel)
            url = tunnel.url
            assert public_url() == url
            assert rendered() == f"{url}|{url}|{url}/%C3%A4%20b?c"
    assert public_url() is None
