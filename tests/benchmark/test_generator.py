"""Both load generators against a real connector, and against plain uvicorn."""

import contextlib
from pathlib import Path

import pytest

from bench.certificates import write_certificates
from bench.generator import Generator, GeneratorError, find_binary
from bench.rig import Bench, NetworkPath
from bench.service import Service
from bench.variants import Variant

ROOT = Path(__file__).parents[2]
BINARY = find_binary(ROOT)
RUST = pytest.param(
    BINARY, id="rust", marks=pytest.mark.skipif(BINARY is None, reason="loadgen is not built")
)
GENERATORS = pytest.mark.parametrize("binary", [RUST, pytest.param(None, id="python")])

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@contextlib.contextmanager
def bench_of(binary, folder):
    write_certificates(folder)
    with Service() as service, (folder / "log").open("wb") as log:
        yield Bench(folder, service.url, binary, None, log)


@GENERATORS
@pytest.mark.parametrize("kind", ["tunnel", "plain"])
async def test_every_load_is_carried(binary, kind, tmp_path):
    """Requests, WebSockets, transfers and open streams, through a tunnel and over TCP alike."""
    variant = Variant("test", kind, "asyncio")
    with bench_of(binary, tmp_path) as bench:
        async with bench.rig(variant) as rig:
            rate = await rig.run(
                "requests", path="/small", expect=100, concurrency=4, seconds=0.3, warmup=0.1
            )
            assert 0 < rate["p50"] <= rate["p99"] <= rate["max"]
            assert rate["total"] > rate["count"] > 0

            posted = await rig.run(
                "requests", path="/sink", body=3000, expect=100, concurrency=1, seconds=0.2
            )
            assert posted["count"] > 0

            echoed = await rig.run("websockets", sockets=3, size=32, seconds=0.3)
            assert echoed["count"] > 0

            for direction in ("down", "up"):
                moved = await rig.run(
                    "bulk", direction=direction, streams=2, small=1, seconds=0.4, warmup=0.1
                )
                assert 0 < moved["bytes"] <= moved["total"]
                assert moved["small"]["errors"] == 0

            assert (await rig.run("hold", kind="websocket", count=3))["open"] == 3
            assert (await rig.run("hold", kind="answer", count=2))["open"] == 5
            assert (await rig.run("release"))["open"] == 0
            assert rig.meter.cpu() > 0


@GENERATORS
async def test_an_answer_that_is_not_as_expected_voids_the_result(binary, tmp_path):
    """A fast wrong answer is no result."""
    with bench_of(binary, tmp_path) as bench:
        async with bench.rig(Variant("test", "plain", "asyncio")) as rig:
            with pytest.raises(GeneratorError, match="99"):
                await rig.run("requests", path="/small", expect=99, concurrency=1, seconds=0.1)
            with pytest.raises(GeneratorError, match="status"):
                await rig.run("requests", path="/nowhere", concurrency=1, seconds=0.1)


@GENERATORS
async def test_without_a_connector_there_is_no_load(binary, tmp_path):
    """The error says what is missing."""
    write_certificates(tmp_path)
    async with Generator(tmp_path, binary=binary) as generator:
        with pytest.raises(GeneratorError, match="no connector is registered"):
            await generator.run(
                "requests", via={"tunnel": 0}, path="/small", concurrency=1, seconds=0.1
            )


@pytest.mark.skipif(BINARY is None, reason="loadgen is not built")
async def test_a_path_takes_its_time(tmp_path):
    """No answer comes sooner than the round trip that was asked for."""
    with bench_of(BINARY, tmp_path) as bench:
        path = NetworkPath(rtt=0.05, loss=0.0)
        async with bench.rig(Variant("test", "tunnel", "asyncio"), path=path) as rig:
            rate = await rig.run("requests", path="/small", concurrency=1, seconds=0.5)
    assert rate["p50"] >= 0.05


@pytest.mark.skipif(BINARY is None, reason="loadgen is not built")
async def test_the_ceiling_is_measured_by_the_same_loads(tmp_path):
    """The generator's own connector answers what the app under test answers."""
    with bench_of(BINARY, tmp_path) as bench:
        async with bench.rig(Variant("ceiling", "ceiling")) as rig:
            rate = await rig.run("requests", path="/small", expect=100, concurrency=4, seconds=0.2)
            moved = await rig.run("bulk", direction="up", streams=1, seconds=0.2)
            echoed = await rig.run("websockets", sockets=2, size=32, seconds=0.2)
    assert all([rate["count"], moved["bytes"], echoed["count"]])
