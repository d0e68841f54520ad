"""What the operating system says of processes: CPU time and memory."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Meter", "machine"]


class Meter:
    """Sums up over the processes of one variant.

    Linux tells CPU time to the nanosecond and the peak of memory; elsewhere psutil gives the time
    in its own steps, and the memory at this moment for the peak.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)

    def cpu(self) -> float:
        """Seconds of CPU, of all threads since each process began.

        Raises:
            ProcessLookupError: one of them is gone.
        """
        if sys.platform == "linux":
            return sum(map(_cpu_time, self._pids))
        import psutil

        times = [psutil.Process(pid).cpu_times() for pid in self._pids]
        return sum(each.user + each.system for each in times)

    def peak_memory(self) -> int:
        """Bytes that were resident at most, added up."""
        if sys.platform == "linux":
            return sum(_peak_resident(pid) for pid in self._pids)
        import psutil

        return sum(psutil.Process(pid).memory_info().rss for pid in self._pids)


def machine() -> str:
    """Such as "2 cores of an AMD EPYC 7763, 23 GiB"."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{cores} cores ({_processor()}), {memory:.0f} GiB"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else os.uname().machine


def _cpu_time(pid: int) -> float:
    clock = ~pid << 3 | 2  # what clock_getcpuclockid(3) returns; CPUCLOCK_SCHED of posix-timers.h
    try:
        return time.clock_gettime(clock)
    except OSError as exc:
        raise ProcessLookupError(f"process {pid} is gone") from exc


def _peak_resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError as exc:
        raise ProcessLookupError(f"process {pid} is gone") from exc
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) << 10
