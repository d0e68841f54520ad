"""The last requests of one tunnel, in bounded memory."""

import asyncio
import gc
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_quicktunnel.inspector.store import RequestStore
from asgi_quicktunnel.model import ResponseHead

from tests_support.fake_stream import FakeStream
from tests_support.recorded import exchange, request
from tests_support.visit import FACTS

anyio_test = pytest.mark.anyio


@anyio_test
async def test_the_newest_come_first():
    """Each has an id that grows, as decimal text, and is found by it."""
    store = RequestStore()
    made = [await exchange(store=store) for _ in range(3)]
    assert [record.id for record in store.records()] == ["3", "2", "1"]
    assert [store.get(record.id) for record in made] == made


@pytest.mark.parametrize("record_id", ["0", "4", "-1", "x", "", "1.0", "²", "9" * 5000, " 1"])
@anyio_test
async def test_an_unknown_id_is_none(record_id):
    """Whatever somebody writes in a URL."""
    store = RequestStore()
    assert store.get(record_id) is None
    for _ in range(3):
        await exchange(store=store)
    assert store.get(record_id) is None


@anyio_test
async def test_the_oldest_leave_when_there_are_too_many():
    """Those that are left keep their ids."""
    store = RequestStore(max_records=3)
    for _ in range(5):
        await exchange(store=store)
    assert [record.id for record in store.records()] == ["5", "4", "3"]
    assert store.get("2") is None
    assert store.get("3").id == "3"
    statistics = store.statistics()
    assert (statistics.records, statistics.begun, statistics.dropped) == (3, 5, 2)


@anyio_test
async def test_one_that_leaves_while_it_is_open_goes_on():
    """It is served as before, and simply no longer kept."""
    store = RequestStore(max_records=1)
    open_one = await exchange(store=store, answer=[b"begun"], end=None)
    await exchange(store=store)
    await open_one.send(b", and ended")
    await open_one.send_eof()
    assert store.get(open_one.id) is None
    assert open_one.response_body == b""
    assert open_one.sent == 16


@anyio_test
async def test_the_oldest_leave_when_they_take_too_much():
    """Bodies count; the newest stay."""
    store = RequestStore(max_bytes=1 << 20)
    for _ in range(40):
        await exchange(store=store, answer=[os.urandom(100_000)])
        assert store.statistics().bytes <= 1 << 20
    assert 8 <= store.statistics().records <= 10
    assert store.records()[0].id == "40"


async def respond(stream, record, size):
    if stream.response is None and stream.reset_code is None:
        await record.respond(ResponseHead(200, [(b"a", b"b" * size)]))


async def send(stream, record, size):
    if stream.response is not None and not stream.ended:
        await record.send(bytes(size))


async def receive(stream, record, size):
    if not stream.ended:
        stream.feed(bytes(size))
        await record.receive()


async def end(stream, record, size):
    if stream.response is not None:
        await record.send_eof()


STEPS = {"respond": respond, "send": send, "receive": receive, "end": end}
OPERATIONS = st.tuples(
    st.sampled_from(["begin", "begin", *STEPS, "clear"]),
    st.integers(0, 40),
    st.integers(1, 20_000),
)


@given(st.lists(OPERATIONS, max_size=80), st.integers(2000, 60_000), st.integers(1, 10))
@settings(deadline=None)
def test_the_limits_hold_whatever_comes(operations, max_bytes, max_records):
    """After each step there are no more records, and they take no more, than they may."""
    store = RequestStore(max_records=max_records, max_bytes=max_bytes, max_body=8000)
    streams = []

    async def run():
        for name, which, size in operations:
            if name == "begin":
                headers = [(b"x" * min(size, 50), b"y" * (size % 3000))] * (which % 5)
                stream = FakeStream(request(headers=headers), window=1 << 30, high_water=1 << 30)
                streams.append((stream, store.begin(stream, FACTS)))
            elif name == "clear":
                store.clear()
            elif streams:
                stream, record = streams[which % len(streams)]
                await STEPS[name](stream, record, size)
            statistics = store.statistics()
            assert statistics.bytes <= max_bytes
            assert statistics.records <= max_records
            assert statistics.records + statistics.dropped == statistics.begun

    asyncio.run(run())


@pytest.mark.parametrize("size", [64, 500, 5000, 50_000])
@anyio_test
async def test_the_interpreter_agrees_about_the_memory(size):
    """What is really allocated stays below the limit, in chunks of any size, heads included."""
    store = RequestStore(max_bytes=256 << 10, max_body=40_000)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(30):
            headers = [(b"x-%d" % at, os.urandom(20)) for at in range(number)]
            answer = [os.urandom(size) for _ in range(max(1, 20_000 // size))]
            await exchange(request(headers=headers), store=store, headers=headers, answer=answer)
            del headers, answer
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.statistics().dropped > 0
    assert used <= 256 << 10


@anyio_test
async def test_the_revision_grows_with_each_change():
    """And each change says which records have changed since, the newest first."""
    store = RequestStore()
    seen = store.revision
    first = await exchange(store=store, status=None, end=None)
    second = await exchange(store=store, status=None, end=None)
    assert store.changed_since(seen) == [second, first]
    for step in (
        lambda: first.respond(ResponseHead(200)),
        lambda: first.send(b"x"),
        lambda: first.send(b"y"),
        lambda: first.send_eof(),
    ):
        before = store.revision
        await step()
        assert store.revision > before
        assert store.changed_since(before) == [first]
        assert store.changed_since(store.revision) == []
    before = store.revision
    second.reset()
    assert store.changed_since(before) == [second]


@anyio_test
async def test_clearing_is_a_change():
    """Nothing is left, and ids go on."""
    store = RequestStore()
    record = await exchange(store=store, end=None, answer=[b"x"])
    before = store.revision
    store.clear()
    assert store.revision > before
    assert store.records() == []
    assert store.get(record.id) is None
    assert (await exchange(store=store)).id == "2"
    assert store.get("2") is not None


@anyio_test
async def test_who_waits_hears_of_a_change():
    """Several may wait, and one who gives up takes nothing from the others."""
    store = RequestStore()
    revision = store.revision
    waiting = [asyncio.create_task(store.wait_changed(revision)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    await exchange(store=store)
    done, _ = await asyncio.wait(waiting[1:], timeout=5)
    assert len(done) == 2
    await asyncio.wait_for(store.wait_changed(revision), 5)  # it is past already


@anyio_test
async def test_waiting_in_a_loop_that_ended_harms_no_later_one():
    """A tunnel that is started again may run in another loop."""
    store = RequestStore()

    async def wait_briefly():
        async with asyncio.timeout(0.01):
            await store.wait_changed(store.revision)

    def wait_elsewhere():
        with pytest.raises(TimeoutError):
            asyncio.run(wait_briefly())

    await asyncio.to_thread(wait_elsewhere)
    await exchange(store=store)
    assert store.statistics().records == 1
