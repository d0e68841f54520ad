"""Reads many UDP datagrams per call where the kernel puts them together (UDP_GRO, linux/udp.h)."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

from asgi_quicktunnel.transport.habit import BATCH, Habit

__all__ = ["CoalescingReceiver"]


class CoalescingReceiver:
    """The reading half of a connected UDP socket that does not block.

    Linux hands over datagrams of one size that follow each other as one block, when asked to; the
    peer's own batches arrive so. Elsewhere each datagram is a call.

    Args:
        sock: nothing else reads it.
        on_error: told what an earlier packet met with, which ICMP says.
    """

    def __init__(self, sock: socket.socket, on_error: Callable[[OSError], None]) -> None:
        self._socket = sock
        self._on_error = on_error
        self._habit = Habit()
        self._room = memoryview(bytearray(_LARGEST_BLOCK))
        self._coalesces = sys.platform == "linux" and _ask_for_blocks(sock)

    def receive(self, *, all_of_it: bool = False) -> list[bytes]:
        """UDP payloads that the socket holds, in order; at most a batch and the block beyond it.

        Args:
            all_of_it: read until nothing is left, whatever wake-ups used to bring; safe in a second
                thread.
        """
        limit = BATCH if all_of_it else self._habit.limit
        batch: list[bytes] = []
        calls = 0
        try:
            if self._coalesces:
                # A second thread may read while the first one does: each has room of its own.
                room = memoryview(bytearray(_LARGEST_BLOCK)) if all_of_it else self._room
                receive, rooms = self._socket.recvmsg_into, (room,)
                while calls < limit and len(batch) < BATCH:
                    length, facts, _, _ = receive(rooms, _FACTS)
                    block = bytes(room[:length])
                    calls += 1
                    if facts:
                        (size,) = _SIZE.unpack(facts[0][2])
                        for at in range(0, length, size):
                            batch.append(block[at : at + size])  # noqa: PERF401  # no call
                    else:
                        batch.append(block)
            else:
                receive_one = self._socket.recv
                while calls < limit:
                    batch.append(receive_one(_LARGEST_DATAGRAM))
                    calls += 1
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as exc:
            self._on_error(exc)
        if not all_of_it:
            self._habit.note(calls)
        return batch


def _ask_for_blocks(sock: socket.socket) -> bool:
    try:
        sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    except OSError:  # Linux before 5.0
        return False
    return True


_SIZE = struct.Struct("=i")
_FACTS = socket.CMSG_SPACE(_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0
_SOL_UDP, _UDP_GRO = 17, 104  # linux/udp.h; the socket module has no names for them
_LARGEST_BLOCK = 65535  # bytes; no block is longer than a UDP packet
_LARGEST_DATAGRAM = 2048  # bytes; both engines announce that they take 1452 (protocol.md §4)
