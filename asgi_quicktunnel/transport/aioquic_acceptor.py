"""The server side of one UDP address on aioquic: whose a datagram is (RFC 9000 §5.2)."""

from __future__ import annotations

from aioquic._buffer import Buffer
from aioquic.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from asgi_quicktunnel.transport.aioquic_connection import CID_LENGTH, Connection, configuration
from asgi_quicktunnel.transport.engine import QuicEngine, ServerSettings
from asgi_quicktunnel.transport.engine_aioquic import AioquicEngine

__all__ = ["AioquicAcceptor"]


class AioquicAcceptor:
    """The server side of one UDP address; `QuicAcceptor` says what each method does."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._chain = load_pem_x509_certificates(settings.certificate_chain)
        self._key = load_pem_private_key(settings.private_key)
        self._engines: dict[bytes, AioquicEngine] = {}
        self._initial_ids: dict[AioquicEngine, bytes] = {}

    def accept(
        self, datagram: bytes, address: tuple[str, int], *, now: float
    ) -> tuple[AioquicEngine | None, bytes | None]:
        """Whose this datagram is."""
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=CID_LENGTH)
        except ValueError:
            return None, None
        engine = self._engines.get(header.destination_cid) or self._learn(header.destination_cid)
        if engine is not None:
            return engine, None
        if header.packet_type == QuicPacketType.VERSION_NEGOTIATION or header.version is None:
            return None, None
        if header.version != QuicProtocolVersion.VERSION_1:
            return None, encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=[QuicProtocolVersion.VERSION_1],
            )
        if header.packet_type != QuicPacketType.INITIAL or len(datagram) < _SMALLEST_INITIAL:
            return None, None
        return self._create(header.destination_cid), None

    def forget(self, engine: QuicEngine) -> None:
        """Drop a closed connection."""
        initial_ids = self._initial_ids.items()
        self._initial_ids = {kept: cid for kept, cid in initial_ids if kept is not engine}
        self._engines = {cid: kept for cid, kept in self._engines.items() if kept is not engine}

    def _learn(self, cid: bytes) -> AioquicEngine | None:
        """A connection hands out new ids as it goes; look them up when one is first used."""
        for engine in self._initial_ids:
            if cid in engine.connection_ids:
                self._engines[cid] = engine
                return engine
        return None

    def _create(self, destination_cid: bytes) -> AioquicEngine:
        config = configuration(self._settings, is_client=False)
        config.certificate = self._chain[0]
        config.certificate_chain = self._chain[1:]
        config.private_key = self._key
        connection = Connection(
            configuration=config, original_destination_connection_id=destination_cid
        )
        connection.prepare(self._settings)
        engine = AioquicEngine(self._settings, connection)
        self._engines[destination_cid] = engine
        self._initial_ids[engine] = destination_cid
        return engine


_SMALLEST_INITIAL = 1200  # bytes; RFC 9000 §14.1
