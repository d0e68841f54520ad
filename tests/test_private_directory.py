"""Files that nobody else may have put there."""

import os
import stat
import subprocess
import sys

import pytest

from asgi_quicktunnel.private_directory import PrivateDirectory, UntrustedError, objection

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
STRANGER = 4711


@pytest.fixture
def directory(tmp_path):
    opened = PrivateDirectory.open(tmp_path, "ours")
    yield opened
    opened.close()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_it_is_made_for_us_alone(tmp_path, directory):
    """Mode 0700, and 0600 for what is in it; what is there already is taken."""
    directory.replace("file", b"content")
    assert mode(tmp_path / "ours") == 0o700
    assert mode(tmp_path / "ours" / "file") == 0o600
    with_same_name = PrivateDirectory.open(tmp_path, "ours")
    assert with_same_name.read("file", limit=4) == b"cont"
    with_same_name.close()
    with_same_name.close()


def test_a_link_in_place_of_the_directory_is_refused(tmp_path):
    """Even one that leads to a directory of ours."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "ours").symlink_to("elsewhere")
    with pytest.raises(UntrustedError, match="ours is a symbolic link"):
        PrivateDirectory.open(tmp_path, "ours")


def test_a_base_that_is_a_link_is_refused(tmp_path):
    """Whoever made it could lead us elsewhere tomorrow."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "base").symlink_to("real")
    with pytest.raises(UntrustedError, match="base is a symbolic link"):
        PrivateDirectory.open(tmp_path / "base", "ours")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    """The message says what it is not."""
    (tmp_path / "ours").touch(mode=0o600)
    with pytest.raises(UntrustedError, match="or no directory"):
        PrivateDirectory.open(tmp_path, "ours")


@pytest.mark.parametrize("wrong", [0o755, 0o701, 0o770])
def test_a_directory_that_others_can_enter_is_refused(tmp_path, wrong):
    """The message names its mode and the one it may have."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours").chmod(wrong)
    with pytest.raises(UntrustedError, match=f"has mode 0{wrong:o}, and may have 0700"):
        PrivateDirectory.open(tmp_path, "ours")


def test_a_base_that_others_can_write_to_is_refused(tmp_path):
    """They could put another directory in place of ours."""
    tmp_path.chmod(0o777)
    with pytest.raises(UntrustedError, match="has mode 0777, and may have 0755"):
        PrivateDirectory.open(tmp_path, "ours")


@AS_ROOT
def test_a_directory_of_somebody_else_is_refused(tmp_path):
    """Whatever its mode."""
    (tmp_path / "ours").mkdir(mode=0o700)
    os.chown(tmp_path / "ours", STRANGER, -1)
    with pytest.raises(UntrustedError, match=f"belongs to the user with uid {STRANGER}"):
        PrivateDirectory.open(tmp_path, "ours")


def test_a_linked_file_is_neither_read_nor_locked(tmp_path, directory):
    """A link could lead to a file of ours that somebody else has the content of."""
    target = tmp_path / "target"
    target.touch(mode=0o600)
    (tmp_path / "ours" / "file").symlink_to(target)
    with pytest.raises(UntrustedError):
        directory.read("file", limit=10)
    with pytest.raises(UntrustedError):
        directory.lock("file")
    directory.replace("file", b"new")
    assert target.read_bytes() == b""
    assert directory.read("file", limit=10) == b"new"


@pytest.mark.parametrize("wrong", [0o644, 0o660, 0o700])
def test_a_file_with_another_mode_is_refused(tmp_path, directory, wrong):
    """The message names the mode."""
    (tmp_path / "ours" / "file").touch()
    (tmp_path / "ours" / "file").chmod(wrong)
    with pytest.raises(UntrustedError, match=f"file has mode 0{wrong:o}, and may have 0600"):
        directory.read("file", limit=10)


@AS_ROOT
def test_a_file_of_somebody_else_is_refused(tmp_path, directory):
    """As if it had been planted, which it was."""
    (tmp_path / "ours" / "file").touch(mode=0o600)
    os.chown(tmp_path / "ours" / "file", STRANGER, -1)
    with pytest.raises(UntrustedError, match=f"belongs to the user with uid {STRANGER}"):
        directory.read("file", limit=10)


def test_a_pipe_does_not_block(tmp_path, directory):
    """A planted FIFO is refused at once."""
    os.mkfifo(tmp_path / "ours" / "file", 0o600)
    with pytest.raises(UntrustedError, match="is no ordinary file"):
        directory.read("file", limit=10)


def test_an_objection_names_the_owner_it_expects():
    """Pure: no file is needed."""
    found = os.stat_result((stat.S_IFREG | 0o600, 0, 0, 1, 5, 0, 0, 0, 0, 0))
    judge = {"forbidden": 0o177, "may_be": "0600"}
    assert objection(found, stat.S_IFREG, uid=5, **judge) is None
    assert "and not to uid 6" in objection(found, stat.S_IFREG, uid=6, **judge)
    assert objection(found, stat.S_IFDIR, uid=5, **judge) == "is no directory"


def test_a_failed_write_leaves_nothing_beside(tmp_path, directory):
    """A directory in the file's place can't be replaced; the file beside it is gone."""
    (tmp_path / "ours" / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        directory.replace("file", b"new")
    assert directory.names() == ["file"]


def test_names_and_removal(directory):
    """What is gone may be removed again."""
    directory.replace("file", b"")
    assert directory.written_at("file") is not None
    directory.remove("file")
    directory.remove("file")
    assert directory.names() == []
    assert directory.written_at("file") is None


def test_a_lock_has_one_holder(directory):
    """Until it is released or closed; looking takes nothing."""
    first, second = directory.lock("lock"), directory.lock("lock")
    assert first.is_free()
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.is_free()
    assert not first.is_free()
    assert not second.try_acquire()
    first.write(b"a long word")
    first.write(b"word")
    assert second.read() == b"word"
    first.release()
    assert second.try_acquire()
    second.close()
    second.close()
    assert first.try_acquire()
    first.close()
    assert not first.try_acquire()


HOLDER = """
import sys
from pathlib import Path
from asgi_quicktunnel.private_directory import PrivateDirectory
lock = PrivateDirectory.open(Path(sys.argv[1]), "ours").lock("lock")
print(lock.try_acquire(), flush=True)
input()
"""


def test_the_kernel_frees_the_lock_of_a_process_that_is_killed(tmp_path, directory):
    """Nothing has to be cleaned up after it."""
    command = [sys.executable, "-c", HOLDER, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"True\n"
        lock = directory.lock("lock")
        assert not lock.is_free()
        process.kill()
        process.wait()
        assert lock.try_acquire()
        lock.close()


FORKER = """
import os, sys
from pathlib import Path
from asgi_quicktunnel.private_directory import PrivateDirectory
directory = PrivateDirectory.open(Path(sys.argv[1]), "ours")
lock = directory.lock("lock")
lock.try_acquire()
if os.fork() == 0:
    print("child", flush=True)
    input()
    os._exit(0)
os._exit(0)
"""


def test_a_forked_child_does_not_keep_the_lock(tmp_path, directory):
    """The child lives on, the parent is gone: the lock is free."""
    command = [sys.executable, "-c", FORKER, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"child\n"
        process.wait()
        lock = directory.lock("lock")
        assert lock.is_free()
        lock.close()
