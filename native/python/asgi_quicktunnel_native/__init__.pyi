from collections.abc import Sequence
from typing import Any

INTERFACE: int
__version__: str

def set_fact_types(
    *,
    connected: type[Any],
    stream_opened: type[Any],
    readable: type[Any],
    writable: type[Any],
    stream_reset: type[Any],
    stream_stopped: type[Any],
    closed: type[Any],
    statistics: type[Any],
) -> None: ...

class ClientConfig:
    def __init__(
        self,
        trust_roots: bytes,
        *,
        alpn: str,
        idle_timeout: float,
        stream_window: int,
        connection_window: int,
        max_streams: int,
        send_high_water: int,
    ) -> None: ...

class ServerConfig:
    def __init__(
        self,
        certificate_chain: bytes,
        private_key: bytes,
        *,
        alpn: str,
        idle_timeout: float,
        stream_window: int,
        connection_window: int,
        max_streams: int,
        send_high_water: int,
    ) -> None: ...

class Engine:
    @staticmethod
    def client(config: ClientConfig, server_name: str, *, now: float) -> Engine: ...
    @property
    def mtu(self) -> int: ...
    def receive_datagrams(self, datagrams: Sequence[bytes], *, now: float) -> None: ...
    def datagrams_to_send(self, *, now: float) -> Sequence[bytes]: ...
    def next_timeout(self) -> float | None: ...
    def handle_timeout(self, *, now: float) -> None: ...
    def poll_event(self) -> Any: ...
    def open_stream(self) -> int: ...
    def read(self, stream_id: int, max_bytes: int) -> tuple[bytes, bool]: ...
    def write(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> int: ...
    def reset(self, stream_id: int, code: int) -> None: ...
    def stop(self, stream_id: int, code: int) -> None: ...
    def ping(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def statistics(self) -> Any: ...

class Acceptor:
    def __init__(self, config: ServerConfig) -> None: ...
    def accept(
        self, datagram: bytes, address: tuple[str, int], *, now: float
    ) -> tuple[Engine | None, bytes | None]: ...
    def forget(self, engine: Any) -> None: ...
