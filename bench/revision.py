"""Another revision of the package beside this one."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["RevisionError", "checked_out"]


class RevisionError(Exception):
    """It can't be checked out; the message says what git says."""


@contextlib.contextmanager
def checked_out(root: Path, revision: str) -> Iterator[Path]:
    """A worktree of this revision for as long as it is needed.

    Its package is run with the libraries of this one's .venv, the native engine included.

    Raises:
        RevisionError: git does not know it.
    """
    with tempfile.TemporaryDirectory(prefix="quicktunnel-bench-") as folder:
        tree = Path(folder) / "tree"
        _git(root, "worktree", "add", "--detach", str(tree), revision)
        try:
            yield tree
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def _git(root: Path, *arguments: str) -> None:
    finished = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RevisionError(f"git {' '.join(arguments)}: {finished.stderr.strip()}")
