"""Who supervises this process."""

import asyncio
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from asgi_quicktunnel.supervision import (
    ApplicationNames,
    SupervisingProcess,
    _start_from_ps,
    find_supervisor,
    is_reloaded,
    is_reloading,
    is_supervised,
    server_config,
    start_of,
    supervisor_pid,
)


@pytest.mark.parametrize(
    ("parent", "modules", "environ", "expected"),
    [
        (10, {"sys"}, {}, 10),
        (10, {"gunicorn.arbiter"}, {}, 10),
        (10, {"django.utils.autoreload"}, {"RUN_MAIN": "true"}, 10),
        (None, {"gunicorn.arbiter"}, {}, 20),
        (None, {"gunicorn", "uvicorn"}, {}, None),
        (None, {"django.utils.autoreload"}, {"RUN_MAIN": "true"}, 20),
        (None, {"django.utils.autoreload"}, {}, None),
        (None, {"sys"}, {"RUN_MAIN": "true"}, None),
    ],
)
def test_a_supervisor_started_us_or_is_gunicorns_arbiter_or_djangos_autoreloader(
    parent, modules, environ, expected
):
    """A shell, a terminal or a process manager is none; nor is what runserver starts a child."""
    assert supervisor_pid(parent, modules, 20, environ) == expected


def test_this_test_has_none():
    """pytest was started by nobody who would start it again."""
    assert find_supervisor() is None
    assert not is_supervised()
    assert not is_reloaded()


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")
def test_the_start_of_a_process_is_read_from_proc(tmp_path):
    """The name of the program may hold anything; a zombie and a stranger have no start."""
    fields = " ".join(str(number) for number in range(4, 30))

    def stat(pid, text):
        (tmp_path / pid).mkdir(parents=True)
        (tmp_path / pid / "stat").write_text(text)

    stat("self", "")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    stat("7", f"7 (a) b) (c) S {fields}")
    stat("8", f"8 (dead) Z {fields}")
    assert start_of(7, proc=tmp_path) == "boot 22"
    assert start_of(8, proc=tmp_path) is None
    assert start_of(9, proc=tmp_path) is None


@pytest.mark.parametrize("ask", [start_of, _start_from_ps], ids=["as here", "ps"])
def test_a_process_has_one_start_until_it_is_gone(ask):
    """Asked twice it is the same; afterwards there is none."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        first = ask(process.pid)
        assert first
        assert ask(process.pid) == first
    assert ask(process.pid) is None


def test_a_supervisor_is_alive_under_its_own_start_alone():
    """Another process with the same pid is not it."""
    assert SupervisingProcess(os.getpid(), start_of(os.getpid())).is_alive
    assert not SupervisingProcess(os.getpid(), "earlier").is_alive


@pytest.mark.parametrize(
    ("argv", "config", "expected"),
    [
        (["uvicorn", "main:app", "--reload"], None, True),
        (["/usr/bin/fastapi", "dev", "main.py"], None, True),
        (["/usr/bin/fastapi", "dev", "--no-reload"], None, False),
        (["/usr/bin/fastapi", "run"], None, False),
        (["main.py"], SimpleNamespace(should_reload=True), True),
        (["main.py"], SimpleNamespace(use_reloader=True), True),
        (["main.py"], SimpleNamespace(should_reload=False), False),
        (["uvicorn", "main:app", "--workers", "2"], None, False),
    ],
)
def test_a_reloader_is_known_by_the_command_line_or_the_servers_configuration(
    argv, config, expected
):
    """Also where reload=True was said in code."""
    assert is_reloading(argv, config) is expected


CHILD = """
import asyncio, multiprocessing, os
from asgi_quicktunnel.supervision import find_supervisor, server_config, start_of

def child(config):
    supervisor = find_supervisor()
    print(supervisor.pid == os.getppid(), supervisor.started == start_of(os.getppid()),
          server_config())

if __name__ == "__main__":
    process = multiprocessing.get_context("METHOD").Process(target=child, kwargs={"config": "c"})
    process.start()
    process.join()
"""


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["spawn", "fork"])
async def test_a_child_finds_its_supervisor_and_the_servers_configuration(tmp_path, method):
    """Whichever way `multiprocessing` starts it."""
    program = tmp_path / "program.py"
    program.write_text(CHILD.replace("METHOD", method))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode().split() == ["True", "True", "c"]


def test_here_no_server_configured_anything():
    """Outside a child there is no configuration."""
    assert server_config() is None


def test_applications_are_named_by_module_and_position():
    """The first in a module has the module's name."""
    names = ApplicationNames()
    given = [names.next_in(module) for module in ("main", "other", "main", "main")]
    assert given == ["main", "other", "main#1", "main#2"]
