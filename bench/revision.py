"""Another revision of the package beside this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Revision", "RevisionError", "checked_out"]


class RevisionError(Exception):
    """It can't be checked out or built; the message says what the tool says."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A checkout of the package.

    Its libraries are those of this one's .venv, but for the native engine: that is its own.

    Attributes:
        name: as git was asked for it.
        tree: where it lies.
        root: the repository.
    """

    name: str
    tree: Path
    root: Path

    @property
    def package(self) -> tuple[Path, ...]:
        """Where Python finds its package."""
        return (self.tree,)

    def with_native(self) -> tuple[Path, ...] | None:
        """Where Python finds its package and native engine, which is built if it is another one.

        Returns:
            None where it has none, or cargo is missing.

        Raises:
            RevisionError: it can't be built.
        """
        if not (self.tree / "native" / "binding").is_dir():
            return None
        sources = [f"native/{name}" for name in _SOURCES]
        if not _call(self.root, "git", "diff", "--quiet", self.name, "--", *sources).returncode:
            return self.package  # what is installed is its own
        if shutil.which("cargo") is None:
            return None
        folder = self.tree.parent / "native"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        made = _call(
            self.root, *pip, "--no-deps", "--target", str(folder), str(self.tree / "native")
        )
        if made.returncode:
            raise RevisionError(f"the native engine of {self.name}: {made.stderr.strip()}")
        return (self.tree, folder)


@contextlib.contextmanager
def checked_out(root: Path, name: str) -> Iterator[Revision]:
    """A worktree of this revision for as long as it is needed.

    Raises:
        RevisionError: git does not know it.
    """
    with tempfile.TemporaryDirectory(prefix="quicktunnel-bench-") as folder:
        tree = Path(folder) / "tree"
        _git(root, "worktree", "add", "--detach", str(tree), name)
        try:
            yield Revision(name, tree, root)
        finally:
            _git(root, "worktree", "remove", "--force", str(tree))


def _git(root: Path, *arguments: str) -> None:
    finished = _call(root, "git", *arguments)
    if finished.returncode:
        raise RevisionError(f"git {' '.join(arguments)}: {finished.stderr.strip()}")


def _call(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # Most crates of both revisions are the same, and built already.
    environ = {**os.environ, "CARGO_TARGET_DIR": str(root / "native" / "target")}
    return subprocess.run(
        command, cwd=root, env=environ, capture_output=True, text=True, check=False
    )


# What the native engine is built from.
_SOURCES = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "binding", "python", "quic", "wire")
