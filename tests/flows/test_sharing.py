"""Several tunnels under one supervisor, here in one process: one URL, and who has which part."""

import asyncio
import os
from contextlib import asynccontextmanager

import anyio
import pytest

from asgi_quicktunnel import QuickTunnel
from asgi_quicktunnel.emulator import LocalEdge
from asgi_quicktunnel.emulator.connection import ConnectionState
from asgi_quicktunnel.events import TunnelReady, TunnelState
from asgi_quicktunnel.membership import join_under
from asgi_quicktunnel.supervision import SupervisingProcess, start_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SUPERVISOR = SupervisingProcess(os.getpid(), start_of(os.getpid()))


@pytest.fixture
def member(tmp_path):
    """Makes a tunnel as a process of one supervisor has it; its app answers with a name."""
    (tmp_path / "runtime").mkdir(mode=0o700)

    async def join(config, application):
        return join_under(SUPERVISOR, config, application, base=tmp_path / "runtime")

    def make(edge, name, **options):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": name.encode()})

        tunnel = QuickTunnel(app, edge.config(**options), application="app")
        tunnel._join = join
        tunnel.heard = []
        tunnel.add_listener(tunnel.heard.append)
        return tunnel

    return make


async def until(predicate):
    while not predicate():
        await asyncio.sleep(0.02)


def registered(tunnel):
    return [each.conn_index for each in tunnel.statistics().connections]


@asynccontextmanager
async def all_of(*tunnels):
    """Started together; closed in this order."""
    try:
        await asyncio.gather(*(tunnel.start() for tunnel in tunnels))
        await asyncio.gather(*(tunnel.wait_ready() for tunnel in tunnels))
        yield
    finally:
        for tunnel in tunnels:
            await tunnel.aclose()


async def test_tunnels_of_one_process_do_not_share():
    """Each origin, and each app of a module, has a name of its own."""
    ports = [QuickTunnel(f"127.0.0.1:{port}") for port in (8001, 8002, 8001)]
    apps = [QuickTunnel(lambda scope, receive, send: None) for _ in range(2)]
    assert len({tunnel._application for tunnel in (*ports, *apps)}) == 5


async def test_workers_have_one_url_and_one_connection_each(member, tmp_path, caplog):
    """A fifth serves without; the URL is announced, written and handed to a callback once."""
    heard = asyncio.Queue()
    path = tmp_path / "url"
    caplog.set_level("INFO", logger="asgi_quicktunnel")
    with anyio.fail_after(60):
        async with LocalEdge(edges=4) as edge:
            workers = [
                member(edge, f"w{number}", url_file=str(path), on_url=heard.put_nowait)
                for number in range(5)
            ]
            async with all_of(*workers):
                await edge.wait_registered(4)
                url = edge.url_for("")
                assert {worker.url for worker in workers} == {url}
                assert len(edge.tunnels) == 1
                assert caplog.text.count("the app is public at") == 1
                assert path.read_text() == url + "\n"
                assert heard.qsize() == 1
                leaders = [
                    event.leads
                    for worker in workers
                    for event in worker.heard
                    if isinstance(event, TunnelReady)
                ]
                assert sorted(leaders) == [False] * 4 + [True]
                await until(lambda: sum(len(registered(worker)) for worker in workers) == 4)
                assert sorted(len(registered(worker)) for worker in workers) == [0, 1, 1, 1, 1]
                assert {worker.state for worker in workers} == {TunnelState.READY}
                assert len({worker.statistics().connector_id for worker in workers}) == 1
                async with edge.httpx_client(base_url=url) as visitor:
                    answers = {(await visitor.get("/")).text for _ in range(8)}
                assert len(answers) == 4

                # One ends; the one without takes its index over, and somebody its lead.
                busy = next(worker for worker in workers if registered(worker))
                idle = next(worker for worker in workers if not registered(worker))
                (index,) = registered(busy)
                await busy.aclose()
                await until(lambda: registered(idle) == [index])
                await until(path.exists)
                assert path.read_text() == url + "\n"
                assert caplog.text.count("the app is public at") == 1
            assert not path.exists()
            assert list(edge.violations) == []


