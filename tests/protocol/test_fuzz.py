"""Broken bytes, in a child process: nothing but our own error, and no memory beyond their size."""

import os
import random
import subprocess
import sys
from pathlib import Path
from struct import unpack_from

import pytest

TARGETS = ["framing", "datastream", "rpc", "registration"]
TESTS = Path(__file__).parent.parent


def fuzz(target, tmp_path, *, seed, count, seconds):
    """Run the child; its last line, or the input that it died of."""
    last = tmp_path / "last"
    arguments = f"--seed {seed} --count {count} --seconds {seconds}".split()
    child = subprocess.run(
        [sys.executable, "-m", "tests_support.fuzz_protocol", target, *arguments, "--last", last],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if child.returncode:
        recorded = last.read_bytes()
        (size,) = unpack_from("<Q", recorded)
        pytest.fail(
            f"exit status {child.returncode}, seed {seed}, last input "
            f"{recorded[8 : 8 + size].hex()}\n{child.stdout}\n{child.stderr}"
        )
    inputs, refused = (int(part.split()[0]) for part in child.stdout.split(",")[:2])
    return inputs, refused


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_broken_bytes_are_refused(target, seed, tmp_path):
    """Mutated messages raise RemoteProtocolError or mean something, and the process lives on."""
    inputs, refused = fuzz(target, tmp_path, seed=seed, count=2000, seconds=20)
    assert inputs == 2000
    assert refused >= (0 if target == "datastream" else 200)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_broken_bytes_are_refused(target, tmp_path):
    """The same for longer: QUICKTUNNEL_FUZZ_SECONDS, from a new seed; without it 8 s from one."""
    seconds = int(os.environ.get("QUICKTUNNEL_FUZZ_SECONDS", "0"))
    seed = random.SystemRandom().getrandbits(32) if seconds else 3
    inputs, _ = fuzz(target, tmp_path, seed=seed, count=10_000_000, seconds=seconds or 8)
    assert inputs > 1_000
