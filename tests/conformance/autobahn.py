"""Autobahn|Testsuite's fuzzing client against a WebSocket echo app behind a tunnel.

The suite's last release needs Python 2.7, which is looked for in AUTOBAHN_PYTHON, on PATH and among
pyenv's versions. Its packages are installed into a folder inside .venv.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from conformance.results import NotRun, Result

SUITE = "autobahntestsuite==25.10.1"
# In a folder of its own, so that nothing here hides a module from it.
CLIENT = Path(__file__).parent / "python2" / "fuzzing_client.py"
BASELINE = Path(__file__).with_name("autobahn_baseline.json")
PACKAGES = Path(sys.prefix) / "autobahn"
PAIRS = 2  # of a client and a server, each a process that keeps half a core busy
MESSAGES = 200  # for each case of groups 12 and 13; the suite's own number is 1,000
LARGE = ("9", "12", "13")  # groups that take long


async def run(*, full=False):
    """Run every case of the baseline, and compare.

    Args:
        full: send as many messages as the suite does, which takes five times as long.

    Raises:
        NotRun: there is no Python 2.7, or the suite can't be installed.
    """
    python = await asyncio.to_thread(find_python, os.environ)
    await asyncio.to_thread(_install, python)
    baseline = json.loads(BASELINE.read_text())
    messages = 1000 if full else MESSAGES
    portions = _portions(baseline)
    outcomes = {}

    async def work():
        async with _server() as server:
            while portions:
                outcomes.update(await _fuzz(python, server, portions.pop(), messages))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(PAIRS):
            tasks.create_task(work())
    return judge(baseline, outcomes, messages)


def find_python(environ):
    """The path of a Python 2.7.

    Raises:
        NotRun: there is none.
    """
    for python in _candidates(environ):
        check = "import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))"
        if python and subprocess.run([python, "-c", check], capture_output=True).returncode == 0:
            return python
    raise NotRun(
        "Autobahn|Testsuite needs a Python 2.7 with pip, and none was found: not in "
        "AUTOBAHN_PYTHON, not as python2.7 or python2 on PATH, not among pyenv's versions"
    )


def _candidates(environ):
    path = environ.get("PATH", "")
    yield environ.get("AUTOBAHN_PYTHON")
    yield shutil.which("python2.7", path=path)
    yield shutil.which("python2", path=path)
    # What pyenv itself puts on PATH works for the version of the moment alone.
    if pyenv := shutil.which("pyenv", path=path):
        for version in _output(pyenv, "whence", "python2.7").split():
            yield str(Path(_output(pyenv, "prefix", version).strip()) / "bin" / "python2.7")


def _output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def _install(python):
    stamp = PACKAGES / "stamp"
    if stamp.exists() and stamp.read_text() == SUITE:
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--target", PACKAGES, SUITE]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise NotRun(f"{SUITE} could not be installed: {done.stderr.strip()}")
    stamp.write_text(SUITE)


def _portions(cases):
    """The cases in portions for one run of the client each, those that take longest at the end."""
    portions = {}
    for case in cases:
        portions.setdefault(case.rpartition(".")[0], []).append(case)
    return sorted(portions.values(), key=lambda portion: portion[0].startswith(LARGE))


@asynccontextmanager
async def _server():
    """An echo app behind a tunnel: address, port, name."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "conformance.autobahn_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield json.loads(await server.stdout.readline())
        server.stdin.close()
    finally:
        await _end(server)


async def _fuzz(python, server, cases, messages):
    """What comes of these cases, each as (behaviour, behaviour at the close)."""
    address, port, name = server
    servers = [{"agent": "asgi_quicktunnel", "url": f"ws://{address}:{port}/"}]
    spec = {"servers": servers, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    client = await asyncio.create_subprocess_exec(
        *(python, CLIENT, PACKAGES, json.dumps(spec), name, str(messages)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # it says a line for each frame
    )
    outcomes = {}
    try:
        async for line in client.stdout:
            outcome = json.loads(line)
            print(*outcome.values(), file=sys.stderr, flush=True)
            outcomes[outcome["id"]] = [outcome["behavior"], outcome["behaviorClose"]]
    finally:
        await _end(client)
    return outcomes


async def _end(process):
    """Wait for a process that should end by itself, and kill it if it does not."""
    try:
        async with asyncio.timeout(30):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def judge(baseline, outcomes, messages):
    """Compare what came of each case with what came of it before, each as [behaviour, at close]."""
    regressions, failed = [], []
    for case, before in baseline.items():
        now = outcomes.get(case, ["DID NOT RUN", "DID NOT RUN"])
        if any(it not in _GOOD and was in _GOOD for it, was in zip(now, before, strict=True)):
            regressions.append(f"case {case}: {' / '.join(now)}, was {' / '.join(before)}")
        if now[0] not in _GOOD:
            failed.append(case)
    return Result(
        f"Autobahn Testsuite {SUITE.partition('==')[2]}, groups 1-7, 9, 10, 12, 13",
        passed=len(baseline) - len(failed),
        failed=len(failed),
        regressions=regressions,
        note=_note(failed, messages),
    )


def _note(failed, messages):
    known = "7.1.5 is a choice of `websockets`, which says so" if failed == ["7.1.5"] else ""
    fewer = f"{messages} messages in each case of 12 and 13" if messages != 1000 else ""
    return "; ".join(filter(None, (known, fewer)))


# Timing decides between OK and NON-STRICT: both conform.
_GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
