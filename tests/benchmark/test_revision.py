"""Another revision of the package, checked out for a comparison."""

import shutil
import subprocess

import pytest

from bench.revision import RevisionError, checked_out


@pytest.fixture
def repository(tmp_path):
    """One with a native engine, which the second commit changes."""
    root = tmp_path / "repository"
    binding = root / "native" / "binding"
    binding.mkdir(parents=True)

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    for number, text in enumerate(("one", "two")):
        (binding / "lib.rs").write_text(text)
        git("add", ".")
        git("commit", "--quiet", "--message", text)
        git("tag", f"v{number}")
    return root


def test_a_revision_is_there_as_long_as_it_is_needed(repository):
    """A tree of its files; git remembers nothing of it afterwards."""
    with checked_out(repository, "v0") as revision:
        assert (revision.tree / "native" / "binding" / "lib.rs").read_text() == "one"
        assert revision.package == (revision.tree,)
    assert not revision.tree.exists()
    worktrees = subprocess.run(
        ["git", "-C", repository, "worktree", "list"], check=True, capture_output=True, text=True
    )
    assert len(worktrees.stdout.splitlines()) == 1


def test_an_unknown_revision_is_said_in_the_words_of_git(repository):
    """Nothing is left behind."""
    with pytest.raises(RevisionError, match="invalid reference: v9"), checked_out(repository, "v9"):
        pytest.fail("there is no such revision")


def test_the_installed_engine_serves_a_revision_of_the_same_sources(repository):
    """Nothing is built then."""
    with checked_out(repository, "v1") as revision:
        assert revision.with_native() == revision.package


def test_an_engine_of_other_sources_is_built(repository, monkeypatch):
    """What the build says is told when it fails; without cargo there is none, nor in old trees."""
    with checked_out(repository, "v0") as revision:
        if shutil.which("cargo") is not None:
            with pytest.raises(RevisionError, match=r"the native engine of v0: .*native"):
                revision.with_native()
        monkeypatch.setattr(shutil, "which", lambda name: None)
        assert revision.with_native() is None
        shutil.rmtree(revision.tree / "native")
        assert revision.with_native() is None
