//! The edge: UDP ports where connectors dial in, register, and are told apart.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;

use crate::command::Event;
use crate::output::say;
use crate::rpc::{Asked, ControlStream};

/// Everything that dialled in and has not gone.
#[derive(Clone, Default)]
pub struct Edge {
    registered: Arc<Mutex<Vec<(usize, Connection)>>>,
    dialled: Arc<Mutex<usize>>,
}

impl Edge {
    /// Listen on `count` UDP ports of 127.0.0.1 that the system picks; which they are.
    ///
    /// # Errors
    /// The PEM files can't be used.
    pub fn listen(&self, count: usize, certificate: &Path, key: &Path) -> Result<Vec<u16>> {
        let config = server_config(certificate, key)?;
        let mut ports = Vec::new();
        for _ in 0..count {
            let socket = bound_socket()?;
            ports.push(socket.local_addr()?.port());
            let endpoint = Endpoint::new(
                EndpointConfig::default(),
                Some(config.clone()),
                socket,
                Arc::new(TokioRuntime),
            )?;
            tokio::spawn(self.clone().accept(endpoint));
        }
        Ok(ports)
    }

    /// The first `count` registered connections, or all of them for 0.
    pub fn connections(&self, count: usize) -> Vec<Connection> {
        let registered = lock(&self.registered);
        let count = if count == 0 { registered.len() } else { count };
        registered
            .iter()
            .take(count)
            .map(|(_, connection)| connection.clone())
            .collect()
    }

    async fn accept(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let number = {
                let mut dialled = lock(&self.dialled);
                *dialled += 1;
                *dialled - 1
            };
            tokio::spawn(self.clone().serve(incoming, number));
        }
    }

    async fn serve(self, incoming: Incoming, number: usize) {
        let reason = match self.serve_connection(incoming, number).await {
            Ok(()) => "the control stream ended".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        lock(&self.registered).retain(|(registered, _)| *registered != number);
        say(&Event::Closed {
            connection: number,
            reason,
        });
    }

    async fn serve_connection(&self, incoming: Incoming, number: usize) -> Result<()> {
        let connection = incoming.await?;
        // The connector's first stream is the control stream; of later ones nothing is wanted.
        let (send, recv) = connection.accept_bi().await?;
        self.serve_control(send, recv, &connection, number).await?;
        connection.closed().await;
        Ok(())
    }

    async fn serve_control(
        &self,
        mut send: SendStream,
        mut recv: RecvStream,
        connection: &Connection,
        number: usize,
    ) -> Result<()> {
        let mut control = ControlStream::default();
        while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
            let asked = control.receive(&chunk.bytes)?;
            send.write_all(&control.take_answers()).await?;
            for question in asked {
                match question {
                    Asked::Register(conn_index) => {
                        lock(&self.registered).push((number, connection.clone()));
                        say(&Event::Registered {
                            connection: number,
                            conn_index,
                        });
                    }
                    Asked::Unregister => {
                        lock(&self.registered).retain(|(registered, _)| *registered != number);
                        say(&Event::Unregistered { connection: number });
                    }
                    Asked::Other => {}
                }
            }
        }
        Ok(())
    }
}

/// The transport of both ends that are ours: an edge with room, in everything else like cloudflared
/// (protocol.md section 4).
pub fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("a short time")))
        .max_concurrent_bidi_streams(VarInt::from_u32(1 << 20))
        .stream_receive_window(VarInt::from_u32(6 << 20))
        .receive_window(VarInt::from_u32(30 << 20))
        // More than a connector's window, or a small request waits until a bulk transfer leaves room.
        .send_window(64 << 20)
        .initial_mtu(1232)
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    transport
}

/// A socket whose buffers hold what a burst brings.
///
/// # Errors
/// The system has none to give.
pub fn bound_socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let options = SockRef::from(&socket);
    options.set_recv_buffer_size(SOCKET_BUFFER)?; // the system gives less where it limits it
    options.set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(socket)
}

fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{} is no PEM file of certificates", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{} is no PEM file of a private key", key.display()))?;
    let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one protocol of a connector (protocol.md section 3).
pub const ALPN: &[u8] = b"argotunnel";
const IDLE_TIMEOUT: Duration = Duration::from_secs(5); // the edge's: protocol.md section 4
const SOCKET_BUFFER: usize = 7 << 20; // bytes

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;
    use rustls::crypto::aws_lc_rs::default_provider;

    #[test]
    fn every_connector_finds_its_key_share() {
        // protocol.md section 3: cloudflared offers the first alone, others the second.
        let offered: Vec<_> = default_provider()
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        for group in [NamedGroup::X25519MLKEM768, NamedGroup::secp256r1] {
            assert!(offered.contains(&group), "{group:?} of {offered:?}");
        }
    }
}
