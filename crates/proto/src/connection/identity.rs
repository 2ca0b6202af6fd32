//! What TLS knows: who the peer is, why we refused it, and secrets that only the two of us share.

use quinn_proto::{ConnectionError, StreamId, TransportError};
use rustls::pki_types::CertificateDer;

use super::Connection;
use crate::tls::LastRefusal;

/// RFC 5705 §4: what sets our exports apart from others'
const EXPORTER_LABEL: &[u8] = b"EXPORTER-WebTransport";

impl Connection {
    /// What the peer proved itself with, the leaf first; nothing if it did not
    pub(crate) fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let identity = self.quic.crypto_session().peer_identity();
        let chain = identity.and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.into_iter().flat_map(|chain| *chain).map(|certificate| certificate.to_vec()).collect()
    }

    /// `length` bytes that both sides of a session can compute, and nobody else (WT §4.8); `None` if the session is over
    pub(crate) fn export_keying_material(&self, session: StreamId, label: &[u8], context: &[u8], length: usize) -> Option<Vec<u8>> {
        self.sessions.get(&session).filter(|session| session.is_open())?;
        let context = exporter_context(session, label, context);
        let mut output = vec![0; length];
        self.quic.crypto_session().export_keying_material(&mut output, EXPORTER_LABEL, &context).ok()?;
        Some(output)
    }

    /// The end of a connection, with the words of our verifier in place of rustls's, which are for developers
    pub(super) fn in_plain_words(&self, reason: &ConnectionError) -> ConnectionError {
        match (reason, self.refusal.as_ref().and_then(LastRefusal::take)) {
            (ConnectionError::TransportError(error), Some(words)) => TransportError { reason: words, ..error.clone() }.into(),
            (reason, _) => reason.clone(),
        }
    }
}

/// The session, and then label and context with their lengths before them; each of the two fits into 255 bytes
fn exporter_context(session: StreamId, label: &[u8], context: &[u8]) -> Vec<u8> {
    let mut bytes = u64::from(quinn_proto::VarInt::from(session)).to_be_bytes().to_vec();
    for part in [label, context] {
        let part = &part[..part.len().min(255)];
        bytes.push(part.len() as u8);
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use quinn_proto::{Dir, Side};

    use super::*;

    #[test]
    fn the_exporters_context_is_that_of_the_draft() {
        let session = |index| StreamId::new(Side::Client, Dir::Bi, index);
        assert_eq!(exporter_context(session(0), b"a", b""), b"\0\0\0\0\0\0\0\0\x01a\0");
        assert_eq!(exporter_context(session(1), b"foo", b"bar"), b"\0\0\0\0\0\0\0\x04\x03foo\x03bar");
    }
}
