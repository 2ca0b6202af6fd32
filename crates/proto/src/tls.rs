//! Certificates and whom to trust: everything that `rustls` must be told.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::ConfigError;

/// RFC 9114 §3.1
const ALPN: &[u8] = b"h3";

/// The longest validity with which browsers accept a certificate by its hash (W3C WebTransport, "custom certificate requirements")
const VALIDITY: Duration = Duration::from_secs(14 * 24 * 3600 - 60);

/// How far the clocks of two machines may differ before a certificate made now is not valid yet
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// What a server proves itself with
#[derive(Clone)]
pub struct ServerTls(pub(crate) Arc<QuicServerConfig>);

impl ServerTls {
    /// Take a chain of DER certificates, leaf first, and the leaf's private key as DER (PKCS#8, PKCS#1 or SEC 1)
    ///
    /// # Errors
    /// Says what is wrong: no chain, a certificate or key that cannot be read, or two that do not belong together.
    pub fn new(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError("certificate chain is empty".into()));
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(key).map_err(|_| ConfigError("private key is not valid DER".into()))?;
        let key = CertifiedKey::from_der(chain, key.clone_key(), &provider()).map_err(|error| {
            ConfigError(match error {
                rustls::Error::InconsistentKeys(_) => "private key does not match the certificate".into(),
                rustls::Error::InvalidCertificate(_) => format!("certificate chain cannot be read: {error}"),
                error => format!("private key cannot be used: {error}"),
            })
        })?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![ALPN.into()];
        Ok(Self(Arc::new(QuicServerConfig::try_from(config).map_err(config_error)?)))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// How a client decides whom it talks to
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verification {
    /// By the system's root certificates
    System,
    /// By the SHA-256 of the leaf, whatever its name and issuer; an empty list trusts nobody
    Pinned(Vec<[u8; 32]>),
    /// Not at all: anyone on the path can read and change everything
    Dangerous,
}

/// Whom a client trusts
#[derive(Clone)]
pub struct ClientTls(pub(crate) Arc<QuicClientConfig>);

impl ClientTls {
    /// Prepare what every connection of a client shares
    ///
    /// # Errors
    /// The system has no root certificates that can be read.
    pub fn new(verification: Verification) -> Result<Self, ConfigError> {
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?;
        let mut config = match verification {
            Verification::System => builder.with_root_certificates(system_roots()),
            other => builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(other))),
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.into()];
        Ok(Self(Arc::new(QuicClientConfig::try_from(config).map_err(config_error)?)))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Make a certificate that browsers accept by its hash: ECDSA P-256, for 14 days at most
///
/// Each name is an IP address where it parses as one, else a DNS name. Returns the certificate's DER and the key's PKCS#8 DER.
///
/// # Errors
/// No name at all, or one that is neither.
pub fn generate_self_signed(names: &[String], now: SystemTime) -> Result<(Vec<u8>, Vec<u8>), ConfigError> {
    let Some(first) = names.first() else {
        return Err(ConfigError("subject_alt_names must not be empty".into()));
    };
    for name in names {
        // "*.example.org" stands for one label (RFC 6125 §6.4.3)
        let host = name.strip_prefix("*.").unwrap_or(name);
        if name.parse::<IpAddr>().is_err() && DnsName::try_from(host).is_err() {
            return Err(ConfigError(format!("subject_alt_names: {name:?} is neither an IP address nor a DNS name")));
        }
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(config_error)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(config_error)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    let start = now - CLOCK_SKEW;
    params.not_before = start.into();
    params.not_after = (start + VALIDITY).into();
    let certificate = params.self_signed(&key).map_err(config_error)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

/// The SHA-256 of a certificate's DER, as browsers take it in `serverCertificateHashes`
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config_error(error: impl fmt::Display) -> ConfigError {
    ConfigError(error.to_string())
}

/// Every root that can be read; with none, each handshake fails with "unknown issuer", which says it best
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Trust by hash, or trust in everyone; either way the peer must own the key of the certificate that it shows
#[derive(Debug)]
struct Verifier {
    verification: Verification,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(verification: Verification) -> Self {
        Self { verification, algorithms: provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.verification {
            Verification::Pinned(hashes) if !hashes.contains(&fingerprint(end_entity)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // QUIC forbids TLS 1.2 (RFC 9001 §4.2)
        Err(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_generated_certificate_serves() {
        let (certificate, key) =
            generate_self_signed(&names(&["localhost", "::1", "*.a.test"]), SystemTime::UNIX_EPOCH + VALIDITY).unwrap();
        ServerTls::new(vec![certificate], &key).unwrap();
    }

    #[test]
    fn names_are_checked() {
        let now = SystemTime::UNIX_EPOCH + VALIDITY;
        assert!(generate_self_signed(&[], now).unwrap_err().0.contains("must not be empty"));
        for bad in ["", "a b", "-a.test", "exämple", "a..b"] {
            assert!(generate_self_signed(&names(&[bad]), now).unwrap_err().0.contains("neither"), "{bad}");
        }
    }

    #[test]
    fn a_bad_identity_says_what_is_wrong() {
        let now = SystemTime::UNIX_EPOCH + VALIDITY;
        let (certificate, key) = generate_self_signed(&names(&["a.test"]), now).unwrap();
        let (_, other) = generate_self_signed(&names(&["a.test"]), now).unwrap();
        let error = |chain: Vec<Vec<u8>>, key: &[u8]| ServerTls::new(chain, key).unwrap_err().0;
        assert!(error(vec![], &key).contains("empty"));
        assert!(error(vec![certificate.clone()], b"junk").contains("private key"));
        assert!(error(vec![certificate], &other).contains("does not match"));
        assert!(error(vec![b"junk".to_vec()], &key).contains("certificate"));
    }
}
