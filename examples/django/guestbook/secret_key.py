"""A secret key for this copy of the guestbook alone: one that everybody can read is none."""

import contextlib
import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def read_secret_key(path: Path) -> str:
    """The key in this file, which is made when it is not there."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(get_random_secret_key())
        with contextlib.suppress(FileExistsError):  # of several processes one comes first
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()
