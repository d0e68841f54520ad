"""The command in a process of its own, at pipes or at a terminal."""

import asyncio
import codecs
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from contextlib import asynccontextmanager

import pyte

from tests_support.server_process import environment as server_environment

COMMAND = (sys.executable, "-m", "asgi_quicktunnel")


def environment(edge=None, **options):
    """The environment of a terminal without pytest, pointed at an edge, with further options."""
    environ = server_environment(edge, **options)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environ.pop(name, None)
    return {**environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


class Command:
    """One running command, and what it has said so far.

    Attributes:
        out: standard output as text, or all output at a terminal.
        err: standard error as text.
    """

    def __init__(self, process, readers):
        self.process = process
        self.out = ""
        self.err = ""
        self.screen = None
        self._changed = asyncio.Condition()
        self._tasks = [asyncio.create_task(reader(self)) for reader in readers]

    @property
    def shown(self):
        """What the screen shows, line by line, and what has scrolled off it before that."""
        above = [
            "".join(row[x].data for x in range(self.screen.columns))
            for row in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in (*above, *self.screen.display))

    async def heard(self, name, text):
        """Take what was said."""
        async with self._changed:
            setattr(self, name, getattr(self, name) + text)
            self._changed.notify_all()

    async def until(self, condition):
        """Wait until `condition(command)` gives something; what that is."""

        def over():
            return all(task.done() for task in self._tasks)

        async with self._changed:
            await self._changed.wait_for(lambda: condition(self) or over())
        result = condition(self)
        assert result, f"it ended without:\n{self.out}\n{self.err}"
        return result

    async def ended(self):
        """Wait for the end and all that was said; the exit status."""
        status = await self.process.wait()
        await asyncio.wait(self._tasks)
        return status

    def interrupt(self):
        """Ctrl-C, as a terminal sends it to everything that runs there."""
        os.killpg(self.process.pid, signal.SIGINT)


@asynccontextmanager
async def command(*arguments, environ, cwd=None):
    """The command with its output in pipes and a process group of its own."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environ,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )

    def reader(stream, name):
        async def read(running):
            while data := await stream.read(65536):
                await running.heard(name, data.decode())
            await running.heard(name, "")

        return read

    running = Command(process, [reader(process.stdout, "out"), reader(process.stderr, "err")])
    async with _ending(running):
        yield running


@asynccontextmanager
async def at_terminal(*arguments, environ, cwd=None, columns=120, rows=50):
    """The command at a terminal of this size; `shown` is what one sees there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=environ,
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen = pyte.HistoryScreen(columns, rows, history=1000)
    stream = pyte.Stream(screen)
    decoder = codecs.getincrementaldecoder("utf-8")()
    loop = asyncio.get_running_loop()

    async def read(running):
        while data := await loop.run_in_executor(None, _read, ours):
            text = decoder.decode(data)
            stream.feed(text)
            await running.heard("out", text)
        await running.heard("out", "")

    running = Command(process, [read])
    running.screen = screen
    try:
        async with _ending(running):
            yield running
    finally:
        os.close(ours)


@asynccontextmanager
async def _ending(running):
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        await running.ended()


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""
