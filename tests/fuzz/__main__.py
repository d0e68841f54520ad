"""Feeds an engine with what atheris makes up, for a bounded time: scripts/fuzz [SECONDS] [ENGINE]

An input is a sequence of datagrams, or of payloads of packets that are encrypted as they should
be. Whatever it is, the engine may end the connection and nothing else: no exception, no panic.
"""

import sys

import atheris

with atheris.instrument_imports(include=["aioquic.quic", "asgi_quicktunnel.transport"]):
    from asgi_quicktunnel.transport.engines import choose_engine

    from tests_support.hostile_peer import HostilePeer

    choose_engine("aioquic")  # imported where it is asked for, and here it is to be instrumented


class Fuzzer:
    """One engine, and a connection that is made anew whenever an input ended it."""

    def __init__(self, name):
        self._engine = choose_engine(name)
        self._peer = None

    def __call__(self, data):
        """Take one input."""
        if self._peer is None or self._peer.closed is not None:
            self._peer = HostilePeer(self._engine)
        provider = atheris.FuzzedDataProvider(data)
        while provider.remaining_bytes() and self._peer.closed is None:
            in_packets = provider.ConsumeBool()
            piece = provider.ConsumeBytes(provider.ConsumeIntInRange(1, 1200))
            if in_packets:
                self._peer.send_frames(piece)
            else:
                self._peer.send_datagram(piece)


def main():
    """Run libFuzzer's loop; it exits with what it found."""
    seconds, name = sys.argv[1:]
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=2048",
         "-print_final_stats=1", "-artifact_prefix=build/fuzz-"],
        Fuzzer(name),
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
