//! Sessions that share a client's connection, and those for which it has no room (WT §5).

use quinn_proto::StreamId;

use super::{Connection, Target};
use crate::code::H3Code;
use crate::event::ConnectId;
use crate::settings::Dialect;

/// An attempt to connect that must go on elsewhere
pub(crate) struct Moved {
    pub(crate) connect: ConnectId,
    pub(crate) target: Target,
    /// Another connection may have room; if not, it needs one of its own
    pub(crate) may_share: bool,
}

impl Connection {
    /// Whether one more session may come here, as far as is known: during the handshake it is hoped for
    pub(crate) fn has_room(&self) -> bool {
        let is_leaving = self.is_over() || self.ending.is_some() || self.goaway.is_some();
        !is_leaving && !self.full && self.sessions.len() + self.connects.len() < self.shared_limit()
    }

    /// Whether it is worth keeping without a session
    pub(super) fn is_shareable(&self) -> bool {
        self.pool_key.is_some() && self.peer.is_some() && self.goaway.is_none() && self.shared_limit() > 1
    }

    /// How many sessions both sides want here at once
    pub(super) fn shared_limit(&self) -> usize {
        let ours = self.config.max_sessions as usize;
        let Some(peer) = &self.peer else { return ours.max(1) };
        let theirs = match self.dialect {
            Some(Dialect::Draft16) if self.has_flow_control() => u64::MAX, // what is too much is told by H3_REQUEST_REJECTED
            Some(Dialect::Draft14) if self.has_flow_control() => peer.wt_max_sessions_draft13,
            Some(Dialect::Draft07) => peer.wt_max_sessions_draft07, // a number, and no flow control
            _ => 1,                                                 // WT §5.1: a client without flow control has one session
        };
        usize::try_from(theirs).unwrap_or(usize::MAX).clamp(1, ours.max(1))
    }

    /// There is no room for the attempts that wait
    pub(super) fn move_connects(&mut self) {
        let may_share = self.goaway.is_some() || self.shared_limit() > 1;
        let moved = self.connects.drain(..).map(|(connect, target)| Moved { connect, target, may_share });
        self.moved.extend(moved);
    }

    /// The server did not process a request: it may be made again, elsewhere (RFC 9114 §4.1.1). False if it may not, for it
    /// had the connection to itself.
    pub(super) fn move_request(&mut self, id: StreamId, connect: ConnectId) -> bool {
        let Some(target) = self.repeatable.remove(&id) else { return false };
        self.abort_session(id, H3Code::REQUEST_CANCELLED);
        self.moved.push(Moved { connect, target, may_share: self.goaway.is_some() });
        true
    }
}
