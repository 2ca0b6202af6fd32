//! Whom a client takes for the server that it means.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::certificate::{Facts, MAX_PINNED_VALIDITY, Moment, fingerprint};
use super::{config_error, provider, roots};
use crate::error::ConfigError;

/// How a client decides whom it talks to
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verification {
    /// By the system's root certificates
    System,
    /// By these root certificates, DER
    Roots(Vec<Vec<u8>>),
    /// By the SHA-256 of the leaf, which must be valid now, whatever its name and issuer; an empty list trusts nobody
    Pinned(Vec<[u8; 32]>),
    /// The same as browsers do it: the key must be ECDSA P-256, and the validity no longer than 14 days (W3C WebTransport)
    PinnedW3c(Vec<[u8; 32]>),
    /// Not at all: anyone on the path can read and change everything
    Dangerous,
}

/// Why the last certificate was refused, in plain words
///
/// TLS carries no more than an alert, and what rustls makes of an error is for developers. A handshake is refused while a
/// datagram is handled, so whoever asks right after that asks about the right one.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastRefusal(Arc<Mutex<Option<String>>>);

impl LastRefusal {
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, words: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }
}

#[derive(Debug)]
enum Trust {
    Roots(Arc<WebPkiServerVerifier>),
    Pins {
        hashes: Vec<[u8; 32]>,
        w3c: bool,
    },
    Everyone,
    /// There are no roots to trust
    Nobody,
}

/// Why a certificate was refused by our own rules
#[derive(Clone, PartialEq, Eq, Debug)]
enum Refusal {
    NotPinned([u8; 32]),
    Unreadable,
    NotYetValid(Moment),
    Expired(Moment),
    NotP256,
    ValidTooLong { seconds: i64 },
    NoRoots,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned(hash) => {
                f.write_str("certificate is not pinned: its SHA-256 is ")?;
                hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Unreadable => f.write_str("certificate cannot be read"),
            Self::NotYetValid(from) => write!(f, "certificate is not valid before {from}"),
            Self::Expired(until) => write!(f, "certificate has expired: it was valid until {until}"),
            Self::NotP256 => f.write_str("certificate breaks the W3C's rules for pinning: its key is not ECDSA P-256"),
            Self::ValidTooLong { seconds } => {
                let days = *seconds as f64 / 86_400.0;
                write!(f, "certificate breaks the W3C's rules for pinning: it is valid for {days:.1} days, and 14 is the most")
            }
            Self::NoRoots => f.write_str("the system has no root certificates to verify the server by"),
        }
    }
}

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotPinned(_) => Self::ApplicationVerificationFailure,
            Refusal::Unreadable => Self::BadEncoding,
            Refusal::NotYetValid(_) => Self::NotValidYet,
            Refusal::Expired(_) => Self::Expired,
            Refusal::NoRoots => Self::UnknownIssuer,
            refusal @ (Refusal::NotP256 | Refusal::ValidTooLong { .. }) => Self::Other(OtherError(Arc::new(refusal))),
        }
    }
}

/// rustls asks it about every server; the server must own the key of the certificate that it shows in any case
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    refusal: LastRefusal,
}

impl Verifier {
    pub(super) fn new(verification: Verification, refusal: LastRefusal) -> Result<Self, ConfigError> {
        let trust = match verification {
            Verification::System => trust_roots(system_roots())?,
            Verification::Roots(certificates) => trust_roots(roots("ca_certificates", certificates)?)?,
            Verification::Pinned(hashes) => Trust::Pins { hashes, w3c: false },
            Verification::PinnedW3c(hashes) => Trust::Pins { hashes, w3c: true },
            Verification::Dangerous => Trust::Everyone,
        };
        Ok(Self { trust, algorithms: provider().signature_verification_algorithms, refusal })
    }
}

fn trust_roots(roots: RootCertStore) -> Result<Trust, ConfigError> {
    if roots.is_empty() {
        return Ok(Trust::Nobody);
    }
    Ok(Trust::Roots(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(config_error)?))
}

