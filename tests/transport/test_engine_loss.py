"""The test that every engine passes before any other (design.md §3)."""

import pytest

from asgi_quicktunnel.transport.engines import choose_engine

from tests_support.engine_pair import EnginePair
from tests_support.engines import IS_NATIVE_INSTALLED

STREAMS = 1500
AT_ONCE = 16
ANSWER = bytes(range(200))


def _serve_all(pair, *, end_alone):
    """The server side opens streams, 16 at a time; the client answers each with 200 bytes."""
    client, server = pair.client, pair.server
    asked, answered = set(), set()

    def open_more():
        while len(asked) < STREAMS and len(asked) - len(server.ended) < AT_ONCE:
            stream_id = server.engine.open_stream()
            assert server.engine.write(stream_id, b"question", end=True) == 8
            asked.add(stream_id)

    def answer(_event):
        for stream_id in list(client.ended - answered):
            answered.add(stream_id)
            if end_alone:
                client.engine.write(stream_id, ANSWER)
                pair._flush()
                client.engine.write(stream_id, b"", end=True)
            else:
                client.engine.write(stream_id, ANSWER, end=True)

    client.on_event = answer
    server.on_event = lambda _event: open_more()
    open_more()
    done = pair.run(lambda: len(server.ended) == STREAMS, seconds=600)
    return done, asked


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.03, 0.05, 0.1])
@pytest.mark.parametrize("end_alone", [False, True], ids=["end-with-data", "end-alone"])
def test_every_stream_completes_under_loss(loss, end_alone):
    """Whatever is lost, 1,500 streams opened by the server side are answered and ended."""
    pair = EnginePair(loss=loss, seed=int(loss * 100)).connect()

    _check(pair, end_alone=end_alone)


@pytest.mark.skipif(not IS_NATIVE_INSTALLED, reason="asgi-quicktunnel-native is not installed")
@pytest.mark.parametrize(("dial", "accept"), [("native", "aioquic"), ("aioquic", "native")])
def test_every_stream_completes_between_different_engines(dial, accept):
    """Either engine understands the other: 1,500 streams complete at 5 % loss each way."""
    engines = {"dial": choose_engine(dial), "accept": choose_engine(accept)}
    pair = EnginePair(loss=0.05, seed=5, **engines).connect()

    _check(pair, end_alone=True)


def _check(pair, *, end_alone):
    done, asked = _serve_all(pair, end_alone=end_alone)

    assert done, f"{len(pair.server.ended)} of {len(asked)} streams completed"
    assert all(pair.server.received[stream_id] == ANSWER for stream_id in asked)
