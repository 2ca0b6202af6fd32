//! Which of a client's connections sessions may share: those to one address that proved one name.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use crate::event::ConnectionId;

/// What sessions of one connection have in common: the server's address, and the name that its certificate carries
pub(crate) type Key = (SocketAddr, String);

/// The connections that were made to be shared, the oldest first
#[derive(Debug, Default)]
pub(crate) struct Pool(FxHashMap<Key, Vec<ConnectionId>>);

impl Pool {
    pub(crate) fn insert(&mut self, key: Key, id: ConnectionId) {
        self.0.entry(key).or_default().push(id);
    }

    pub(crate) fn of(&self, key: &Key) -> &[ConnectionId] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn remove(&mut self, key: &Key, id: ConnectionId) {
        let Some(connections) = self.0.get_mut(key) else { return };
        connections.retain(|&other| other != id);
        if connections.is_empty() {
            self.0.remove(key);
        }
    }
}
