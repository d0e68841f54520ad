"""The boundary to pycapnp: schemas, and readers of messages that came from outside.

Nothing of pycapnp is loaded before the first use, the schemas live in a parser of their own (an
app may load the same files or ids into pycapnp's global one), and nothing needs its import hook.

pycapnp is safe on hostile bytes only while fields are read one by one: `to_dict`, printing and
pickling can end the process (engine-notes.md §5). Whatever it raises leaves here as a
RemoteProtocolError.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from asgi_quicktunnel.errors import LocalProtocolError, RemoteProtocolError
from asgi_quicktunnel.protocol.framing import segments

__all__ = ["Method", "Schemas", "load_schemas", "reading", "writing"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of an interface.

    Attributes:
        interface_id: of the interface that declares it; calls name this one even where the
            capability is of an interface that inherits it (protocol.md §5.1).
        ordinal: its number in that interface.
        name: as the schema spells it.
        params: pycapnp's schema of its parameters.
        results: pycapnp's schema of its results.
    """

    interface_id: int
    ordinal: int
    name: str
    params: Any = field(repr=False, compare=False)
    results: Any = field(repr=False, compare=False)


class Schemas:
    """The schemas of this package, loaded."""

    def __init__(self) -> None:
        import capnp

        shipped = Path(capnp.__file__).parent
        parser = capnp.SchemaParser()
        # Without a folder to look up its imports in, loading rpc.capnp ends the process.
        self._kj_exception = capnp.KjException
        self._rpc = parser.load(str(shipped / "rpc.capnp"), imports=[str(shipped.parent)])
        self._tunnel = parser.load(str(_OWN / "tunnel.capnp"))

    def new_message(self) -> Any:
        """A builder of an `rpc.capnp` Message."""
        return self._rpc.Message.new_message()

    def read_message(self, message: bytes) -> Any:
        """A reader of a framed `rpc.capnp` Message; use it inside `reading()`.

        Objects that overlap can be read for about twice the size of the message, not more.
        """
        limit = 2 * (len(message) >> 3) + 1024
        return self._rpc.Message.from_segments(segments(message), traversal_limit_in_words=limit)

    def tag(self, union: Any) -> str | None:
        """Which member of its union a reader has; None for one that our schema does not know."""
        try:
            return str(union.which)
        except self._kj_exception:
            return None

    def method(self, interface: str, name: str) -> Method:
        """A method of tunnel.capnp by its name."""
        schema = getattr(self._tunnel, interface).schema
        types = schema.methods[name]
        return Method(
            schema.node.id,
            schema.method_names.index(name),
            name,
            types.param_type,
            types.result_type,
        )


@contextmanager
def reading() -> Iterator[None]:
    """Around every access to a message from outside.

    Raises:
        RemoteProtocolError: in place of what pycapnp raises on malformed bytes.
    """
    import capnp

    try:
        yield
    except (capnp.KjException, UnicodeDecodeError) as exc:
        raise RemoteProtocolError("a message that can't be read as Cap'n Proto") from exc


@contextmanager
def writing() -> Iterator[None]:
    """Around the filling of a message with what a caller gave.

    Raises:
        LocalProtocolError: in place of what pycapnp raises on values that don't fit the schema.
    """
    import capnp

    try:
        yield
    except (capnp.KjException, AttributeError, OverflowError, UnicodeEncodeError) as exc:
        raise LocalProtocolError("values that don't fit the schema of the message") from exc


def load_schemas() -> Schemas:
    """The schemas, loaded at the first call; the same object at each."""
    with _lock:
        return _load()


_OWN = Path(__file__).parent / "schemas"
_lock = threading.Lock()  # readers and builders of two parsers don't mix
_load = cache(Schemas)