/// Every root that can be read
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn check_pin(certificate: &[u8], hashes: &[[u8; 32]], w3c: bool, now: UnixTime) -> Result<(), Refusal> {
    let hash = fingerprint(certificate);
    if !hashes.contains(&hash) {
        return Err(Refusal::NotPinned(hash));
    }
    let Facts { not_before, not_after, is_p256 } = Facts::read(certificate).ok_or(Refusal::Unreadable)?;
    let now = Moment(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let seconds = not_after.0 - not_before.0;
    match () {
        () if now < not_before => Err(Refusal::NotYetValid(not_before)),
        () if now > not_after => Err(Refusal::Expired(not_after)),
        () if w3c && !is_p256 => Err(Refusal::NotP256),
        () if w3c && seconds > MAX_PINNED_VALIDITY.as_secs() as i64 => Err(Refusal::ValidTooLong { seconds }),
        () => Ok(()),
    }
}

/// What rustls says, in our words where it counts seconds
fn in_words(error: &rustls::Error) -> String {
    let moment = |at: &UnixTime| Moment(i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            Refusal::Expired(moment(not_after)).to_string()
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            Refusal::NotYetValid(moment(not_before)).to_string()
        }
        // The others: a root of the issuer's name has another key
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "certificate is from an unknown issuer: none of the trusted roots has signed it".into(),
        error => error.to_string(),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refusal = match &self.trust {
            Trust::Roots(roots) => {
                let verified = roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                return verified.inspect_err(|error| self.refusal.set(in_words(error)));
            }
            Trust::Pins { hashes, w3c } => check_pin(end_entity, hashes, *w3c, now),
            Trust::Everyone => Ok(()),
            Trust::Nobody => Err(Refusal::NoRoots),
        };
        refusal.map(|()| ServerCertVerified::assertion()).map_err(|refusal| {
            self.refusal.set(refusal.to_string());
            CertificateError::from(refusal).into()
        })
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
    use std::time::{Duration, SystemTime};

    use rcgen::{CertificateParams, KeyPair};

    use super::super::certificate::generate_self_signed;
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_pinned_certificate_must_be_valid_now() {
        let (certificate, _) = generate_self_signed(&["a.test".into()], SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).unwrap();
        let hashes = [fingerprint(&certificate)];
        let check = |now| check_pin(&certificate, &hashes, true, at(now));
        let (start, end) = (NOW - 3600, NOW - 3600 + 14 * 24 * 3600 - 60);
        assert_eq!(check(start), Ok(()));
        assert_eq!(check(end), Ok(()));
        assert_eq!(check(start - 1), Err(Refusal::NotYetValid(Moment(start as i64))));
        assert_eq!(check(end + 1), Err(Refusal::Expired(Moment(end as i64))));
        assert_eq!(check(end + 1).unwrap_err().to_string(), "certificate has expired: it was valid until 2023-11-28 21:12:20 UTC");
        assert_eq!(check_pin(&certificate, &[], false, at(NOW)), Err(Refusal::NotPinned(hashes[0])));
    }

    #[test]
    fn the_w3c_wants_p256_and_two_weeks() {
        let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let make = |algorithm, days: u64| {
            let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
            params.not_before = not_before.into();
            params.not_after = (not_before + Duration::from_secs(days * 24 * 3600)).into();
            params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec()
        };
        let check = |certificate: &[u8], w3c| check_pin(certificate, &[fingerprint(certificate)], w3c, at(NOW));
        for (certificate, refusal) in [
            (make(&rcgen::PKCS_ECDSA_P256_SHA256, 14), None),
            (make(&rcgen::PKCS_ECDSA_P256_SHA256, 15), Some(Refusal::ValidTooLong { seconds: 15 * 24 * 3600 })),
            (make(&rcgen::PKCS_ECDSA_P384_SHA384, 14), Some(Refusal::NotP256)),
            (make(&rcgen::PKCS_ED25519, 14), Some(Refusal::NotP256)),
        ] {
            assert_eq!(check(&certificate, true).err(), refusal);
            assert_eq!(check(&certificate, false), Ok(()));
        }
        assert_eq!(check(b"no certificate", false), Err(Refusal::Unreadable));
    }
}
