//! A client's attempts: on a connection that is there and has room, else on one of their own.

use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{ConnectionIdGenerator, RandomConnectionIdGenerator};

use super::Endpoint;
use crate::connection::{Connection, Moved, Target};
use crate::error::ConnectError;
use crate::event::{ConnectId, ConnectionId, Event};
use crate::pool::Key;

/// Bytes of the connection id that a client makes up for the server: as many as fit, so that no two are the same
const INITIAL_ID_LEN: usize = 20;

impl Endpoint {
    /// Ask a server for a session; `SessionEstablished` or `ConnectFailed` will answer
    pub fn connect(&mut self, now: Instant, connect: ConnectId, target: Target) {
        let shared = target.pool_key().and_then(|key| self.with_room(&key));
        match shared.and_then(|index| self.slot(index).map(|connection| (index, connection))) {
            Some((index, connection)) => {
                let id = connection.id;
                connection.connect(now, connect, target);
                self.attempts.insert(connect, id);
                self.drive(now, index);
            }
            None => self.connect_anew(now, connect, target),
        }
    }

    /// A shared connection that has room for one more session
    fn with_room(&mut self, key: &Key) -> Option<u32> {
        let has_room = |id: &&ConnectionId| self.connection(**id).is_some_and(Connection::has_room);
        self.pool.of(key).iter().find(has_room).map(|id| id.index)
    }

    /// Ask for a session on a connection of its own, which others may share
    fn connect_anew(&mut self, now: Instant, connect: ConnectId, target: Target) {
        let fail = |error| Event::ConnectFailed { connect, error };
        let Some(tls) = self.client.as_ref().filter(|_| !self.closed) else {
            return self.events.push_back(fail(ConnectError::Closed));
        };
        let mut config = quinn_proto::ClientConfig::new(Arc::clone(&tls.quic) as _);
        // Chosen here, because both sides' logs are called after it
        let id = RandomConnectionIdGenerator::new(INITIAL_ID_LEN).generate_cid();
        config.initial_dst_cid_provider(Arc::new(move || id));
        config.transport_config(self.transport(now, target.remote.ip(), &id, "client"));
        let refusal = tls.refusal.clone();
        match self.quic.connect(now, config, target.remote, &target.server_name) {
            Ok((handle, quic)) => {
                let index = self.insert(handle, quic);
                let key = target.pool_key();
                if let Some(connection) = self.slot(index) {
                    let id = connection.id;
                    connection.pool_key = key.clone().map(Box::new);
                    connection.refusal = Some(refusal);
                    connection.connect(now, connect, target);
                    self.attempts.insert(connect, id);
                    if let Some(key) = key {
                        self.pool.insert(key, id);
                    }
                }
                self.drive(now, index);
            }
            Err(error) => self.events.push_back(fail(ConnectError::Failed(error.to_string()))),
        }
    }

    /// Find another connection for attempts that have no room on this one
    pub(super) fn move_connects(&mut self, now: Instant, index: u32) {
        let moved = self.slot(index).map(|connection| std::mem::take(&mut connection.moved)).unwrap_or_default();
        for Moved { connect, target, may_share } in moved {
            match may_share {
                true => self.connect(now, connect, target),
                false => self.connect_anew(now, connect, target),
            }
        }
    }

    /// Give up an attempt; nothing answers. A session that it has already made is not touched.
    pub fn cancel_connect(&mut self, now: Instant, connect: ConnectId) {
        if let Some(id) = self.attempts.remove(&connect)
            && let Some(connection) = self.slot_of(id)
        {
            connection.cancel_connect(now, connect);
            self.drive(now, id.index);
        }
    }
}
