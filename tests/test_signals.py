"""on_interrupt, in real processes: signals belong to a whole process."""

import signal
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import asyncio, os, signal, sys, threading
from asgi_quicktunnel.signals import on_interrupt

def interrupted():
    print("callback", flush=True)

def server(signum, frame):
    print("server", signal.Signals(signum).name, flush=True)

def kill(signum):
    os.kill(os.getpid(), signum)
"""


def run(program, **options):
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_callback_runs_and_the_server_hears_the_signal_too(name, loop):
    """Ours comes first, then the handler before it; afterwards that one stands alone."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = run(f"""
        import {loop}

        async def main():
            heard = asyncio.Event()
            with on_interrupt(lambda: (interrupted(), heard.set())):
                kill(signal.{name})
                await heard.wait()
            assert signal.getsignal(signal.{name}) is server
            kill(signal.{name})

        signal.signal(signal.{name}, server)
        {loop}.run(main())
    """)
    assert done.stderr == ""
    assert done.stdout.split("\n") == [f"server {name}", "callback", f"server {name}", ""]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_handlers_of_the_loop_hear_the_signal_too(loop):
    """hypercorn and granian use loop.add_signal_handler: it works during the block and after it."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = run(f"""
        import {loop}

        async def main():
            heard, of_loop = asyncio.Event(), asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, of_loop.set)
            with on_interrupt(heard.set):
                kill(signal.SIGTERM)
                await heard.wait()
                await of_loop.wait()
            of_loop.clear()
            kill(signal.SIGTERM)
            await of_loop.wait()
            print("done")

        {loop}.run(main())
    """)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_a_waiting_loop_is_woken():
    """The signal counts at once, also while the loop has nothing to do."""
    done = run("""
        async def main():
            heard = asyncio.Event()
            with on_interrupt(heard.set):
                print("waiting", flush=True)
                await heard.wait()

        signal.signal(signal.SIGINT, server)
        threading.Timer(0.2, kill, [signal.SIGINT]).start()
        asyncio.run(main())
    """)
    assert done.stdout == "waiting\nserver SIGINT\n"


def test_an_ignored_signal_is_heard_inside_the_block_alone():
    """hypercorn's workers ignore SIGINT, and a second Ctrl-C is meant for the drain there too."""
    done = run("""
        async def main():
            heard = asyncio.Event()
            with on_interrupt(heard.set):
                kill(signal.SIGINT)
                await heard.wait()
            kill(signal.SIGINT)
            print("alive")

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(main())
    """)
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_a_supervisors_word_for_the_same_ctrl_c_is_not_counted():
    """The first SIGTERM is the server's alone if it is to be spared; the second counts."""
    done = run("""
        async def main():
            heard = asyncio.Event()
            with on_interrupt(heard.set, spares_sigterm=True):
                kill(signal.SIGTERM)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                print(heard.is_set())
                kill(signal.SIGTERM)
                await heard.wait()

        signal.signal(signal.SIGTERM, server)
        asyncio.run(main())
    """)
    assert done.stdout == "server SIGTERM\nFalse\nserver SIGTERM\n"


def test_a_signal_with_its_default_action_ends_the_process():
    """Where nobody handles SIGTERM it does what it always does."""
    done = run("""
        async def main():
            with on_interrupt(interrupted):
                kill(signal.SIGTERM)
                await asyncio.Event().wait()

        asyncio.run(main())
    """)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


def test_a_handler_that_came_meanwhile_stays():
    """Whoever sets a handler inside the block keeps it."""
    done = run("""
        async def main():
            with on_interrupt(interrupted):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            print("done")

        signal.signal(signal.SIGTERM, server)
        asyncio.run(main())
    """)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_another_thread_sets_no_handler():
    """Python sets handlers in the main thread alone; elsewhere the block runs without one."""
    done = run("""
        async def main():
            with on_interrupt(interrupted):
                assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            print("done")

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join()
    """)
    assert (done.stdout, done.stderr) == ("done\n", "")
