"""A directory of files that nobody else may have put there, and locks on them (POSIX).

Whoever plants a file here would have our visitors. So the directory is opened once, looked at
through its descriptor, and every file is opened beneath it without following links; what is not
ours, or open to others, is refused with the reason.
"""

from __future__ import annotations

import os
import stat
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Self

try:
    import fcntl
except ImportError:  # Windows
    IS_SUPPORTED = False
else:
    IS_SUPPORTED = hasattr(os, "O_NOFOLLOW") and hasattr(os, "geteuid")

__all__ = ["IS_SUPPORTED", "FileLock", "PrivateDirectory", "UntrustedError", "objection"]


class UntrustedError(OSError):
    """A file or directory that somebody else may have put there, or can change."""


class PrivateDirectory:
    """An open directory of ours, mode 0700. Made by `open`; `close` frees it.

    Attributes:
        path: for messages.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, base: Path, name: str) -> Self:
        """Open `base`/`name`, made if it is not there.

        Raises:
            UntrustedError: one of the two can't be trusted; the message names it and the reason.
            OSError: it can't be made or opened.
        """
        path = base / name
        outer = _open_directory(base)
        try:
            # Others may look into the outer one, as long as they can't put anything there.
            _check(base, os.fstat(outer), stat.S_IFDIR, forbidden=0o022)
            with suppress(FileExistsError):
                os.mkdir(name, _DIRECTORY_MODE, dir_fd=outer)
            inner = _open_directory(path, name, dir_fd=outer)
        finally:
            os.close(outer)
        try:
            _check(path, os.fstat(inner), stat.S_IFDIR, forbidden=0o077)
        except UntrustedError:
            os.close(inner)
            raise
        return cls(path, inner)

    def names(self) -> list[str]:
        """What is in it."""
        return os.listdir(self._descriptor)  # noqa: PTH208  # a descriptor, and not a path

    def read(self, name: str, *, limit: int) -> bytes:
        """The first `limit` bytes of a file.

        Raises:
            FileNotFoundError: there is none.
            UntrustedError: it is a link, or not ours, or open to others.
        """
        descriptor = self._open_file(name, os.O_RDONLY)
        try:
            return os.read(descriptor, limit)
        finally:
            os.close(descriptor)

    def replace(self, name: str, content: bytes) -> None:
        """Write a file beside and rename it: who reads sees the old one or the new one, whole."""
        beside = f"{name}.{os.getpid()}.new"
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=self._descriptor)
        descriptor = self._open_file(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(beside, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError:
            with suppress(OSError):
                os.unlink(beside, dir_fd=self._descriptor)
            raise

    def written_at(self, name: str) -> float | None:
        """When a file was written, in seconds since the epoch; None when there is none."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mtime
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Remove a file or link; harmless when it is gone."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def lock(self, name: str) -> FileLock:
        """A lock on a file, made if it is not there; not taken yet.

        Raises:
            UntrustedError: it is a link, or not ours, or open to others.
        """
        return FileLock(self._open_file(name, os.O_RDWR | os.O_CREAT))

    def close(self) -> None:
        """Free it; harmless when repeated. Locks that were made stay."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open_file(self, name: str, flags: int) -> int:
        path = self.path / name
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a planted FIFO would block
        try:
            descriptor = os.open(name, flags, _FILE_MODE, dir_fd=self._descriptor)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise UntrustedError(f"{path} can't be opened ({exc.strerror})") from exc
        try:
            _check(path, os.fstat(descriptor), stat.S_IFREG, forbidden=0o177)
        except UntrustedError:
            os.close(descriptor)
            raise
        return descriptor


class FileLock:
    """An advisory lock (flock) that the kernel frees when this process ends, however it ends.

    A child that is forked meanwhile gives its copy up, or the lock would outlive its owner.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_held = False
        _open_locks.add(self)

    def try_acquire(self) -> bool:
        """Take it if nobody has it; whether it is ours now. Never waits."""
        if not self.is_held and self._descriptor >= 0:
            self.is_held = _flock(self._descriptor, fcntl.LOCK_EX)
        return self.is_held

    def is_free(self) -> bool:
        """Whether nobody, and not we, holds it."""
        if self.is_held:
            return False
        # Shared, so that two who look at once do not take each other for owners.
        free = _flock(self._descriptor, fcntl.LOCK_SH)
        if free:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return free

    def release(self) -> None:
        """Let others have it; harmless when it is not held."""
        if self.is_held:
            self.is_held = False
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def write(self, content: bytes) -> None:
        """Leave a word in the file, for who holds the lock next and who looks meanwhile."""
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def read(self, *, limit: int = 4096) -> bytes:
        """The word in the file; b"" when there is none, a part of it while it is written."""
        return os.pread(self._descriptor, limit, 0)

    def close(self) -> None:
        """Release it and free the file; harmless when repeated."""
        self.is_held = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def objection(
    found: os.stat_result, kind: int, *, forbidden: int, uid: int, may_be: str
) -> str | None:
    """Why a file or directory can't be trusted; None when it can.

    Args:
        found: as `fstat` says.
        kind: `stat.S_IFREG` or `stat.S_IFDIR`.
        forbidden: permission bits that it must not have.
        uid: whose it must be.
        may_be: the permission that would do, for the message.
    """
    if stat.S_IFMT(found.st_mode) != kind:
        return "is no directory" if kind == stat.S_IFDIR else "is no ordinary file"
    if found.st_uid != uid:
        return f"belongs to the user with uid {found.st_uid}, and not to uid {uid}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        return f"has mode {mode:04o}, and may have {may_be}"
    return None


def _check(path: Path, found: os.stat_result, kind: int, *, forbidden: int) -> None:
    may_be = "0600" if kind == stat.S_IFREG else f"{0o777 & ~forbidden:04o}"
    why_not = objection(found, kind, forbidden=forbidden, uid=os.geteuid(), may_be=may_be)
    if why_not is not None:
        raise UntrustedError(f"{path} {why_not}")


def _open_directory(path: Path, name: str | None = None, *, dir_fd: int | None = None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path if name is None else name, flags, dir_fd=dir_fd)
    except NotADirectoryError as exc:  # Linux says so of a link too
        raise UntrustedError(f"{path} is a symbolic link, or no directory") from exc
    except OSError as exc:
        raise UntrustedError(f"{path} can't be opened ({exc.strerror})") from exc


def _flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _disown() -> None:
    for lock in tuple(_open_locks):
        lock.close()


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
