//! A connector that does as little as can be: measured through it, the generator shows its ceiling.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::edge::{ALPN, bound_socket, transport};
use crate::head::{Kind, decode_request, encode_response};
use crate::vectors::{REGISTRATION, bytes};

/// Dial, register, and answer until the edge goes away.
///
/// # Errors
/// The edge can't be reached, or shows another certificate.
pub async fn run(edge: SocketAddr, ca: &Path) -> Result<()> {
    let mut endpoint = Endpoint::new(
        EndpointConfig::default(),
        None,
        bound_socket()?,
        Arc::new(TokioRuntime),
    )?;
    debug_assert_eq!(endpoint.local_addr()?.ip(), Ipv4Addr::LOCALHOST);
    endpoint.set_default_client_config(client_config(ca)?);
    let connection = endpoint.connect(edge, "quic.cftunnel.com")?.await?;
    let (mut control, _answers) = connection.open_bi().await?;
    control.write_all(&bytes(REGISTRATION)).await?;
    let app = Arc::new(App::default());
    while let Ok((send, recv)) = connection.accept_bi().await {
        let app = app.clone();
        tokio::spawn(async move {
            let _ = app.answer(send, recv).await; // a visitor who goes away is none of our business
        });
    }
    Ok(())
}

/// The paths of the benchmarks' app (bench/app.py).
#[derive(Default)]
struct App {
    received: AtomicU64,
}

impl App {
    async fn answer(&self, mut send: SendStream, mut recv: RecvStream) -> Result<()> {
        let (kind, path, rest) = read_head(&mut recv).await?;
        if kind == Kind::Websocket {
            send.write_chunk(encode_response(101, &[]).into()).await?;
            return echo(send, recv).await;
        }
        send.write_chunk(encode_response(200, &[]).into()).await?;
        match path.as_str() {
            "/endless" => loop {
                send.write_chunk(Bytes::from_static(&BLOCK)).await?;
            },
            "/sink" => {
                self.received
                    .fetch_add(rest.len() as u64, Ordering::Relaxed);
                while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
                    self.received
                        .fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                }
            }
            "/received" => {
                let text = self.received.load(Ordering::Relaxed).to_string();
                send.write_chunk(text.into()).await?;
            }
            _ => send.write_chunk(Bytes::from_static(&BLOCK[..100])).await?,
        }
        send.finish()?;
        Ok(())
    }
}

async fn read_head(recv: &mut RecvStream) -> Result<(Kind, String, Vec<u8>)> {
    let mut buffer = Vec::new();
    loop {
        let chunk = recv
            .read_chunk(usize::MAX, true)
            .await?
            .context("no request")?;
        buffer.extend_from_slice(&chunk.bytes);
        if let Some((kind, dest, size)) = decode_request(&buffer)? {
            let path = dest.splitn(4, '/').nth(3).unwrap_or_default();
            return Ok((kind, format!("/{path}"), buffer.split_off(size)));
        }
    }
}

/// Unmask each frame of a small message and send it back.
async fn echo(mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
        buffer.extend_from_slice(&chunk.bytes);
        while let [first, second, rest @ ..] = buffer.as_slice() {
            let size = usize::from(second & 127);
            anyhow::ensure!(size < 126, "a message of more than 125 bytes");
            let Some((mask, payload)) = rest
                .get(..4 + size)
                .and_then(|rest| rest.split_at_checked(4))
            else {
                break;
            };
            let mut frame = vec![*first, size as u8];
            frame.extend(
                payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(byte, mask)| byte ^ mask),
            );
            send.write_chunk(frame.into()).await?;
            buffer.drain(..6 + size);
        }
    }
    Ok(())
}

fn client_config(ca: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = transport();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

const KEEP_ALIVE: Duration = Duration::from_secs(1); // protocol.md section 4
static BLOCK: [u8; 64 << 10] = [b'd'; 64 << 10];
