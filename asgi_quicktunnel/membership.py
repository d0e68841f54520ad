"""This process's part in a tunnel: alone, or together with others under one supervisor."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import anyio.to_thread
import platformdirs

from asgi_quicktunnel.claims import SharedIndexes
from asgi_quicktunnel.config import LOCAL_EDGE, TunnelConfig
from asgi_quicktunnel.indexes import Indexes, OwnIndexes
from asgi_quicktunnel.model import Credentials
from asgi_quicktunnel.private_directory import IS_SUPPORTED, FileLock, PrivateDirectory
from asgi_quicktunnel.protocol.readiness import new_nonce
from asgi_quicktunnel.supervision import SupervisingProcess, find_supervisor, is_supervised
from asgi_quicktunnel.urlcache import KeptTunnel, UrlCache, cache_key

__all__ = ["Held", "Member", "Membership", "Solo", "join"]

logger = logging.getLogger(__name__)

Request = Callable[[], Awaitable[Credentials]]


@dataclass(frozen=True, slots=True)
class Held:
    """The tunnel that this process serves.

    Attributes:
        is_old: whether an earlier process had it, so that the edge may have forgotten it since.
    """

    kept: KeptTunnel
    is_old: bool = False


class Membership(Protocol):
    """What a `QuickTunnel` asks of the processes around it."""

    @property
    def is_shared(self) -> bool:
        """Whether the tunnel outlives this process, for others under the same supervisor."""
        ...

    @property
    def told_url(self) -> str | None:
        """The URL that the present leader has announced; None as long as it has not."""
        ...

    async def obtain(self, request: Request, *, instead_of: KeptTunnel | None = None) -> Held:
        """The tunnel to serve: the one that is kept, or a new one.

        Args:
            request: asks the service for a new one.
            instead_of: a tunnel that is of no use any more.

        Raises:
            ProvisioningError, ConfigError: as `request`.
        """
        ...

    def indexes(self, wanted: int) -> Indexes:
        """Where connection indexes come from; `wanted` of them while this process is alone."""
        ...

    async def wait_moved(self) -> None:
        """Return when another process has got a new tunnel since `obtain`."""
        ...

    def leads(self) -> bool:
        """Whether this process announces the URL; from then on until it ends, or never again."""
        ...

    def tell(self, url: str) -> None:
        """Let the other processes know that the URL works."""
        ...

    def close(self) -> None:
        """Let others take our part; the tunnel stays kept."""
        ...


class Solo:
    """A `Membership` of nobody else: the tunnel ends with this process."""

    is_shared = False
    told_url = None

    async def obtain(self, request: Request, *, instead_of: KeptTunnel | None = None) -> Held:
        """See `Membership`: always a new one."""
        connector_id = uuid4() if instead_of is None else instead_of.connector_id
        return Held(KeptTunnel(await request(), connector_id, new_nonce()))

    def indexes(self, wanted: int) -> Indexes:
        """See `Membership`: all of them."""
        return OwnIndexes(wanted)

    async def wait_moved(self) -> None:
        """See `Membership`: never."""
        await asyncio.Event().wait()

    def leads(self) -> bool:
        """See `Membership`."""
        return True

    def tell(self, url: str) -> None:
        """See `Membership`: there is nobody."""

    def close(self) -> None:
        """See `Membership`."""


class Member:
    """A `Membership` among processes of one supervisor.

    Args:
        cache: the files they share; closed with this.
        now: seconds since the epoch, as file times have it.

    Raises:
        OSError: the files can't be locked.
    """

    is_shared = True

    def __init__(self, cache: UrlCache, *, now: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._now = now
        self._provisioning = cache.lock("provisioning")
        self._leader = cache.lock("leader")
        self._leader.is_free()  # raises where the file system has no locks
        self._indexes: SharedIndexes | None = None
        self._stamp: float | None = None

    @property
    def told_url(self) -> str | None:
        """See `Membership`."""
        word = self._leader.read()
        return word[1:].decode("ascii", "replace") if word[:1] == _NOW else None

    async def obtain(self, request: Request, *, instead_of: KeptTunnel | None = None) -> Held:
        """See `Membership`; one process at a time asks the service."""
        async with _holding(self._provisioning):
            kept = self._cache.read()
            is_usable = kept is not None and (
                instead_of is None or kept.credentials != instead_of.credentials
            )
            if kept is None or not is_usable:
                connector_id = uuid4() if instead_of is None else instead_of.connector_id
                kept = KeptTunnel(await request(), connector_id, new_nonce())
                try:
                    self._cache.write(kept)
                except OSError as exc:
                    logger.warning("the public URL won't outlive this process: %s", exc)
            written = self._cache.written_at()
            self._stamp = written
            is_old = is_usable and (
                self._leader.read()[1:] == kept.credentials.url.encode("ascii", "replace")
                or (written is not None and self._now() - written > _FRESH)
            )
            return Held(kept, is_old)

    def indexes(self, wanted: int) -> Indexes:
        """See `Membership`; the same ones each time."""
        if self._indexes is None:
            self._indexes = SharedIndexes(self._cache.lock, wanted)
        return self._indexes

    async def wait_moved(self) -> None:
        """See `Membership`."""
        while self._cache.written_at() in (None, self._stamp):  # noqa: ASYNC110  # no event for it
            await asyncio.sleep(_MOVE_POLL)

    def leads(self) -> bool:
        """See `Membership`: whoever is there first, and when it ends the next one."""
        if not self._leader.is_held and self._leader.try_acquire():
            # What the last leader said may be true no more: the others are to wait for us.
            self._say(_BEFORE + self._leader.read()[1:])
        return self._leader.is_held

    def tell(self, url: str) -> None:
        """See `Membership`."""
        self._say(_NOW + url.encode("ascii", "replace"))

    def _say(self, word: bytes) -> None:
        try:
            self._leader.write(word)
        except OSError as exc:
            logger.warning("the other workers don't hear of the public URL: %s", exc)

    def close(self) -> None:
        """See `Membership`."""
        if self._indexes is not None:
            self._indexes.close()
        for lock in (self._leader, self._provisioning):
            lock.close()
        self._cache.close()


async def join(config: TunnelConfig, application: str) -> Membership:
    """Join the processes that serve the same application under the same supervisor.

    Args:
        config: of the tunnel.
        application: see `cache_key`.

    Returns:
        `Solo` where nothing is to be kept, or can be; a line in the log says why it can't.
    """
    if not config.reuse_url or config.edge == LOCAL_EDGE or not is_supervised():
        return Solo()
    if not IS_SUPPORTED:
        logger.debug("no URL is kept: this system has no way to tell whose a file is")
        return Solo()
    try:
        # In a thread: it waits for files, and elsewhere than on Linux for `ps`.
        return await anyio.to_thread.run_sync(_join, config, application, _runtime_directory())
    except OSError as exc:
        logger.warning("the public URL won't outlive this process: %s", exc)
        return Solo()


def _runtime_directory() -> Path:
    with warnings.catch_warnings():
        # It warns where a system sets no XDG_RUNTIME_DIR, of which users of ours need not know.
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path(ensure_exists=True)


def _join(config: TunnelConfig, application: str, base: Path) -> Membership:
    supervisor = find_supervisor()
    return Solo() if supervisor is None else join_under(supervisor, config, application, base=base)


def join_under(
    supervisor: SupervisingProcess, config: TunnelConfig, application: str, *, base: Path
) -> Member:
    """Join under this supervisor, with files beneath `base`.

    Raises:
        OSError: they can't be made, trusted or locked; the message says which and why.
    """
    key = cache_key(
        supervisor,
        application=application,
        service_url=config.service_url,
        edge=config.edge,
        working_directory=Path.cwd(),
    )
    cache = UrlCache(PrivateDirectory.open(base, _DIRECTORY), supervisor, key)
    try:
        cache.sweep()
        return Member(cache)
    except OSError:
        cache.close()
        raise


@asynccontextmanager
async def _holding(lock: FileLock) -> AsyncIterator[None]:
    while not lock.try_acquire():  # noqa: ASYNC110  # the kernel has no event for it
        await asyncio.sleep(_LOCK_POLL)
    try:
        yield
    finally:
        lock.release()


_DIRECTORY = "asgi-quicktunnel"
_FRESH = 10.0  # s; a tunnel this new may not be known at every edge server yet (protocol.md §5.7)
_LOCK_POLL = 0.05  # s
_MOVE_POLL = 0.5  # s
_NOW, _BEFORE = b"+", b"-"  # the URL is announced by this leader, or was by an earlier one
