//! Who we are, and whom we trust: everything that `rustls` must be told.

mod certificate;
pub mod pem;
mod provider;
mod verify;

use std::fmt;
use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use ring::hkdf;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

pub use rustls::KeyLog;

pub use self::certificate::{fingerprint, generate_self_signed, generate_self_signed_for};
use self::provider::provider;
pub use self::verify::Verification;
use crate::error::ConfigError;

pub(crate) use self::verify::LastRefusal;

/// RFC 9114 §3.1
const ALPN: &[u8] = b"h3";

/// A chain of certificates, leaf first, and the leaf's private key: they were found to belong together
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    secret: [u8; 32],
}

impl Identity {
    /// Take a chain of DER certificates, leaf first, and the leaf's private key as DER (PKCS#8, PKCS#1 or SEC 1)
    ///
    /// # Errors
    /// Says what is wrong: no chain, a certificate or key that cannot be read, or two that do not belong together.
    pub fn new(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError("certificate chain is empty".into()));
        }
        if chain.iter().any(|certificate| is_pem(certificate)) {
            return Err(ConfigError("certificate chain is PEM, not DER".into()));
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let private = PrivateKeyDer::try_from(key).map_err(|_| {
            let what = if is_pem(key) { "is PEM, not DER" } else { "is not valid DER" };
            ConfigError(format!("private key {what}"))
        })?;
        let certified = CertifiedKey::from_der(chain, private.clone_key(), &provider()).map_err(|error| {
            ConfigError(match error {
                rustls::Error::InconsistentKeys(_) => "private key does not match the certificate".into(),
                rustls::Error::InvalidCertificate(_) => format!("certificate chain cannot be read: {error}"),
                error => format!("private key cannot be used: {error}"),
            })
        })?;
        Ok(Self { certified: Arc::new(certified), secret: derive(key, &[b"webtransport server secret"]) })
    }
}

/// What comes of a file that was read, but not decoded
fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity") // and not its key
    }
}

/// What a server asks of its clients, and who may read along; by default nothing, and nobody
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Roots, DER, that sign clients' certificates; `None`: clients are not asked for one
    pub client_roots: Option<Vec<Vec<u8>>>,
    /// A client without a certificate is refused
    pub require_client_certificate: bool,
    /// Where TLS writes down its secrets
    pub key_log: Option<Arc<dyn KeyLog>>,
}

/// What a server proves itself with
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) quic: Arc<QuicServerConfig>,
    /// Something that only the owner of the private key knows, and knows again after a restart
    pub(crate) secret: [u8; 32],
}

