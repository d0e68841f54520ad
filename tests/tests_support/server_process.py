"""ASGI servers as processes, and what they say."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
APP = "tests_support.served_app:app"

COMMANDS = {
    "uvicorn": ["uvicorn", APP, "--loop", "asyncio", "--port", "{port}"],
    "uvicorn on uvloop": ["uvicorn", APP, "--loop", "uvloop", "--port", "{port}"],
    "hypercorn": ["hypercorn", APP, "--workers", "0", "--bind", "127.0.0.1:{port}"],
    "hypercorn with a worker": ["hypercorn", APP, "--bind", "127.0.0.1:{port}"],
    "hypercorn on trio": [
        *("hypercorn", APP, "--workers", "0", "--worker-class", "trio"),
        *("--bind", "127.0.0.1:{port}"),
    ],
    "granian": ["granian", APP, "--interface", "asgi", "--port", "{port}"],
    "daphne": ["daphne", APP, "--port", "{port}"],
}


def free_port():
    """A TCP port of loopback that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment(edge=None, *, wrapping="wrapper", **options):
    """The environment for `served_app`, pointed at an edge, with further QUICKTUNNEL_ options."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}
    environ["WRAPPING"] = wrapping
    environ["PYTHONPATH"] = str(TESTS)
    if edge is not None:
        config = edge.config()
        options = {
            "service_url": config.service_url,
            "edge": config.edge,
            "ca_file": config.ca_file,
            **options,
        }
    for option, value in options.items():
        environ[f"QUICKTUNNEL_{option.upper()}"] = str(value)
    return environ


class ServerProcess:
    """A server in a process group of its own: `async with ServerProcess("uvicorn", environ)`.

    Args:
        name: of the command; or the words after `python -m`, with {port} in them, or after `python`
            if the first is a file.
        environ: of the process.
        cwd: the folder where it runs.

    Attributes:
        url: where it listens, once it does.
        lines: what it has written to standard output and standard error so far.
    """

    def __init__(self, name, environ, *, cwd=None):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.lines = []
        command = COMMANDS[name] if isinstance(name, str) else name
        self._command = [word.format(port=port) for word in command]
        if not self._command[0].endswith(".py"):
            self._command.insert(0, "-m")
        self._environ = environ
        self._cwd = cwd
        self._changed = asyncio.Condition()
        self._ended = False

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            env=self._environ,
            cwd=self._cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc_info):
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._reader

    async def line(self, part):
        """The first line that contains `part`, as soon as it is there."""
        return (await self.told(part, 1))[0]

    async def told(self, part, count):
        """The lines that contain `part`, as soon as there are so many."""

        def found():
            return [line for line in self.lines if part in line]

        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or len(found()) >= count)
        assert len(found()) >= count, f"{part!r} is not {count} times in:\n" + "\n".join(self.lines)
        return found()

    async def public_url(self):
        return (await self.line("public at ")).partition("public at ")[2]

    def interrupt(self, signum=signal.SIGINT):
        """Signal the whole group, as a terminal does at Ctrl-C."""
        os.killpg(self.process.pid, signum)

    def kill(self, signum=signal.SIGTERM):
        """Signal the process that was started, as a process manager does."""
        self.process.send_signal(signum)

    async def ended(self):
        """Wait for the end; the exit status."""
        status = await self.process.wait()
        await asyncio.wait({self._reader})
        return status

    async def left(self):
        """Wait until nothing runs any more that it started; ps(1) lists what does."""
        while self._running():  # nobody tells of the end of another's child
            await asyncio.sleep(0.05)

    def _running(self):
        listed = subprocess.run(
            ["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True
        )
        processes = (line.split() for line in listed.stdout.splitlines())
        return [
            group
            for group, state in processes
            if int(group) == self.process.pid and not state.startswith("Z")
        ]

    async def _read(self):
        async for line in self.process.stdout:
            async with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
