//! What both sides of a connection are configured with (protocol.md §3 and §4).

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use thiserror::Error;

use crate::tls;

/// Limits of one connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Seconds of silence that end the connection.
    pub idle_timeout: f64,
    /// Bytes that one stream may hold unread.
    pub stream_window: u64,
    /// Bytes that all streams together may hold unread.
    pub connection_window: u64,
    /// Bidirectional streams that the peer may have open at once.
    pub max_streams: u64,
    /// Bytes of one stream that are accepted before the congestion window has room for them.
    pub send_high_water: usize,
}

/// What can't be used, in words for the user.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// No certificate among the trust roots.
    #[error("there is no usable certificate among the trust roots")]
    NoTrustRoots,
    /// The server's certificates or key.
    #[error("the certificate chain or its key can't be used: {0}")]
    Certificate(String),
    /// A limit out of range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// The server name is none.
    #[error("{0:?} is no server name")]
    ServerName(String),
}

/// A connector's side; made once, shared by all its connections.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub(crate) quinn: quinn_proto::ClientConfig,
    pub(crate) endpoint: Arc<EndpointConfig>,
    pub(crate) limits: Limits,
}

impl ClientConfig {
    /// Trust these PEM certificates alone; verification can't be switched off.
    ///
    /// # Errors
    /// No certificate among them, or a limit out of range.
    pub fn new(trust_roots: &[u8], alpn: &[u8], limits: Limits) -> Result<Self, SettingsError> {
        let mut quinn = quinn_proto::ClientConfig::new(tls::client(trust_roots, alpn)?);
        quinn.transport_config(Arc::new(transport(&limits)?));
        quinn.version(VERSION_1);
        let mut endpoint = endpoint_config();
        // One socket per connection needs no id to tell connections apart (protocol.md §4).
        endpoint.cid_generator(|| Box::new(quinn_proto::RandomConnectionIdGenerator::new(0)));
        Ok(Self {
            quinn,
            endpoint: Arc::new(endpoint),
            limits,
        })
    }
}

/// An edge's side; made once, shared by all its connections.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(crate) quinn: Arc<quinn_proto::ServerConfig>,
    pub(crate) limits: Limits,
}

impl ServerConfig {
    /// Answer with this PEM certificate chain, leaf first, and its PEM key (PKCS #8).
    ///
    /// # Errors
    /// Certificates and key don't fit, or a limit is out of range.
    pub fn new(
        certificate_chain: &[u8],
        private_key: &[u8],
        alpn: &[u8],
        limits: Limits,
    ) -> Result<Self, SettingsError> {
        let crypto = tls::server(certificate_chain, private_key, alpn)?;
        let mut quinn = quinn_proto::ServerConfig::with_crypto(crypto);
        quinn.transport_config(Arc::new(transport(&limits)?));
        quinn.migration(false); // whose a datagram is was decided before it comes here
        Ok(Self {
            quinn: Arc::new(quinn),
            limits,
        })
    }
}

/// What every endpoint of ours says of itself.
pub(crate) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config
        .supported_versions(vec![VERSION_1])
        .grease_quic_bit(false)
        .max_udp_payload_size(MAX_UDP_PAYLOAD)
        .expect("1452 is in range");
    config
}

fn transport(limits: &Limits) -> Result<TransportConfig, SettingsError> {
    let idle = Duration::try_from_secs_f64(limits.idle_timeout)
        .ok()
        .and_then(|idle| IdleTimeout::try_from(idle).ok())
        .ok_or(SettingsError::Range("idle_timeout"))?;
    let window = |value: u64, name| VarInt::from_u64(value).map_err(|_| SettingsError::Range(name));
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MAX_UDP_PAYLOAD);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .stream_receive_window(window(limits.stream_window, "stream_window")?)
        .receive_window(window(limits.connection_window, "connection_window")?)
        .max_concurrent_bidi_streams(initial_streams(limits))
        // Neither side of the tunnel protocol uses unidirectional streams (protocol.md §4).
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .initial_mtu(INITIAL_MTU)
        .mtu_discovery_config(Some(discovery))
        .datagram_receive_buffer_size(Some(MAX_DATAGRAM_FRAME))
        .allow_spin(false);
    Ok(transport)
}

/// quinn-proto keeps a place for each stream that the peer may open, so a million is not granted at
/// once: the engine raises the limit as streams are used.
fn initial_streams(limits: &Limits) -> VarInt {
    VarInt::from_u64(limits.max_streams.min(FIRST_STREAMS)).expect("4096 is in range")
}

pub(crate) const FIRST_STREAMS: u64 = 4096;
pub(crate) const VERSION_1: u32 = 1; // RFC 9000
const INITIAL_MTU: u16 = 1232; // bytes; protocol.md §4, the smaller of both address families'
const MAX_UDP_PAYLOAD: u16 = 1452; // bytes; protocol.md §4
const MAX_DATAGRAM_FRAME: usize = 16383; // bytes; protocol.md §4 (RFC 9221)