impl ServerTls {
    /// A server that proves itself with a chain and its key, as [`Identity::new`] takes them, and asks nothing of its clients
    ///
    /// # Errors
    /// Those of [`Identity::new`].
    pub fn new(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, ConfigError> {
        Self::with_options(&Identity::new(chain, key)?, &ServerOptions::default())
    }

    /// The same with more to say
    ///
    /// # Errors
    /// A root that cannot be read, or certificates that are required with nobody to sign them.
    pub fn with_options(identity: &Identity, options: &ServerOptions) -> Result<Self, ConfigError> {
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?;
        let builder = match &options.client_roots {
            None if options.require_client_certificate => {
                return Err(ConfigError("require_client_certificate needs client_ca_certificates".into()));
            }
            None => builder.with_no_client_auth(),
            Some(certificates) => {
                let roots = Arc::new(roots("client_ca_certificates", certificates.clone())?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if options.require_client_certificate { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(config_error)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(single(identity)));
        config.alpn_protocols = vec![ALPN.into()];
        if let Some(key_log) = &options.key_log {
            config.key_log = Arc::clone(key_log);
        }
        Ok(Self { quic: Arc::new(QuicServerConfig::try_from(config).map_err(config_error)?), secret: identity.secret })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// What a client proves itself with if it is asked, and who may read along; by default nothing, and nobody
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// The client's certificate
    pub identity: Option<Identity>,
    /// Where TLS writes down its secrets
    pub key_log: Option<Arc<dyn KeyLog>>,
}

/// Whom a client trusts
#[derive(Clone)]
pub struct ClientTls {
    pub(crate) quic: Arc<QuicClientConfig>,
    pub(crate) refusal: LastRefusal,
}

impl ClientTls {
    /// A client that does not prove itself
    ///
    /// # Errors
    /// A root certificate that cannot be read.
    pub fn new(verification: Verification) -> Result<Self, ConfigError> {
        Self::with_options(verification, &ClientOptions::default())
    }

    /// The same with more to say
    ///
    /// # Errors
    /// A root certificate that cannot be read.
    pub fn with_options(verification: Verification, options: &ClientOptions) -> Result<Self, ConfigError> {
        let refusal = LastRefusal::default();
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(config_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::Verifier::new(verification, refusal.clone())?));
        let mut config = match &options.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(single(identity))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.into()];
        if let Some(key_log) = &options.key_log {
            config.key_log = Arc::clone(key_log);
        }
        Ok(Self { quic: Arc::new(QuicClientConfig::try_from(config).map_err(config_error)?), refusal })
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// A key of 32 bytes from secret bytes, for the purpose that `info` names (RFC 5869)
pub(crate) fn derive(secret: &[u8], info: &[&[u8]]) -> [u8; 32] {
    let mut key = [0; 32];
    // SHA-256 gives 32 bytes: it fails only where more than 255 times that is asked for
    let _ = hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(secret)
        .expand(info, hkdf::HKDF_SHA256)
        .and_then(|key_material| key_material.fill(&mut key));
    key
}

fn single(identity: &Identity) -> SingleCertAndKey {
    SingleCertAndKey::from(Arc::clone(&identity.certified))
}

/// Roots to trust; `name` is the argument that they came in
fn roots(name: &str, certificates: Vec<Vec<u8>>) -> Result<RootCertStore, ConfigError> {
    if certificates.is_empty() {
        return Err(ConfigError(format!("{name} must not be empty")));
    }
    let mut roots = RootCertStore::empty();
    for (i, certificate) in certificates.into_iter().enumerate() {
        let error = |error| ConfigError(format!("{name}: number {i} is no certificate, in DER: {error}"));
        roots.add(CertificateDer::from(certificate)).map_err(error)?;
    }
    Ok(roots)
}

fn config_error(error: impl fmt::Display) -> ConfigError {
    ConfigError(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn generate(name: &str) -> (Vec<u8>, Vec<u8>) {
        generate_self_signed(&[name.to_owned()], SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap()
    }

    #[test]
    fn a_generated_certificate_serves() {
        for name in ["localhost", "::1", "*.a.test"] {
            let (certificate, key) = generate(name);
            ServerTls::new(vec![certificate], &key).unwrap();
        }
    }

    #[test]
    fn a_bad_identity_says_what_is_wrong() {
        let (certificate, key) = generate("a.test");
        let (_, other) = generate("a.test");
        let error = |chain: Vec<Vec<u8>>, key: &[u8]| Identity::new(chain, key).unwrap_err().0;
        assert!(error(vec![], &key).contains("empty"));
        assert!(error(vec![certificate.clone()], b"junk").contains("private key"));
        assert!(error(vec![certificate], &other).contains("does not match"));
        assert!(error(vec![b"junk".to_vec()], &key).contains("certificate"));
    }

    #[test]
    fn a_secret_stays_with_its_key() {
        let ((certificate, key), (other_certificate, other_key)) = (generate("a.test"), generate("a.test"));
        let secret = |certificate: &Vec<u8>, key: &[u8]| Identity::new(vec![certificate.clone()], key).unwrap().secret;
        assert_eq!(secret(&certificate, &key), secret(&certificate, &key));
        assert_ne!(secret(&certificate, &key), secret(&other_certificate, &other_key));
        assert_ne!(secret(&certificate, &key), [0; 32]);
        assert_ne!(derive(b"secret", &[b"one"]), derive(b"secret", &[b"two"]));
    }

    #[test]
    fn roots_are_checked() {
        let (root, key) = generate("a.test");
        let identity = Identity::new(vec![root.clone()], &key).unwrap();
        let client = |roots| ClientTls::new(Verification::Roots(roots)).map(drop);
        let server = |client_roots, require_client_certificate| {
            ServerTls::with_options(&identity, &ServerOptions { client_roots, require_client_certificate, key_log: None }).map(drop)
        };
        assert_eq!(client(vec![root.clone()]), Ok(()));
        assert!(client(vec![]).unwrap_err().0.contains("ca_certificates must not be empty"));
        assert!(client(vec![root.clone(), b"junk".to_vec()]).unwrap_err().0.contains("ca_certificates: number 1"));
        assert_eq!(server(Some(vec![root.clone()]), true), Ok(()));
        assert_eq!(server(Some(vec![root]), false), Ok(()));
        assert!(server(Some(vec![]), false).unwrap_err().0.contains("client_ca_certificates must not be empty"));
        assert!(server(None, true).unwrap_err().0.contains("needs client_ca_certificates"));
    }
}
