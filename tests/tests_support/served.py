"""A server of somebody else's in a process of its own, with its tunnel to a LocalEdge here."""

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

TESTS = Path(__file__).parent.parent


@asynccontextmanager
async def served(edge, *command, connections=1, environ=None, stop="kill", **pipes):
    """Run `python -m COMMAND` with the tunnel pointed at `edge`.

    It is ended by its pid; with `stop="terminate"` it may first end what it started itself. What
    is left of its process group after that is killed.
    """
    config = edge.config()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        cwd=TESTS,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"},
            "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
            "QUICKTUNNEL_SERVICE_URL": config.service_url,
            "QUICKTUNNEL_EDGE": config.edge,
            "QUICKTUNNEL_CA_FILE": config.ca_file,
            "QUICKTUNNEL_HA_CONNECTIONS": str(connections),
            **(environ or {}),
        },
        start_new_session=True,
        **pipes,
    )
    try:
        registered = asyncio.create_task(edge.wait_registered(connections))
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({registered, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        assert registered.done(), f"the server ended with {process.returncode}"
        yield process
    finally:
        if process.returncode is None:
            getattr(process, stop)()
        await asyncio.wait([asyncio.create_task(process.wait())], timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def uvicorn(app):
    """The command that serves an app on a port of the system's choice."""
    return ("uvicorn", app, "--port", "0", "--log-level", "info")