async def test_a_second_worker_gets_an_index_of_the_first(member):
    """No visitor sees an error while the first one gives a connection back."""
    with anyio.fail_after(60):
        async with LocalEdge(edges=4) as edge:
            first, second = member(edge, "first"), member(edge, "second")
            async with all_of(first), edge.httpx_client(base_url=first.url) as visitor:
                await edge.wait_registered(2)
                answers = []

                async def visit():
                    while True:
                        answers.append(await visitor.get("/"))

                visiting = asyncio.create_task(visit())
                async with all_of(second):
                    await until(lambda: len(registered(first)) == len(registered(second)) == 1)
                    seen = len(answers)
                    await until(lambda: len(answers) > seen + 10)
                    assert {answer.text for answer in answers[seen:]} == {"first", "second"}
                await until(lambda: len(registered(first)) == 2)
                visiting.cancel()
                await asyncio.gather(visiting, return_exceptions=True)
                assert {answer.status_code for answer in answers} == {200}
                assert first.state is TunnelState.READY
            assert list(edge.violations) == []


async def test_who_leaves_in_silence_is_replaced_by_the_next(member):
    """The name always has a connection, and what was being answered is cut off at once."""
    with anyio.fail_after(60):
        async with LocalEdge(withdraw_names=True) as edge:
            first, second = member(edge, "first"), member(edge, "second")
            async with all_of(first):
                await edge.wait_registered(2)
                url = first.url
                await first._supervisor.drain(0.5, hand_over=True)
            old = edge.connections
            assert {each.state for each in old} == {ConnectionState.REGISTERED}
            async with all_of(second), edge.httpx_client(base_url=url) as visitor:
                assert second.url == url
                for each in old:
                    assert (await each.wait_closed()).reason == "replaced"
                assert {(await visitor.get("/")).text for _ in range(4)} == {"second"}
                new = [each for each in edge.connections if each not in old]
                assert [each.control.requests[0].replace_existing for each in new] == [True, True]
                assert len({each.control.requests[0].identity for each in (*old, *new)}) == 1
                assert {each.edge_index for each in new} == {each.edge_index for each in old}
            assert len(edge.provisioning_requests) == 1
            assert list(edge.violations) == []


@pytest.mark.slow
async def test_a_tunnel_that_is_gone_with_all_its_workers_is_replaced(member):
    """Whom each of their successors takes an index over from was registered, and is no more."""
    with anyio.fail_after(90):
        async with LocalEdge(edges=4, withdraw_names=True) as edge:
            before = [member(edge, f"before {number}") for number in range(4)]
            after = [member(edge, f"after {number}") for number in range(4)]
            async with all_of(*before):
                await until(lambda: all(len(registered(each)) == 1 for each in before))
                old = before[0].url
                for each in before:  # as if it was killed
                    await each._supervisor.drain(0.1, hand_over=True)
            await edge.wait_for(lambda: len(edge.tunnels) == 0)
            async with all_of(*after), edge.httpx_client() as visitor:
                (url,) = {each.url for each in after}
                assert url != old
                assert (await visitor.get(url)).text.startswith("after")
            assert len(edge.provisioning_requests) == 2


async def test_a_kept_tunnel_that_the_edge_refuses_is_replaced(member, caplog):
    """Three refusals over 6 s, then a new tunnel; the log says that the URL has changed."""
    with anyio.fail_after(60):
        async with LocalEdge(withdraw_names=True) as edge:
            first, second, third = (member(edge, name) for name in ("first", "second", "third"))
            async with all_of(first):
                old = first.url
            assert len(edge.tunnels) == 0
            began = asyncio.get_running_loop().time()
            async with all_of(second, third), edge.httpx_client() as visitor:
                assert asyncio.get_running_loop().time() - began > 6
                assert second.url == third.url != old
                assert f"the public URL has changed: it was {old}" in caplog.text
                assert "the edge does not know the tunnel any more" in caplog.text
                assert (await visitor.get(second.url)).text in ("second", "third")
            assert len(edge.provisioning_requests) == 2
