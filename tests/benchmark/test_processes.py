import os
import subprocess
import sys
import time

import pytest

from bench.processes import Meter, machine


def test_cpu_time_is_that_of_the_process():
    """Work raises it by the time that it took, waiting does not."""
    meter = Meter([os.getpid()])
    before, began = meter.cpu(), time.process_time()
    while time.process_time() - began < 0.05:
        pass
    worked = meter.cpu() - before
    assert 0.04 < worked < 1.0


def test_memory_is_the_most_there_was():
    """What was freed still counts."""
    program = "x = bytearray(50 << 20); del x; print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        peak = Meter([process.pid]).peak_memory()
        process.stdin.close()
    if sys.platform == "linux":
        assert 50 << 20 < peak < 200 << 20


def test_a_process_that_is_gone_is_an_error():
    """A result without its process is void, not zero."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        Meter([process.pid]).cpu()
    with pytest.raises(ProcessLookupError):
        Meter([process.pid]).peak_memory()


def test_the_machine_is_named():
    """Cores and memory are part of every result."""
    assert "cores" in machine()
    assert "GiB" in machine()
