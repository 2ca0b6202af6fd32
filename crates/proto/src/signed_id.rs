//! Connection ids that their maker knows again, also after a restart.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid, RandomConnectionIdGenerator};
use ring::hmac;

/// Bytes of chance: a Retry names an id of which quinn does not look whether some connection has it already, and then that one swallows
/// all that the client sends. With three bytes, as quinn has them, it befell one of some thousand clients beside as many connections.
const NONCE: usize = 5;

/// Bytes that prove who made it: a stray packet passes for an answer to ours once in sixteen million
const SIGNATURE: usize = 3;

/// Makes connection ids: chance, and a signature of it
pub(crate) struct SignedIds(pub(crate) hmac::Key);

impl SignedIds {
    fn sign(&self, nonce: &[u8]) -> [u8; SIGNATURE] {
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&hmac::sign(&self.0, nonce).as_ref()[..SIGNATURE]);
        signature
    }
}

impl ConnectionIdGenerator for SignedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let nonce = RandomConnectionIdGenerator::new(NONCE).generate_cid();
        ConnectionId::new(&[&nonce[..], &self.sign(&nonce)].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match id.split_at_checked(NONCE) {
            Some((nonce, signature)) if self.sign(nonce) == signature => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        NONCE + SIGNATURE
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ids(key: u8) -> SignedIds {
        SignedIds(hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]))
    }

    #[test]
    fn ids_are_known_again_by_whoever_has_the_key() {
        let id = ids(1).generate_cid();
        assert_eq!(id.len(), ids(1).cid_len());
        assert!(ids(1).validate(&id).is_ok());
        assert!(ids(2).validate(&id).is_err());
        assert!(ids(1).validate(&ConnectionId::new(&id[..4])).is_err());
    }

    #[test]
    fn thousands_of_ids_are_all_different() {
        let mut ids = ids(1);
        let all: HashSet<Vec<u8>> = (0..10_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert_eq!(all.len(), 10_000);
    }
}
