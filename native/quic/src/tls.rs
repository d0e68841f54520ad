//! TLS 1.3 as protocol.md §3 asks for it, the same as the base engine's.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::settings::SettingsError;

/// A client that trusts these PEM certificates alone.
pub(crate) fn client(
    trust_roots: &[u8],
    alpn: &[u8],
) -> Result<Arc<QuicClientConfig>, SettingsError> {
    let mut roots = RootCertStore::empty();
    let parsed = CertificateDer::pem_slice_iter(trust_roots).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(parsed);
    if added == 0 {
        return Err(SettingsError::NoTrustRoots);
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled(); // 0-RTT is not used (protocol.md §4)
    Ok(Arc::new(
        QuicClientConfig::try_from(config).expect("the provider has AES-128-GCM"),
    ))
}

/// A server with this PEM certificate chain and key.
pub(crate) fn server(
    certificate_chain: &[u8],
    private_key: &[u8],
    alpn: &[u8],
) -> Result<Arc<QuicServerConfig>, SettingsError> {
    let unusable = |error: &dyn std::fmt::Display| SettingsError::Certificate(error.to_string());
    let chain = CertificateDer::pem_slice_iter(certificate_chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(
        QuicServerConfig::try_from(config).expect("the provider has AES-128-GCM"),
    ))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_groups_are_those_of_the_protocol_the_post_quantum_one_first() {
        let groups: Vec<_> = provider()
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        assert_eq!(groups[0], NamedGroup::X25519MLKEM768); // cloudflared's only key share
        assert!(groups.contains(&NamedGroup::secp256r1));
    }
}
