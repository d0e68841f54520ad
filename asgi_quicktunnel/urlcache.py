"""The tunnel that processes under one supervisor share: kept in a file, for as long as it runs.

A server's reloader starts the app anew after each edit, and several workers run at once; all of
them are to have one URL. What they have in common is the process that started them. So the file's
name says whose it is (pid, a hash of its start time) and what it is for (`cache_key`), and a file
whose supervisor is gone is never used: the next start removes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from asgi_quicktunnel.errors import ProvisioningError
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.private_directory import FileLock, PrivateDirectory, UntrustedError
from asgi_quicktunnel.protocol.tunnel_answer import TunnelAnswer
from asgi_quicktunnel.supervision import SupervisingProcess, start_of

__all__ = ["KeptTunnel", "UrlCache", "cache_key"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptTunnel:
    """What it takes to register connections of a tunnel that another process may have begun.

    Attributes:
        credentials: what the service handed out.
        connector_id: the edge takes all who say the same for one connector (protocol.md §5.5).
        nonce: whichever process the edge asks proves the public URL by it (`protocol.readiness`).
    """

    credentials: Credentials
    connector_id: UUID
    nonce: str = field(repr=False)


class UrlCache:
    """The files of one supervisor's one application.

    Args:
        directory: where they are; closed with this.
        supervisor: whose they are.
        key: from `cache_key`.
    """

    def __init__(
        self, directory: PrivateDirectory, supervisor: SupervisingProcess, key: str
    ) -> None:
        self._directory = directory
        self._prefix = f"{supervisor.pid}-{_short_hash(supervisor.started)}-{key}"
        self._file = f"{self._prefix}.json"

    def read(self) -> KeptTunnel | None:
        """The tunnel that is kept; None without one, and, with a warning, for what is no such file.

        A planted file would hand our visitors to somebody else.
        """
        try:
            content = self._directory.read(self._file, limit=_LIMIT)
        except FileNotFoundError:
            return None
        except UntrustedError as exc:
            logger.warning("%s; it is ignored, and a new tunnel takes its place", exc)
            return None
        kept = decode(content)
        if kept is None:
            logger.warning(
                "%s holds no tunnel; it is ignored, and a new tunnel takes its place",
                self._directory.path / self._file,
            )
        return kept

    def write(self, kept: KeptTunnel) -> None:
        """Keep this tunnel from now on.

        Raises:
            OSError: it can't be written.
        """
        self._directory.replace(self._file, encode(kept))

    def written_at(self) -> float | None:
        """When the tunnel was written, in seconds since the epoch; None when none is kept."""
        return self._directory.written_at(self._file)

    def lock(self, name: str) -> FileLock:
        """A lock that all these processes know by this name; not taken yet.

        Raises:
            UntrustedError: its file can't be trusted.
        """
        return self._directory.lock(f"{self._prefix}.{name}")

    def sweep(self, start: Callable[[int], str | None] = start_of) -> None:
        """Remove the files of supervisors that are gone.

        Args:
            start: when the process with a pid began, None if there is none.
        """
        alive: dict[int, str | None] = {}
        for name in self._directory.names():
            if (found := _OURS.match(name)) is None:
                continue
            pid = int(found[1])
            if pid not in alive:
                started = start(pid)
                alive[pid] = None if started is None else _short_hash(started)
            if alive[pid] != found[2]:
                self._directory.remove(name)

    def close(self) -> None:
        """Let go of the directory; locks that were made stay."""
        self._directory.close()


def cache_key(
    supervisor: SupervisingProcess,
    *,
    application: str,
    service_url: str,
    edge: str | None,
    working_directory: Path,
) -> str:
    """A name for what one file is for: 32 hexadecimal digits.

    Args:
        supervisor: who starts the processes that share it.
        application: tells the wrapped applications of one server apart.
        service_url: where the tunnel comes from.
        edge: the list that replaces discovery, or None.
        working_directory: where the server runs.
    """
    parts = [
        supervisor.pid,
        supervisor.started,
        application,
        service_url,
        edge,
        str(working_directory),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def encode(kept: KeptTunnel) -> bytes:
    """The content of the file: JSON; the tunnel as the service writes it (protocol.md §1)."""
    credentials = kept.credentials
    document = {
        "version": _VERSION,
        "connector_id": str(kept.connector_id),
        "nonce": kept.nonce,
        "result": {
            "id": str(credentials.tunnel_id),
            "account_tag": credentials.account_tag,
            "secret": base64.b64encode(credentials.secret).decode(),
            "hostname": credentials.hostname,
        },
    }
    return json.dumps(document).encode()


def decode(content: bytes) -> KeptTunnel | None:
    """What `encode` wrote, or None."""
    try:
        document = json.loads(content)
        if document["version"] != _VERSION or not _NONCE.fullmatch(document["nonce"]):
            return None
        answer = TunnelAnswer(200, {}, content)
        return KeptTunnel(
            answer.credentials("the file", now=datetime.now(UTC)),
            UUID(document["connector_id"]),
            document["nonce"],
        )
    except (ProvisioningError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_VERSION = 1
_LIMIT = 16 << 10  # bytes; a file has about 500
_NONCE = re.compile("[0-9a-f]{32}")
_OURS = re.compile(r"([0-9]{1,10})-([0-9a-f]{12})-[0-9a-f]{32}\.")
