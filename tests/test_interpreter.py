"""The end of the interpreter, heard in time."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import atexit, sys, threading
from concurrent.futures import ThreadPoolExecutor
from asgi_quicktunnel.interpreter import call_at_end

stop = threading.Event()

def work():  # no interpreter ends before this thread has
    stop.wait()
    print("the thread ends")

pool = ThreadPoolExecutor()

def callback():
    pool.submit(print, "called").result()
    stop.set()

atexit.register(print, "atexit")
threading.Thread(target=work).start()
call_at_end(callback)
END
"""


@pytest.mark.parametrize(
    ("end", "status"), [("print('done')", 0), ("sys.exit(3)", 3), ("raise RuntimeError", 1)]
)
def test_the_end_is_heard_before_threads_are_waited_for(end, status):
    """However the program ends; what is called can still end threads, and use a thread pool."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("END", end)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == status
    assert done.stdout.split("\n")[-4:-1] == ["called", "the thread ends", "atexit"]
