"""Who supervises this process: starts it anew after a reload or a crash, or runs several of it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ApplicationNames",
    "SupervisingProcess",
    "find_supervisor",
    "is_reloaded",
    "is_reloading",
    "is_supervised",
    "name_application",
    "server_config",
    "start_of",
    "supervisor_pid",
]


@dataclass(frozen=True, slots=True)
class SupervisingProcess:
    """The process that started this one and outlives it.

    Attributes:
        pid: its process id.
        started: when it began, as the system says it; another process that gets the same pid
            later began at another time.
    """

    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return start_of(self.pid) == self.started


def find_supervisor() -> SupervisingProcess | None:
    """The supervisor of this process; None without one, or when it is gone.

    Not for the event loop: elsewhere than on Linux it runs `ps`.
    """
    pid = _supervisor_pid()
    if pid is None or (started := start_of(pid)) is None:
        return None
    return SupervisingProcess(pid, started)


def is_supervised() -> bool:
    """Whether a server's supervisor started this process; it has bound the ports for it."""
    return _supervisor_pid() is not None


def is_reloaded() -> bool:
    """Whether a reloader supervises this process: after the next edit another takes its place."""
    return is_supervised() and (
        is_reloading(sys.argv, server_config()) or _is_djangos_child(sys.modules, os.environ)
    )


def _supervisor_pid() -> int | None:
    parent = multiprocessing.parent_process()
    return supervisor_pid(
        None if parent is None else parent.pid, sys.modules, os.getppid(), os.environ
    )


def supervisor_pid(
    multiprocessing_parent: int | None,
    modules: Collection[str],
    parent: int,
    environ: Mapping[str, str],
) -> int | None:
    """Whose child this is.

    Args:
        multiprocessing_parent: who started this process through `multiprocessing`, as uvicorn,
            hypercorn and granian do; None if nobody did.
        modules: names of what is imported. gunicorn forks, and its workers inherit its arbiter.
        parent: the parent process.
        environ: the environment; Django's autoreloader marks its children there.
    """
    if multiprocessing_parent is not None:
        return multiprocessing_parent
    is_child = "gunicorn.arbiter" in modules or _is_djangos_child(modules, environ)
    return parent if is_child else None


def _is_djangos_child(modules: Collection[str], environ: Mapping[str, str]) -> bool:
    """Whether this is what Django's autoreloader starts anew after each edit.

    Programs that such a process starts inherit the variable, hence the module.
    """
    return environ.get("RUN_MAIN") == "true" and "django.utils.autoreload" in modules


def start_of(pid: int, *, proc: Path = Path("/proc")) -> str | None:
    """When a process began, in words that stay the same as long as it runs; None if it is gone.

    Args:
        pid: of the process.
        proc: where Linux shows processes. Elsewhere `ps` is asked.
    """
    if not (proc / "self" / "stat").exists():
        return _start_from_ps(pid)
    try:
        stat = (proc / str(pid) / "stat").read_text()
        boot = (proc / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return None
    # proc(5): the name of the program, in parentheses, may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    if state in _GONE:
        return None
    return f"{boot} {fields[_STARTTIME]}"


def _start_from_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    try:
        done = subprocess.run(  # noqa: S603  # the pid is a number
            command, capture_output=True, text=True, timeout=5, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() if started and state[0] not in _GONE else None


def is_reloading(argv: Sequence[str], server_config: object = None) -> bool:
    """Whether the supervisor of this process is a reloader, for a process that has one.

    Args:
        argv: the command line of the server; its children inherit it.
        server_config: of uvicorn or hypercorn, where that is known: `reload=True` may have been
            said in code.
    """
    return (
        "--reload" in argv
        or (Path(argv[0]).name == "fastapi" and "dev" in argv and "--no-reload" not in argv)
        or bool(getattr(server_config, "should_reload", False))
        or bool(getattr(server_config, "use_reloader", False))
    )


def server_config() -> object:
    """What uvicorn or hypercorn handed to this child as its `config`, or None.

    `multiprocessing` keeps the arguments of a child in its process object.
    """
    arguments: dict[str, object] = getattr(multiprocessing.current_process(), "_kwargs", {})
    return arguments.get("config")


class ApplicationNames:
    """Names the applications of a process so that the next process gives them the same names."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next_in(self, module: str) -> str:
        """The module that wraps an application, and its position when it wraps several."""
        position = self._counts.get(module, 0)
        self._counts[module] = position + 1
        return f"{module}#{position}" if position else module


_names = ApplicationNames()


def name_application(module: str) -> str:
    """A name for an application of this process; see `ApplicationNames`."""
    return _names.next_in(module)


_GONE = ("Z", "X")  # proc(5) and ps(1): ended, and not yet or just now waited for
_STARTTIME = 18  # proc(5): field 22, counted from the one after the state
