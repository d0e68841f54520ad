"""This process's part in a tunnel; other processes are other members here."""

import asyncio
import multiprocessing
import os
import sys
from uuid import uuid4

import anyio
import pytest

from asgi_quicktunnel import TunnelConfig
from asgi_quicktunnel.membership import Solo, join, join_under
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.supervision import SupervisingProcess, start_of

from tests_support import without_locks

pytestmark = pytest.mark.anyio
SUPERVISOR = SupervisingProcess(os.getpid(), start_of(os.getpid()))


class Service:
    """Hands out tunnels."""

    def __init__(self):
        self.count = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self):
        self.count += 1
        await self.open.wait()
        return Credentials(uuid4(), "tag", b"s" * 32, f"name-{self.count}.example")


@pytest.fixture
def member(tmp_path):
    made = []

    def make(name="app", **options):
        config = TunnelConfig(**options)
        made.append(join_under(SUPERVISOR, config, name, base=tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_members_share_one_tunnel(member):
    """The second gets what the first has asked for, while it asks too; the service hears once."""
    service = Service()
    service.open.clear()
    with anyio.fail_after(5):
        getting = [asyncio.create_task(member().obtain(service)) for _ in range(3)]
        while not service.count:
            await asyncio.sleep(0)
        service.open.set()
        held = await asyncio.gather(*getting)
    assert service.count == 1
    assert held[0] == held[1] == held[2]
    assert not held[0].is_old


async def test_applications_have_tunnels_of_their_own(member):
    """And so have services."""
    service = Service()
    for each in (member("a"), member("b"), member("a", service_url="http://other.example")):
        await each.obtain(service)
    assert service.count == 3


async def test_a_tunnel_that_worked_for_an_earlier_process_is_old(member):
    """The edge may have forgotten it since."""
    service = Service()
    first = member()
    held = await first.obtain(service)
    assert first.leads()
    first.tell(held.kept.credentials.url)
    first.close()
    second = member()
    assert (await second.obtain(service)).kept == held.kept
    assert (await second.obtain(service)).is_old
    assert second.told_url == held.kept.credentials.url
    third = member()
    assert second.leads()  # and has announced nothing yet
    assert third.told_url is None
    assert (await third.obtain(service)).is_old


async def test_one_leads_and_the_next_when_it_ends(member):
    """Leadership lasts as long as the process."""
    first, second = member(), member()
    assert first.leads()
    assert first.leads()
    assert not second.leads()
    first.close()
    assert second.leads()


async def test_a_tunnel_that_is_of_no_use_is_replaced_once(member):
    """The others move to the new one; the connector stays the same."""
    service = Service()
    first, second = member(), member()
    old = await first.obtain(service)
    await second.obtain(service)
    moved = asyncio.create_task(second.wait_moved())
    new = await first.obtain(service, instead_of=old.kept)
    assert new.kept.credentials != old.kept.credentials
    assert new.kept.connector_id == old.kept.connector_id
    with anyio.fail_after(5):
        await moved
    stays = asyncio.create_task(first.wait_moved())
    assert (await second.obtain(service, instead_of=old.kept)).kept == new.kept
    assert service.count == 2
    assert not stays.done()
    stays.cancel()


async def test_a_failed_request_leaves_the_next_one_to_ask(member):
    """The lock is free again."""

    async def fail():
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await member().obtain(fail)
    service = Service()
    await member().obtain(service)
    assert service.count == 1


async def test_what_can_not_be_written_is_not_kept(member, tmp_path, caplog):
    """The tunnel serves this process all the same, and a warning says so."""
    service = Service()
    alone = member()
    (directory,) = tmp_path.iterdir()
    blocked = directory / alone._cache._file
    blocked.mkdir(mode=0o700)
    held = await alone.obtain(service)
    assert held.kept.credentials.hostname == "name-1.example"
    assert "won't outlive this process" in caplog.text


async def test_without_a_supervisor_nothing_is_kept(tmp_path, monkeypatch):
    """Nor where it is switched off, nor with an embedded edge that ends with the process."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for options in ({}, {"reuse_url": False}, {"edge": "local"}):
        assert isinstance(await join(TunnelConfig(**options), "app"), Solo)
    assert list(tmp_path.iterdir()) == []


async def test_alone_each_tunnel_is_new():
    """There is nobody to share it with."""
    service, solo = Service(), Solo()
    first = await solo.obtain(service)
    second = await solo.obtain(service, instead_of=first.kept)
    assert service.count == 2
    assert first.kept.connector_id == second.kept.connector_id
    assert not second.is_old
    assert solo.leads()
    with anyio.move_on_after(0.01) as waiting:
        await solo.wait_moved()
    assert waiting.cancelled_caught
    solo.tell("u")
    solo.close()


CHILD = """
import asyncio, logging, multiprocessing, sys
from asgi_quicktunnel import TunnelConfig
from asgi_quicktunnel.membership import join

def child():
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
    print(type(asyncio.run(join(TunnelConfig(), "app"))).__name__)

if __name__ == "__main__":
    process = multiprocessing.Process(target=child)
    process.start()
    process.join()
"""


async def joined_in_a_child(tmp_path, *, unset=False):
    """What a child of a supervisor joins with its files under `tmp_path`/runtime, and its log."""
    program = tmp_path / "program.py"
    program.write_text(CHILD)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "TMPDIR": str(tmp_path)}
    if unset:
        del environ["XDG_RUNTIME_DIR"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", program),
        stdout=asyncio.subprocess.PIPE,
        env=environ,
    )
    output, _ = await process.communicate()
    *log, kind = output.decode().splitlines()
    return kind, log


async def test_a_child_of_a_supervisor_is_a_member(tmp_path):
    """Its files are in the runtime directory."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    assert await joined_in_a_child(tmp_path) == ("Member", [])
    assert list((tmp_path / "runtime" / "asgi-quicktunnel").iterdir())


async def test_where_no_runtime_directory_is_set_there_is_one_all_the_same(tmp_path):
    """Without a word about it."""
    kind, log = await joined_in_a_child(tmp_path, unset=True)
    assert (kind, log) == ("Member", [])


async def test_a_directory_that_others_may_have_prepared_is_not_used(tmp_path):
    """One warning says why; the process has a tunnel of its own."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    (tmp_path / "prepared").mkdir(mode=0o700)
    (tmp_path / "runtime" / "asgi-quicktunnel").symlink_to(tmp_path / "prepared")
    kind, (line,) = await joined_in_a_child(tmp_path)
    assert kind == "Solo"
    assert line.startswith("WARNING the public URL won't outlive this process")
    assert "is a symbolic link" in line
    assert list((tmp_path / "prepared").iterdir()) == []


def test_without_file_locks_nothing_is_kept():
    """Where the system has no locks a supervised process has a tunnel of its own, as if alone."""
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    child = spawn.Process(target=without_locks.join, args=(answer,))
    child.start()
    found = answer.get(timeout=60)
    child.join()

    assert found == (True, False, "Solo")
