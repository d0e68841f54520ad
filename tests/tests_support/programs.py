"""Programs that a machine may not have."""

import asyncio
import os
import shutil

import pytest

# Names with commas of what must not be missing: where they are, a skip would hide a failure.
REQUIRED = os.environ.get("REQUIRED_PROGRAMS", "").split(",")


def find_program(name, *others):
    """The path of a program under the first of these names; the test is skipped without it."""
    for candidate in (name, *others):
        if path := shutil.which(candidate):
            return path
    return unavailable(name, f"there is no {' and no '.join((name, *others))} on PATH")


def unavailable(name, reason):
    """Skip the test, or fail it where REQUIRED_PROGRAMS names the program."""
    if name in REQUIRED:
        pytest.fail(f"{reason}, and REQUIRED_PROGRAMS names {name}")
    pytest.skip(reason)


async def run_program(*command, stdin=b""):
    """What the program wrote to standard output; it has to end with status 0."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{command[0]}: {errors.decode(errors='replace')}"
    return output
