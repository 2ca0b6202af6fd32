//! The cryptography of every handshake: ring's, as QUIC needs it.

use std::sync::{Arc, LazyLock};

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider, ring};
use rustls::{CipherSuite, ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls13CipherSuite};

/// One for all endpoints
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = ring::default_provider();
        // As browsers have it: the key schedule is SHA-256, for which processors have instructions, and AES-128 is faster than AES-256
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        provider.cipher_suites =
            provider.cipher_suites.iter().filter_map(SupportedCipherSuite::tls13).map(without_records).collect();
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

fn without_records(suite: &'static Tls13CipherSuite) -> SupportedCipherSuite {
    // rustls wants suites that live for ever, as these few do
    SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
        common: CipherSuiteCommon { ..suite.common },
        aead_alg: Box::leak(Box::new(WithoutRecords(suite.aead_alg))),
        ..*suite
    })))
}

/// QUIC's packets take the place of TLS' records (RFC 9001 §4), and yet rustls makes keys for records too: with their tables a
/// kilobyte for each connection, and work in each handshake
struct WithoutRecords(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for WithoutRecords {
    fn encrypter(&self, _: AeadKey, _: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(NoRecords)
    }

    fn decrypter(&self, _: AeadKey, _: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(NoRecords)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// Nobody asks for it
struct NoRecords;

impl MessageEncrypter for NoRecords {
    fn encrypt(&mut self, _: OutboundPlainMessage<'_>, _: u64) -> Result<OutboundOpaqueMessage, Error> {
        Err(Error::EncryptError)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len
    }
}

impl MessageDecrypter for NoRecords {
    fn decrypt<'a>(&mut self, _: InboundOpaqueMessage<'a>, _: u64) -> Result<InboundPlainMessage<'a>, Error> {
        Err(Error::DecryptError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_keeps_a_key_for_records() {
        for suite in &provider().cipher_suites {
            let suite = suite.tls13().unwrap();
            let (key, iv) = (|| AeadKey::from([1; 32]), || Iv::from([2; 12]));
            assert!(suite.quic.is_some(), "{suite:?}");
            assert_eq!(size_of_val(&*suite.aead_alg.encrypter(key(), iv())), 0);
            assert_eq!(size_of_val(&*suite.aead_alg.decrypter(key(), iv())), 0);
        }
    }
}
